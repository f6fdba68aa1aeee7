"""Prices as steps: what a model costs from a day, a minute of the day and a number of input tokens on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version as package_version
from typing import Literal, TypeVar

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from schemas.settings import PriceOverride

T = TypeVar("T")

EVER = date(1970, 1, 1)

_SCALE = Decimal("1e-12")
_MINUTES = 24 * 60


@dataclass(frozen=True)
class Step:
    """Rates in US dollars a million (tokens, or requests), and from where on they apply.

    They apply to every token of a request: the last step that is reached wins, in the order of the first three fields.
    """

    valid_from: date
    from_minute: int
    from_input_tokens: int
    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal
    request: Decimal


@dataclass(frozen=True)
class Price:
    """What one model costs; `version` names the list, `key` the entry in it."""

    key: str
    version: str
    source: Literal["genai-prices", "operator"]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class PriceList:
    """The bundled list of genai-prices: its providers, and its prices by `provider/model`."""

    version: str
    providers: tuple[Provider, ...]
    prices: dict[str, Price]


@cache
def bundled_prices() -> PriceList:
    """The list in the installed genai-prices; the version is the package's and a hash of the prices as read here."""
    providers = tuple(get_snapshot().providers)
    steps = {list_key(provider, model): list_steps(model) for provider in providers for model in provider.models}
    digest = hashlib.sha256(repr(sorted(steps.items())).encode()).hexdigest()[:8]
    version = f"genai-prices/{package_version('genai-prices')}+{digest}"
    prices = {key: Price(key, version, "genai-prices", found) for key, found in steps.items() if found}
    return PriceList(version, providers, prices)


def list_key(provider: Provider, model: ModelInfo) -> str:
    """Where a model stands in the list."""
    return f"{provider.id}/{model.id}"


def list_steps(model: ModelInfo) -> tuple[Step, ...]:
    """The steps of a model of the list; none where it is not sold by the token.

    Constraints are not interpreted here: between two instants at which one of them may change its mind, genai-prices is
    asked what holds.
    """
    days, minutes = _boundaries(model)
    found: list[Step] = []
    for day in days:
        for minute in minutes:
            price = model.get_prices(datetime.combine(day, time(), UTC) + timedelta(minutes=minute))
            if not _by_token(price):
                return ()
            found.extend(_tiers(price, day, minute, embeds="embed" in model.id.lower()))
    return tuple(found)


def operator_price(override: PriceOverride) -> Price:
    """The operator's own price; its version changes with any of its figures."""
    rates = {
        "input": override.input_usd_per_mtok,
        "cache_read": _default(override.cache_read_usd_per_mtok, override.input_usd_per_mtok),
        "cache_write": _default(override.cache_write_usd_per_mtok, override.input_usd_per_mtok),
        "output": override.output_usd_per_mtok,
    }
    key = f"{override.provider.strip().lower()}/{override.model.strip().lower()}"
    exact = {name: _rounded(Decimal(str(rate))) for name, rate in rates.items()}
    step = Step(EVER, 0, 0, request=Decimal(0), **exact)
    digest = hashlib.sha256(repr((key, step)).encode()).hexdigest()[:12]
    return Price(key, f"operator/{digest}", "operator", (step,))


def combined_version(versions: Iterable[str]) -> str:
    """One name for several lists."""
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16]


def _boundaries(model: ModelInfo) -> tuple[list[date], list[int]]:
    days, minutes = {EVER}, {0}
    for constraint in _constraints(model):
        if isinstance(constraint, StartDateConstraint):
            days.add(constraint.start_date)
        else:
            minutes |= {_minute(constraint.start_time), _minute(constraint.end_time)}
    return sorted(days), sorted(minutes)


def _constraints(model: ModelInfo) -> Iterator[StartDateConstraint | TimeOfDateConstraint]:
    if isinstance(model.prices, ModelPrice):
        return
    for conditional in model.prices:
        if conditional.constraint is not None:
            yield conditional.constraint


def _minute(moment: time) -> int:
    """The minute of the day in UTC."""
    offset = moment.utcoffset() or timedelta()
    return (moment.hour * 60 + moment.minute - int(offset.total_seconds()) // 60) % _MINUTES


def _by_token(price: ModelPrice) -> bool:
    """Whether tokens have a price. A model without any price is listed as free; one with other units only is not known."""
    units = {name for name, value in vars(price).items() if value is not None}
    return not units or "input_mtok" in units


def _tiers(price: ModelPrice, day: date, minute: int, *, embeds: bool) -> Iterator[Step]:
    """A step for each number of input tokens at which a rate changes. A cache without a price costs what input costs."""
    rates = {name: getattr(price, f"{name}_mtok") for name in ("input", "cache_read", "cache_write", "output")}
    starts = {tier.start + 1 for rate in rates.values() if isinstance(rate, TieredPrices) for tier in rate.tiers}
    request = _rounded((_rate(price.requests_kcount, 1) or Decimal(0)) * 1000)
    for start in sorted({0} | starts):
        at = {name: _rate(rate, start) for name, rate in rates.items()}
        input_rate = at["input"] or Decimal(0)
        yield Step(
            valid_from=day,
            from_minute=minute,
            from_input_tokens=start,
            input=input_rate,
            cache_read=_default(at["cache_read"], input_rate),
            cache_write=_default(at["cache_write"], input_rate),
            # The list gives one embedding model an output price; embeddings have no output, and their spans report none.
            output=Decimal(0) if embeds else at["output"] or Decimal(0),
            request=request,
        )


def _rate(value: Decimal | TieredPrices | None, input_tokens: int) -> Decimal | None:
    """The rate for a request of so many input tokens; a tier starts above its number (genai-prices, calc_unit_price)."""
    if isinstance(value, TieredPrices):
        reached = [tier.price for tier in value.tiers if input_tokens > tier.start]
        return _rounded(reached[-1] if reached else value.base)
    return None if value is None else _rounded(value)


def _rounded(rate: Decimal) -> Decimal:
    """To the scale of the table; what that drops is below 1e-9 dollars at a billion tokens."""
    return rate.quantize(_SCALE)


def _default(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
