"""Why cost changed: Δcost = volume + mix + tokens + cache share + price, in dollars, and the parts add up exactly.

The cost of a period is a product of five factors, summed over models m and token buckets b,

    C = N · Σ_m s_m · ( Σ_b h_mb · a_m · p_mb  +  o_m · q_m  +  f_m ),

N responses, s the share of each model, a and o its mean input and output tokens, h how its input splits into uncached,
cache read and cache write, p and q what a token of each cost, f the fee per response. Each part is the factor's Shapley
value (Shapley 1953; as a decomposition: Shorrocks 2013, "Decomposition procedures for distributional analysis", Journal of
Economic Inequality 11): its effect when it alone moves to the new period, averaged over all orders of moving the five. It
depends on no order and leaves no residual. A model that is seen in one period only has that period's tokens, cache share
and prices in both, so what it brings is mix, not a price that jumped from nothing.

The parts of a model are its terms of the same sum: over the models they add up to the parts of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Literal, get_args

from storage.cost_analytics import ModelUsage

Factor = Literal["volume", "mix", "tokens", "cache", "price"]
FACTORS: tuple[Factor, ...] = get_args(Factor)
_INPUT = 3

Model = tuple[str, str]
"""Provider and model as spans name them."""


@dataclass(frozen=True)
class Usage:
    """What a model's priced responses of one period used and cost.

    `tokens`: input uncached, cache read, cache write, output. `listed_usd`: what each of these cost by the price list, and
    last the fees; it only says how `cost_usd` splits. `rates_usd`: the list's mean price of a token of each, for buckets
    that were not used. Both are None where the list does not know the model (any more).
    """

    responses: int
    cost_usd: float
    tokens: tuple[float, ...]
    listed_usd: tuple[float, ...] | None = None
    rates_usd: tuple[float, ...] | None = None

    def plus(self, other: Usage) -> Usage:
        """Both together; the list prices are those of the one with more responses."""
        more, less = (self, other) if self.responses >= other.responses else (other, self)
        listed = None if more.listed_usd is None or less.listed_usd is None else _added(more.listed_usd, less.listed_usd)
        return Usage(
            responses=more.responses + less.responses,
            cost_usd=more.cost_usd + less.cost_usd,
            tokens=_added(more.tokens, less.tokens),
            listed_usd=listed,
            rates_usd=more.rates_usd,
        )


def _added(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    return tuple(mine + theirs for mine, theirs in zip(one, other, strict=True))


def by_model(used: Iterable[ModelUsage]) -> dict[Model, Usage]:
    """Usage by provider and model, groups together."""
    found: dict[Model, Usage] = {}
    for each in used:
        model = (each.provider, each.model)
        usage = Usage(each.responses, each.cost_usd, each.tokens, each.listed_usd, each.rates_usd)
        found[model] = usage if model not in found else found[model].plus(usage)
    return found


@dataclass(frozen=True)
class Change:
    """A change of cost and its parts by factor, all in US dollars; `delta_usd` is their sum."""

    before_usd: float
    after_usd: float
    parts_usd: Mapping[Factor, float]

    @property
    def delta_usd(self) -> float:
        """How much more it cost than before."""
        return self.after_usd - self.before_usd


@dataclass(frozen=True)
class Decomposition:
    """The change of the whole and of each model, those first whose cost moved most."""

    whole: Change
    models: tuple[tuple[Model, Change], ...]


@dataclass(frozen=True)
class _Factors:
    """One model's factors in one period: share of the responses, mean tokens, split of the input, prices, fee."""

    share: float
    input_tokens: float
    output_tokens: float
    split: tuple[float, float, float]
    input_usd: tuple[float, float, float]
    output_usd: float
    fee_usd: float


def decompose(before: Mapping[Model, Usage], after: Mapping[Model, Usage]) -> Decomposition:
    """The change from `before` to `after`, by factor and by model. Models without responses are left out."""
    periods = [{model: usage for model, usage in period.items() if usage.responses} for period in (before, after)]
    volumes = [sum(usage.responses for usage in period.values()) for period in periods]
    models = sorted({*periods[0], *periods[1]})
    changes = [(model, _of_model([period.get(model) for period in periods], volumes)) for model in models]
    changes.sort(key=lambda pair: -abs(pair[1].delta_usd))
    return Decomposition(_sum([change for _, change in changes]), tuple(changes))


