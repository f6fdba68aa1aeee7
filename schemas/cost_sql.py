"""The cost of a span as SQL: token buckets times the rates of the dictionary `token_prices` (ddl/0002_prices.sql).

All arithmetic is Decimal. The expressions are total: whatever the columns hold, they give a value or NULL and never
fail an insert. The rules are those of genai-prices: one price step applies to every token of the request, chosen by
the span's time and by its whole input; a bucket without a price of its own was given the input's when the price was
written.
"""

from __future__ import annotations

DICTIONARY = "token_prices"
COST_TYPE = "Decimal(18, 12)"

_RATES = 5
_MINUTE_BITS = 37
_DAY_BITS = 48
_MINUTE_MASK = 2**11 - 1
_TOKEN_MASK = 2**_MINUTE_BITS - 1


def cost_expression(provider: str, model: str, at: str, uncached: str, cache_read: str, cache_write: str, output: str) -> str:
    """The cost in US dollars, as `Nullable(Decimal(18, 12))`.

    Each argument is SQL: two texts, a DateTime64 in UTC, four Nullable(UInt64) that do not overlap (reasoning is within
    the output and is not billed again). The result is NULL, never zero, where the model has no known price, where the
    input is not reported, where the output is not reported although the model charges for it, or where the cost is a
    million dollars or more. Caches that are not reported count as unused.
    """
    rates = _rates(at, uncached, cache_read, cache_write)
    price = f"dictGet('{DICTIONARY}', ('steps', 'rates'), {_key(provider, model)})"
    # A map over one element binds a name. Written out, the look-up would be made again for each mention wherever the
    # expression is within a condition, as it is in a mutation (measured: 70 µs a row instead of 2).
    cost = _cost(uncached, cache_read, cache_write, output)
    return f"arrayMap(price -> arrayMap(rates -> {cost}, [{rates}])[1], [{price}])[1]"


def cost_stages(
    provider: str, model: str, at: str, uncached: str, cache_read: str, cache_write: str, output: str
) -> tuple[dict[str, str], ...]:
    """The same cost for a pipeline of nested selects: columns by name, each stage over the columns of those before it.

    The last stage has `cost_usd` and `price_version`. An expression that names another alias is copied for each mention
    when a query is analysed, and each stage costs as much as thirty functions; a map over one element binds a name for
    less than either.
    """
    rates = _rates(at, uncached, cache_read, cache_write)
    price = f"dictGet('{DICTIONARY}', ('steps', 'rates', 'version'), {_key(provider, model)})"
    cost = _cost(uncached, cache_read, cache_write, output)
    priced = f"arrayMap(price -> arrayMap(rates -> ({cost}, price.3), [{rates}])[1], [{price}])[1]"
    return ({"priced": priced}, {"cost_usd": "priced.1", "price_version": "if(isNull(priced.1), '', priced.2)"})


def price_version_expression(
    provider: str, model: str, at: str, uncached: str, cache_read: str, cache_write: str, output: str
) -> str:
    """The version of the price list behind `cost_expression` of the same arguments; '' where that is NULL."""
    cost = cost_expression(provider, model, at, uncached, cache_read, cache_write, output)
    return f"if(isNull({cost}), '', dictGet('{DICTIONARY}', 'version', {_key(provider, model)}))"


def rates_expression(provider: str, model: str, at: str, input_tokens: str) -> str:
    """The prices of one request as `Array(Float64)`, in US dollars; empty for an unknown model.

    Five: of a token of input, cache read, cache write and output, and of the request itself. Arguments as for
    `cost_expression`; `input_tokens` is its whole input.
    """
    step = _step("found.1", at, f"ifNull({input_tokens}, 0)")
    first = f"toInt32(step) * {_RATES} - {_RATES - 1}"
    rates = f"if(step = 0, [], arrayMap(rate -> toFloat64(rate), arraySlice(found.2, {first}, {_RATES})))"
    found = f"dictGet('{DICTIONARY}', ('steps', 'rates'), {_key(provider, model)})"
    return f"arrayMap(found -> arrayMap(step -> {rates}, [{step}])[1], [{found}])[1]"


def _rates(at: str, uncached: str, cache_read: str, cache_write: str) -> str:
    """The rates of the step of `price` that applies; empty for an unknown model."""
    step = _step("price.1", at, f"(ifNull({uncached}, 0) + ifNull({cache_read}, 0) + ifNull({cache_write}, 0))")
    return f"arraySlice(price.2, toUInt32({step}) * {_RATES} - {_RATES - 1}, {_RATES})"


def _cost(uncached: str, cache_read: str, cache_write: str, output: str) -> str:
    rates = [f"arrayElementOrNull(rates, {index})" for index in range(1, _RATES + 1)]
    free = f"if({rates[3]} = 0, toDecimal128(0, 18), NULL)"
    parts = (
        f"toDecimal128({uncached}, 0) * {rates[0]}",
        f"toDecimal128(ifNull({cache_read}, 0), 0) * {rates[1]}",
        f"toDecimal128(ifNull({cache_write}, 0), 0) * {rates[2]}",
        f"ifNull(toDecimal128({output}, 0) * {rates[3]}, {free})",
        rates[4],
    )
    return f"accurateCastOrNull(round({' + '.join(parts)}, 12), '{COST_TYPE}')"


def _key(provider: str, model: str) -> str:
    return f"(lower({provider}), lower({model}))"


def _step(steps: str, at: str, input_tokens: str) -> str:
    """The last step whose day, minute and number of input tokens are all reached; 0 for an unknown model."""
    seconds = f"toUnixTimestamp({at})"
    return (
        f"arrayLastIndex(x -> bitShiftRight(x, {_DAY_BITS}) <= intDiv({seconds}, 86400)"
        f" AND bitAnd(bitShiftRight(x, {_MINUTE_BITS}), {_MINUTE_MASK}) <= intDiv({seconds} % 86400, 60)"
        f" AND bitAnd(x, {_TOKEN_MASK}) <= {input_tokens}, {steps})"
    )
