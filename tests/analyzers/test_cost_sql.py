"""The SQL of the cost against genai-prices itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzers.cost.prices import Price, bundled_prices
from analyzers.cost.pricing import reload_dictionary, sync_prices
from analyzers.cost.resolution import PriceBook
from schemas.settings import CostSettings
from storage.clickhouse import ClickHouseStore
from tests.analyzers.cost_rows import NOW, TOLERANCE_USD, Used, costs, oracle

PROVIDERS = {provider.id for provider in bundled_prices().providers}


@pytest.fixture
async def priced(store: ClickHouseStore) -> ClickHouseStore:
    """A store that holds the bundled prices."""
    await sync_prices(store, CostSettings(), NOW)
    return store


def known() -> list[tuple[str, str, Price]]:
    """Every name that genai-prices knows exactly and sells by the token."""
    book = PriceBook(bundled_prices())
    found = [(provider, model, book.resolve(provider, model)) for provider, model in book.known_names()]
    return [(p, m, each.price) for p, m, each in found if each.price is not None and p in PROVIDERS]


def instants(price: Price) -> Iterator[datetime]:
    """Just before, at and after each change of a price."""
    yield NOW
    for step in price.steps:
        start = datetime.combine(step.valid_from, time(), UTC) + timedelta(minutes=step.from_minute)
        if start.year > 1970:
            yield from (start - timedelta(milliseconds=1), start, start + timedelta(hours=23, minutes=59))
        elif step.from_minute:
            midnight = datetime.combine(NOW.date(), time(), UTC)
            yield from (midnight + timedelta(minutes=step.from_minute + shift) for shift in (-1, 0, 1))


def inputs(price: Price) -> Iterator[tuple[int, int, int]]:
    """Inputs on both sides of each tier, in one bucket and spread over three."""
    yield from ((0, 0, 0), (1, 0, 0), (1000, 700, 300), (0, 5000, 0))
    for start in {step.from_input_tokens for step in price.steps} - {0}:
        yield from ((start - 1, 0, 0), (start, 0, 0), (1, start - 3, 1), (1, start - 2, 1))


def embeds(model: str) -> bool:
    return "embed" in model


async def test_every_listed_model_costs_what_genai_prices_says(priced: ClickHouseStore) -> None:
    rows = [
        Used(provider, model, at, uncached, read, write, 0 if embeds(model) else 250)
        for provider, model, price in known()
        for at, (uncached, read, write) in product(dict.fromkeys(instants(price)), inputs(price))
    ]
    assert len(rows) > 10_000
    found = await costs(priced, rows)
    wrong = [
        (row, cost, oracle(row))
        for row, (cost, _) in zip(rows, found, strict=True)
        if cost is None or abs(cost - oracle(row)) > TOLERANCE_USD
    ]
    assert wrong == []


NAMES = [(provider, model) for provider, model, _ in known() if not embeds(model)]
TOKENS = st.one_of(st.integers(0, 2_000), st.integers(0, 1_000_000), st.integers(100_000, 300_000))
TIMES = st.datetimes(datetime(2023, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # made aware


@st.composite
def usages(draw: st.DrawFn) -> Used:
    provider, model = draw(st.sampled_from(NAMES))
    return Used(provider, model, draw(TIMES), draw(TOKENS), draw(TOKENS), draw(TOKENS), draw(TOKENS))


@given(rows=st.lists(usages(), min_size=20, max_size=60))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_usage_costs_what_genai_prices_says(priced: ClickHouseStore, rows: list[Used]) -> None:
    for row, (cost, version) in zip(rows, await costs(priced, rows), strict=True):
        assert cost is not None
        assert abs(cost - oracle(row)) <= TOLERANCE_USD, row
        assert version == bundled_prices().version


async def test_what_is_not_known_is_null_and_never_zero(priced: ClickHouseStore) -> None:
    cases = {
        "unknown model": Used("openai", "no-such-model"),
        "unknown provider": Used("vllm", "gpt-4o"),
        "no names": Used("", ""),
        "sold by the hour, not by the token": Used("openai", "whisper-1"),
        "the input is not reported": Used("openai", "gpt-4o", uncached=None),
        "the output is not reported": Used("openai", "gpt-4o", output=None),
        "absurd": Used("openai", "gpt-4o", uncached=2**64 - 1, output=2**64 - 1),
        "the sum overflows": Used("openai", "gpt-4o", uncached=2**63, cache_read=2**63, cache_write=2**64 - 1),
    }
    found = dict(zip(cases, await costs(priced, list(cases.values())), strict=True))
    assert found == dict.fromkeys(cases, (None, ""))


async def test_caches_that_are_not_reported_count_as_unused(priced: ClickHouseStore) -> None:
    silent, zero = await costs(priced, [Used("openai", "gpt-4o", cache_read=None, cache_write=None), Used("openai", "gpt-4o")])
    assert silent == zero


async def test_embeddings_report_no_output_and_are_priced(priced: ClickHouseStore) -> None:
    rows = [Used("openai", "text-embedding-3-small", output=None), Used("mistral_ai", "mistral-embed", output=None)]
    assert [cost for cost, _ in await costs(priced, rows)] == [Decimal("0.00002"), Decimal("0.0001")]


async def test_a_model_that_is_listed_as_free_costs_zero(priced: ClickHouseStore) -> None:
    assert await costs(priced, [Used("google", "gemma-3")]) == [(Decimal(0), bundled_prices().version)]


async def test_names_are_compared_without_case(priced: ClickHouseStore) -> None:
    upper, lower = await costs(priced, [Used("OpenAI", "GPT-4o"), Used("openai", "gpt-4o")])
    assert upper == lower
    assert lower[0] == Decimal("0.0035")


async def test_the_dictionary_loads_when_there_are_no_prices(store: ClickHouseStore) -> None:
    await reload_dictionary(store)
    assert await costs(store, [Used("openai", "gpt-4o")]) == [(None, "")]


async def test_writing_the_same_prices_again_changes_nothing(priced: ClickHouseStore) -> None:
    row = Used("anthropic", "claude-sonnet-4-5", uncached=300_000)
    before = await costs(priced, [row])
    await priced.command("INSERT INTO prices SELECT * FROM prices")
    await priced.command("INSERT INTO model_resolution SELECT * FROM model_resolution")
    await reload_dictionary(priced)
    assert await costs(priced, [row]) == before