def _sum(changes: Sequence[Change]) -> Change:
    parts = {factor: math.fsum(change.parts_usd[factor] for change in changes) for factor in FACTORS}
    before = math.fsum(change.before_usd for change in changes)
    return Change(before, math.fsum(change.after_usd for change in changes), parts)


def _of_model(usages: Sequence[Usage | None], volumes: Sequence[int]) -> Change:
    known = [usage for usage in usages if usage is not None]
    # A side that does not exist borrows everything but its share.
    earlier, later = _factors(known[0], known[-1]), _factors(known[-1], known[0])
    shares = [usage.responses / volume if usage and volume else 0.0 for usage, volume in zip(usages, volumes, strict=True)]
    sides = (replace(earlier, share=shares[0]), replace(later, share=shares[1]))

    @cache
    def cost(moved: int) -> float:
        return _cost(sides, volumes, moved)

    parts = {factor: _shapley(cost, index) for index, factor in enumerate(FACTORS)}
    before, after = (usage.cost_usd if usage else 0.0 for usage in usages)
    # Rounding of the products, about 1e-16 of the cost: the parts must add up to the costs as stored.
    parts["price"] += (after - before) - math.fsum(parts.values())
    return Change(before, after, parts)


def _shapley(cost: Callable[[int], float], index: int) -> float:
    others = [each for each in range(len(FACTORS)) if each != index]
    total = []
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(FACTORS))
        for moved in combinations(others, size):
            bits = sum(1 << each for each in moved)
            total.append(weight * (cost(bits | 1 << index) - cost(bits)))
    return math.fsum(total)


def _cost(sides: tuple[_Factors, _Factors], volumes: Sequence[int], moved: int) -> float:
    """The model's cost with the factors in the bits of `moved` from the later period, the others from the earlier."""
    volume, mix, tokens, split, price = (moved >> index & 1 for index in range(len(FACTORS)))
    rates = zip(sides[split].split, sides[price].input_usd, strict=True)
    input_usd = sides[tokens].input_tokens * sum(share * rate for share, rate in rates)
    output_usd = sides[tokens].output_tokens * sides[price].output_usd
    return volumes[volume] * sides[mix].share * (input_usd + output_usd + sides[price].fee_usd)


def _factors(usage: Usage, other: Usage) -> _Factors:
    inputs = sum(usage.tokens[:_INPUT])
    split, rates = _split(usage if inputs else other), _rates(usage, other)
    return _Factors(
        share=0.0,
        input_tokens=inputs / usage.responses,
        output_tokens=usage.tokens[_INPUT] / usage.responses,
        split=(split[0], split[1], split[2]),
        input_usd=(rates[0], rates[1], rates[2]),
        output_usd=rates[_INPUT],
        fee_usd=_fee(usage),
    )


def _split(usage: Usage) -> Sequence[float]:
    inputs = sum(usage.tokens[:_INPUT])
    return [count / inputs for count in usage.tokens[:_INPUT]] if inputs else (1.0, 0.0, 0.0)


def _rates(usage: Usage, other: Usage) -> list[float]:
    """What a token of each bucket cost: its part of the cost over its tokens; unused, its list price or the other period's."""
    own, others = _own_rates(usage), _own_rates(other)
    return [next((rate for rate in (mine, theirs) if rate is not None), 0.0) for mine, theirs in zip(own, others, strict=True)]


def _own_rates(usage: Usage) -> list[float | None]:
    scale = _scale(usage)
    if scale is None or usage.listed_usd is None:
        tokens = sum(usage.tokens)
        return [usage.cost_usd / tokens if tokens else None] * len(usage.tokens)
    listed = usage.rates_usd or (None,) * len(usage.tokens)
    return [
        scale * spent / count if count else (None if rate is None else scale * rate)
        for spent, count, rate in zip(usage.listed_usd, usage.tokens, listed, strict=False)
    ]


def _fee(usage: Usage) -> float:
    scale = _scale(usage)
    if scale is not None and usage.listed_usd is not None:
        return scale * usage.listed_usd[-1] / usage.responses
    return 0.0 if sum(usage.tokens) else usage.cost_usd / usage.responses


def _scale(usage: Usage) -> float | None:
    """What was paid over what the list says; they differ when prices changed since. None: the list cannot say."""
    listed = sum(usage.listed_usd) if usage.listed_usd else 0.0
    if listed <= 0:
        return None
    return usage.cost_usd / listed
