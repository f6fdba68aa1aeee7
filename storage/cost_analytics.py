"""Where the money goes, in SQL: totals and quantiles, what each model used, prompts that were paid twice, unused caches.

Cost is counted as the metric `cost.usd` counts it: once for each model response, however many spans repeat it. Responses
without a price have no cost; they are counted beside the sums and are in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.cost_sql import rates_expression
from schemas.metrics import find_metric
from storage.dimensions import alias, check_dimensions, filter_parameters, responses
from storage.readings import UNPRICED
from storage.scope import ProjectReader, Range

QUANTILES = (0.5, 0.9, 0.95, 0.99)

_LEVELS = ", ".join(str(level) for level in QUANTILES)
_TOKENS = {
    "input_uncached": "input_uncached_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
}
_INPUT = "(ifNull(input_uncached, 0) + ifNull(cache_read, 0) + ifNull(cache_write, 0))"
# Nested spans that repeat a response may each carry the messages: the earliest that has them counts.
_MESSAGES = "{}, started_at, notEmpty(input_messages)"


@dataclass(frozen=True)
class CostQuery:
    """Model responses of a range that pass `filters`, apart for each combination of `group_by`."""

    span: Range
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    limit: int = 50

    def check(self) -> None:
        """Refuse dimensions that cost does not have.

        Raises:
            QueryError: unknown-dimension, with those it has.
        """
        check_dimensions(find_metric("cost.usd"), (*self.group_by, *self.filters))


@dataclass(frozen=True)
class Spread:
    """How cost lies over `n` requests (or users): the mean, the quantiles of `QUANTILES` (NumPy's default), the largest."""

    n: int
    mean_usd: float
    quantiles_usd: tuple[float, ...]
    max_usd: float


@dataclass(frozen=True)
class CostGroup:
    """What a group cost. `cost_usd` is None where no response has a price.

    `requests` are traces; `per_request` is over those whose every response has a price, `per_user` over users that are
    named and have a priced response.
    """

    labels: Mapping[str, str]
    cost_usd: float | None
    responses: int
    unpriced: int
    requests: int
    tokens: Mapping[str, int]
    per_request: Spread | None
    per_user: Spread | None


@dataclass(frozen=True)
class ModelUsage:
    """What the priced responses of one model used.

    `tokens` and `listed_usd`: of input uncached, cache read, cache write, output; the last of `listed_usd` are fees. What was
    paid (`cost_usd`) differs from the sum of `listed_usd` where prices changed since. `rates_usd`: mean list price of a token.
    Without a list price for every response, `listed_usd` and `rates_usd` are None.
    """

    labels: Mapping[str, str]
    provider: str
    model: str
    responses: int
    cost_usd: float
    tokens: tuple[float, float, float, float]
    listed_usd: tuple[float, float, float, float, float] | None
    rates_usd: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Waste:
    """What one prompt, or the beginning that prompts share, cost without need; `preview` is its first characters."""

    provider: str
    model: str
    preview: str
    responses: int
    wasted_usd: float
    trace_id: str


@dataclass(frozen=True)
class WasteFound:
    """The worst offenders, and how many there are and what they waste together."""

    worst: tuple[Waste, ...]
    prompts: int
    responses: int
    wasted_usd: float


async def read_costs(reader: ProjectReader, query: CostQuery) -> list[CostGroup]:
    """The groups of a query, the dearest first, at most `limit`; without `group_by` exactly one.

    Raises:
        QueryError: a dimension or the range.
        StoreError: the store refused, or a limit was reached.
    """
    query.check()
    parameters = {**filter_parameters(query.filters), "limit": query.limit}
    rows = await reader.fetch(_costs_sql(query), query.span, parameters)
    return [_group(row, query.group_by) for row in rows]


def _costs_sql(query: CostQuery) -> str:
    labels = [alias(name) for name in query.group_by]
    sums = {name: f"max({column})" for name, column in _TOKENS.items()}
    columns = {"cost": "max(cost_usd)", "unpriced": UNPRICED, **sums}
    found = responses(query.span.axis, columns, dict.fromkeys((*query.group_by, "user")), query.filters)
    tokens = ", ".join(f"sum({name}) AS {name}" for name in _TOKENS)
    by_trace = (
        f"SELECT {_list(labels)} trace, any(by_user_id) AS one_user, sum(cost) AS cost, count() AS n,"
        f" countIf(unpriced) AS unpriced, {tokens} FROM ({found}) GROUP BY {_list(labels)} trace"
    )
    whole = "unpriced = 0 AND isNotNull(cost)"
    users = "mapValues(sumMapIf(map(one_user, toFloat64(ifNull(cost, 0))), one_user != '' AND isNotNull(cost)))"
    chosen = (
        "sum(cost) AS cost_usd, sum(n) AS responses, sum(unpriced) AS all_unpriced, count() AS requests",
        *(f"sum({name}) AS {name}" for name in _TOKENS),
        f"countIf({whole}) AS whole_requests",
        f"sumIf(toFloat64(cost), {whole}) AS whole_usd",
        f"maxIf(toFloat64(cost), {whole}) AS max_usd",
        f"quantilesExactInclusiveIf({_LEVELS})(toFloat64(ifNull(cost, 0)), {whole}) AS quantiles",
        f"{users} AS users_usd",
    )
    grouped = f" GROUP BY {', '.join(labels)}" if labels else ""
    inner = f"SELECT {_list(labels)} {', '.join(chosen)} FROM ({by_trace}){grouped}"
    spread = f"length(users_usd) AS users, arrayReduce('quantilesExactInclusive({_LEVELS})', users_usd) AS user_quantiles"
    per_user = f"{spread}, arraySum(users_usd) AS user_sum, arrayMax(users_usd) AS user_max"
    order = "ORDER BY cost_usd DESC NULLS LAST" + "".join(f", {label}" for label in labels)
    return f"SELECT * EXCEPT users_usd, {per_user} FROM ({inner}) {order} LIMIT {{limit:UInt64}}"


def _group(row: Mapping[str, Any], group_by: Sequence[str]) -> CostGroup:
    return CostGroup(
        labels={name: row[alias(name)] for name in group_by},
        cost_usd=None if row["cost_usd"] is None else float(row["cost_usd"]),
        responses=row["responses"],
        unpriced=row["all_unpriced"],
        requests=row["requests"],
        tokens={name: row[name] or 0 for name in _TOKENS},
        per_request=_spread(row["whole_requests"], row["whole_usd"], row["quantiles"], row["max_usd"]),
        per_user=_spread(row["users"], row["user_sum"], row["user_quantiles"], row["user_max"]),
    )


def _spread(n: int, total: float, quantiles: Sequence[float], largest: float) -> Spread | None:
    return Spread(n, total / n, tuple(float(value) for value in quantiles), float(largest)) if n else None


async def read_model_usage(reader: ProjectReader, query: CostQuery) -> list[ModelUsage]:
    """What the priced responses used, by group and model: what a decomposition starts from. `limit` does not count here.

    Raises:
        QueryError: a dimension or the range.
        StoreError: the store refused, or a limit was reached.
    """
    query.check()
    labels = [alias(name) for name in dict.fromkeys((*query.group_by, "provider", "model"))]
    columns = {"cost": "max(cost_usd)", **{name: f"max({column})" for name, column in _TOKENS.items()}}
    found = responses(query.span.axis, columns, dict.fromkeys((*query.group_by, "provider", "model")), query.filters)
    priced = (
        f"SELECT *, {rates_expression('by_provider', 'by_model', 'at', _INPUT)} AS rates FROM ({found}) WHERE isNotNull(cost)"
    )
    listed = [f"sum(toFloat64(ifNull({name}, 0)) * rates[{index}])" for index, name in enumerate(_TOKENS, 1)]
    sql = (
        f"SELECT {', '.join(labels)}, count() AS responses, sum(cost) AS cost_usd, countIf(empty(rates)) AS unlisted,"
        f" [{', '.join(f'sum(toFloat64(ifNull({name}, 0)))' for name in _TOKENS)}] AS tokens,"
        f" [{', '.join(listed)}, sum(rates[5])] AS listed,"
        f" [{', '.join(f'avg(rates[{index}])' for index in range(1, 5))}] AS mean_rates"
        f" FROM ({priced}) GROUP BY {', '.join(labels)} ORDER BY {', '.join(labels)}"
    )
    rows = await reader.fetch(sql, query.span, filter_parameters(query.filters))
    return [_model_usage(row, query.group_by) for row in rows]


def _model_usage(row: Mapping[str, Any], group_by: Sequence[str]) -> ModelUsage:
    known = row["unlisted"] == 0
    return ModelUsage(
        labels={name: row[alias(name)] for name in group_by},
        provider=row["by_provider"],
        model=row["by_model"],
        responses=row["responses"],
        cost_usd=float(row["cost_usd"]),
        tokens=tuple(row["tokens"]),
        listed_usd=tuple(row["listed"]) if known else None,
        rates_usd=tuple(row["mean_rates"]) if known else None,
    )


async def read_repeated_prompts(reader: ProjectReader, query: CostQuery) -> WasteFound:
    """Prompts (all messages of the request, to the letter) that were sent to one model more than once and answered.

    Wasted is what their answers cost less the dearest one: what a cache of answers would have saved at least.
    """
    query.check()
    digest = "sipHash64(operation, arrayMap(m -> toString(m.1), input_messages), arrayMap(m -> m.2, input_messages))"
    columns = {
        "cost": "max(cost_usd)",
        "failed": "max(is_error)",
        "prompt": f"argMinIf({_MESSAGES.format(digest)})",
        "preview": f"argMinIf({_MESSAGES.format('input_preview')})",
        "trace_hex": "lower(hex(any(trace_id)))",
        "recorded": "countIf(notEmpty(input_messages))",
    }
    found = responses(query.span.axis, columns, ("provider", "model"), query.filters)
    grouped = (
        "SELECT by_provider, by_model, prompt, any(preview) AS shown, argMin(trace_hex, at) AS trace_hex, count() AS n,"
        f" toFloat64(sum(cost) - max(cost)) AS wasted FROM ({found})"
        " WHERE isNotNull(cost) AND failed = 0 AND recorded > 0 GROUP BY by_provider, by_model, prompt HAVING n > 1"
    )
    return await _waste(reader, query, grouped)


CACHE_WINDOW_S = 300
CACHE_MIN_CHARS = 4_096
CACHE_MIN_TOKENS = 1_024
CACHE_SHARE = 0.9


async def read_cache_misses(reader: ProjectReader, query: CostQuery) -> WasteFound:
    """Prompts that begin with the same long message and read nothing from the provider's cache: what a cache would have saved.

    Cautious in every step: only the first message counts (instructions, mostly), of at least `CACHE_MIN_CHARS` characters;
    its tokens are its share of the prompt's characters times `CACHE_SHARE`, the least of the group, at least
    `CACHE_MIN_TOKENS`; the cache forgets after `CACHE_WINDOW_S`, so of each such window one miss is not saved and pays what
    writing to the cache costs more; models whose list price of cache reads is the input's save nothing.
    """
    query.check()
    first = "(toString(input_messages[1].1), input_messages[1].2)"
    columns = {
        "cost": "max(cost_usd)",
        **{name: f"max({column})" for name, column in _TOKENS.items()},
        "prompt": f"argMinIf({_MESSAGES.format(f'sipHash64({first})')})",
        "preview": f"argMinIf({_MESSAGES.format('substringUTF8(input_messages[1].2, 1, 200)')})",
        "prefix_chars": f"argMinIf({_MESSAGES.format('lengthUTF8(input_messages[1].2)')})",
        "all_chars": f"argMinIf({_MESSAGES.format('arraySum(m -> lengthUTF8(m.2), input_messages)')})",
        "trace_hex": "lower(hex(any(trace_id)))",
    }
    found = responses(query.span.axis, columns, ("provider", "model"), query.filters)
    share = f"{CACHE_SHARE} * prefix_chars / all_chars * {_INPUT}"
    priced = (
        f"SELECT *, toUInt64(floor({share})) AS prefix_tokens,"
        f" ifNull(cache_read, 0) = 0 AND ifNull(cache_write, 0) = 0 AS missed,"
        f" {rates_expression('by_provider', 'by_model', 'at', _INPUT)} AS rates FROM ({found})"
        f" WHERE isNotNull(cost) AND prefix_chars >= {CACHE_MIN_CHARS} AND prefix_tokens >= {CACHE_MIN_TOKENS}"
    )
    saved = "(misses - 1) * least_tokens * greatest(0, saving) - least_tokens * greatest(0, premium)"
    windows = (
        "SELECT by_provider, by_model, prompt, any(preview) AS shown, argMinIf(trace_hex, at, missed) AS example,"
        " countIf(missed) AS misses,"
        f" intDiv(toUnixTimestamp(at), {CACHE_WINDOW_S}) AS window, minIf(prefix_tokens, missed) AS least_tokens,"
        " minIf(rates[1] - rates[2], missed) AS saving, maxIf(rates[3] - rates[1], missed) AS premium"
        f" FROM ({priced}) WHERE notEmpty(rates) GROUP BY by_provider, by_model, prompt, window HAVING misses > 1"
    )
    grouped = (
        "SELECT by_provider, by_model, prompt, any(shown) AS shown, any(example) AS trace_hex, sum(misses) AS n,"
        f" sum(greatest(0, {saved})) AS wasted FROM ({windows}) GROUP BY by_provider, by_model, prompt HAVING wasted > 0"
    )
    return await _waste(reader, query, grouped)


async def _waste(reader: ProjectReader, query: CostQuery, grouped: str) -> WasteFound:
    sql = (
        "SELECT *, count() OVER () AS prompts, sum(n) OVER () AS all_n, sum(wasted) OVER () AS all_wasted"
        f" FROM ({grouped}) ORDER BY wasted DESC, prompt LIMIT {{limit:UInt64}}"
    )
    rows = await reader.fetch(sql, query.span, {**filter_parameters(query.filters), "limit": query.limit})
    if not rows:
        return WasteFound((), 0, 0, 0.0)
    return WasteFound(
        worst=tuple(
            Waste(row["by_provider"], row["by_model"], row["shown"], row["n"], float(row["wasted"]), row["trace_hex"])
            for row in rows
        ),
        prompts=rows[0]["prompts"],
        responses=rows[0]["all_n"],
        wasted_usd=float(rows[0]["all_wasted"]),
    )


def _list(labels: Sequence[str]) -> str:
    return "".join(f"{label}, " for label in labels)
