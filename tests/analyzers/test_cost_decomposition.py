"""Δcost as dollars of volume, mix, tokens, cache share and price."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.cost.decomposition import FACTORS, Factor, Model, Usage, decompose

GPT: Model = ("openai", "gpt-4o")
MINI: Model = ("openai", "gpt-4o-mini")
RATES = {GPT: (2.5e-6, 1.25e-6, 2.5e-6, 10e-6), MINI: (0.15e-6, 0.075e-6, 0.15e-6, 0.6e-6)}


def used(
    responses: int,
    tokens: tuple[float, float, float, float] = (1000, 0, 0, 100),
    model: Model = GPT,
    price: float = 1.0,
    listed: bool = True,
) -> Usage:
    """`tokens` are those of one response; `price` is what was paid over the list."""
    total = tuple(responses * count for count in tokens)
    split = tuple(count * rate for count, rate in zip(total, RATES[model], strict=True))
    paid = price * sum(split)
    if not listed:
        return Usage(responses, paid, total)
    return Usage(responses, paid, total, (*split, 0.0), RATES[model])


def only(factor: Factor, before: dict[Model, Usage], after: dict[Model, Usage]) -> None:
    """All of the change is one factor's."""
    whole = decompose(before, after).whole
    assert whole.parts_usd[factor] == pytest.approx(whole.delta_usd)
    assert whole.delta_usd != 0
    for other in FACTORS:
        assert other == factor or whole.parts_usd[other] == pytest.approx(0, abs=1e-12)


def test_twice_the_requests_is_volume() -> None:
    only("volume", {GPT: used(10), MINI: used(30, model=MINI)}, {GPT: used(20), MINI: used(60, model=MINI)})


def test_longer_answers_are_tokens() -> None:
    only("tokens", {GPT: used(10)}, {GPT: used(10, (1000, 0, 0, 300))})


def test_more_from_the_cache_is_cache_share_also_when_there_was_none() -> None:
    only("cache", {GPT: used(10, (1000, 0, 0, 100))}, {GPT: used(10, (400, 600, 0, 100))})
    only("cache", {GPT: used(10, (400, 600, 0, 100))}, {GPT: used(10, (1000, 0, 0, 100))})


def test_another_price_is_price() -> None:
    only("price", {GPT: used(10)}, {GPT: used(10, price=0.8)})
    only("price", {GPT: used(10, listed=False)}, {GPT: used(10, price=0.8, listed=False)})


def test_moving_to_a_cheaper_model_is_mix_also_when_it_is_new() -> None:
    only("mix", {GPT: used(30), MINI: used(10, model=MINI)}, {GPT: used(10), MINI: used(30, model=MINI)})
    only("mix", {GPT: used(40)}, {GPT: used(10), MINI: used(30, model=MINI)})
    only("mix", {GPT: used(40)}, {MINI: used(40, model=MINI)})


def test_from_nothing_and_to_nothing_is_volume_and_mix() -> None:
    for before, after in (({}, {GPT: used(10)}), ({GPT: used(10)}, {})):
        whole = decompose(before, after).whole
        assert whole.parts_usd["volume"] + whole.parts_usd["mix"] == pytest.approx(whole.delta_usd)
        assert whole.parts_usd["tokens"] == whole.parts_usd["cache"] == 0
    assert decompose({}, {}).whole.delta_usd == 0


def test_two_factors_share_what_they_do_together() -> None:
    # Twice the requests at twice the price: 1 → 4; each alone makes 2, so each is worth (1 + 2) / 2.
    before, after = {GPT: used(10)}, {GPT: used(20, price=2.0)}
    whole = decompose(before, after).whole
    assert whole.parts_usd["volume"] == pytest.approx(1.5 * whole.before_usd)
    assert whole.parts_usd["price"] == pytest.approx(1.5 * whole.before_usd)


USAGES = st.builds(
    lambda n, tokens, price, listed, model: (model, used(n, tokens, model, price, listed)),
    st.integers(1, 10_000),
    st.tuples(*[st.floats(0, 1e5) for _ in range(4)]),
    st.floats(0.01, 3),
    st.booleans(),
    st.sampled_from([GPT, MINI]),
)
PERIODS = st.lists(USAGES, max_size=3).map(dict)


@given(PERIODS, PERIODS)
def test_the_parts_add_up_for_the_whole_and_for_every_model(before: dict[Model, Usage], after: dict[Model, Usage]) -> None:
    found = decompose(before, after)
    scale = found.whole.before_usd + found.whole.after_usd
    for change in (found.whole, *(change for _, change in found.models)):
        assert math.fsum(change.parts_usd.values()) == pytest.approx(change.delta_usd, abs=1e-12 * scale + 1e-18)
    assert found.whole.before_usd == pytest.approx(sum(usage.cost_usd for usage in before.values()))
    assert found.whole.after_usd == pytest.approx(sum(usage.cost_usd for usage in after.values()))
    for factor in FACTORS:
        assert found.whole.parts_usd[factor] == pytest.approx(sum(change.parts_usd[factor] for _, change in found.models))


@given(PERIODS, PERIODS)
def test_the_way_back_is_the_opposite(before: dict[Model, Usage], after: dict[Model, Usage]) -> None:
    there, back = decompose(before, after).whole, decompose(after, before).whole
    for factor in FACTORS:
        assert there.parts_usd[factor] == pytest.approx(
            -back.parts_usd[factor], abs=1e-12 * (there.before_usd + there.after_usd)
        )


def test_it_is_the_mean_over_all_orders_of_moving_the_factors() -> None:
    """Against the definition: each factor's step, averaged over the 120 orders."""
    before, after = used(10, (900, 100, 0, 80)), used(25, (500, 700, 0, 120), price=1.3)

    def cost(moved: set[str]) -> float:
        sides = {factor: after if factor in moved else before for factor in FACTORS}
        n = sides["volume"].responses
        inputs = sum(sides["tokens"].tokens[:3]) / sides["tokens"].responses
        split = [count / sum(sides["cache"].tokens[:3]) for count in sides["cache"].tokens[:3]]
        scale = 1.3 if "price" in moved else 1.0
        output = sides["tokens"].tokens[3] / sides["tokens"].responses
        rates = RATES[GPT]
        return n * scale * (inputs * sum(s * r for s, r in zip(split, rates, strict=False)) + output * rates[3])

    expected = dict.fromkeys(FACTORS, 0.0)
    for order in permutations(FACTORS):
        moved: set[str] = set()
        for factor in order:
            expected[factor] += (cost(moved | {factor}) - cost(moved)) / math.factorial(len(FACTORS))
            moved.add(factor)
    assert decompose({GPT: before}, {GPT: after}).whole.parts_usd == pytest.approx(expected)


def test_usages_add_up() -> None:
    together = used(10).plus(used(30, (100, 50, 0, 10)))
    assert (together.responses, together.tokens) == (40, (13_000, 1_500, 0, 1_300))
    assert together.listed_usd is not None
    assert sum(together.listed_usd) == pytest.approx(together.cost_usd)
    assert used(1).plus(used(1, listed=False)).listed_usd is None
