"""Prices on arrival, and the spans that are priced later, through the whole store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog

from analyzers.cost.prices import bundled_prices
from analyzers.cost.pricing import Pricing, PricingRun, sync_prices
from analyzers.cost.repricing import MAX_PARTITIONS, reprice, scan_start
from schemas.settings import CostSettings, PriceOverride
from storage.clickhouse import ClickHouseStore, StoreError
from storage.migrations import migrate_store
from tests.ingest.spans import ingest_spans, make_span

LIST = bundled_prices().version


def now() -> datetime:
    return datetime.now(UTC)


def own_price(usd: float, model: str = "assistant-7b") -> CostSettings:
    return CostSettings(
        prices=(PriceOverride(provider="internal", model=model, input_usd_per_mtok=usd, output_usd_per_mtok=usd),)
    )


LISTED_ONLY = CostSettings()


def pricing(store: ClickHouseStore, settings: CostSettings = LISTED_ONLY) -> Pricing:
    return Pricing(store, settings, now)


def usage(provider: str, model: str, **tokens: int) -> dict[str, Any]:
    names = {
        "input": "gen_ai.usage.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "cache_read": "gen_ai.usage.cache_read.input_tokens",
        "cache_write": "gen_ai.usage.cache_creation.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
    }
    given = tokens or {"input": 1000, "output": 1000}
    model_keys = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.response.model": model}
    return model_keys | {names[name]: count for name, count in given.items()}


async def ingest(store: ClickHouseStore, *spans: Mapping[str, Any], received_at: datetime | None = None) -> None:
    start = (received_at or now()) - timedelta(seconds=1)
    await ingest_spans(store, "default", [make_span(attributes=each, start=start) for each in spans], received_at=received_at)


async def stored(store: ClickHouseStore) -> list[tuple[str, Decimal | None, str]]:
    rows = await store.query("SELECT model, cost_usd, price_version FROM spans ORDER BY model, received_at")
    return [(row["model"], row["cost_usd"], row["price_version"]) for row in rows]


async def test_the_first_span_of_a_listed_model_is_priced_on_arrival(store: ClickHouseStore) -> None:
    await sync_prices(store, CostSettings(), now())
    await ingest(store, usage("openai", "gpt-4o"))
    assert await stored(store) == [("gpt-4o", Decimal("0.0125"), LIST)]


async def test_cached_and_reasoning_tokens_are_billed_once(store: ClickHouseStore) -> None:
    await sync_prices(store, CostSettings(), now())
    cached = usage("openai", "gpt-4o", input=1000, cache_read=800, output=1000, reasoning=900)
    await ingest(store, cached)
    assert await stored(store) == [("gpt-4o", Decimal("0.0115"), LIST)]


async def test_spans_without_a_model_or_usage_have_no_cost(store: ClickHouseStore) -> None:
    await sync_prices(store, CostSettings(), now())
    await ingest(store, {"http.method": "GET"}, {"gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-4o"})
    assert [cost for _, cost, _ in await stored(store)] == [None, None]
    assert await pricing(store).run_once(now()) == PricingRun(names=0, spans=0)


async def test_a_name_that_needs_a_pattern_is_priced_by_the_next_look(store: ClickHouseStore) -> None:
    await sync_prices(store, CostSettings(), now())
    name = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    await ingest(store, usage("aws.bedrock", name), usage("aws.bedrock", name))
    assert {cost for _, cost, _ in await stored(store)} == {None}
    part = pricing(store)
    assert await part.run_once(now()) == PricingRun(names=1, spans=2)
    assert await stored(store) == [(name, Decimal("0.0198"), LIST)] * 2
    assert await part.run_once(now()) == PricingRun(names=0, spans=0)
    await ingest(store, usage("aws.bedrock", name))
    assert await stored(store) == [(name, Decimal("0.0198"), LIST)] * 3


async def test_an_unknown_model_stays_null_and_is_asked_for_once(store: ClickHouseStore) -> None:
    await ingest(store, usage("openai", "no-such-model"), usage("OpenAI", "No-Such-Model"))
    part = pricing(store)
    assert await part.run_once(now()) == PricingRun(names=1, spans=0)
    assert await part.run_once(now()) == PricingRun(names=0, spans=0)
    assert [(cost, version) for _, cost, version in await stored(store)] == [(None, "")] * 2
    rows = await store.query("SELECT provider, model, resolved, reason FROM model_resolution FINAL WHERE resolved = 0")
    assert rows == [{"provider": "openai", "model": "no-such-model", "resolved": 0, "reason": "unknown model"}]


async def test_a_model_that_becomes_known_is_priced_in_retrospect(store: ClickHouseStore) -> None:
    await ingest(store, usage("internal", "assistant-7b"))
    assert await pricing(store).run_once(now()) == PricingRun(names=1, spans=0)
    assert await pricing(store, own_price(1.5)).run_once(now()) == PricingRun(names=0, spans=1)
    [(_, cost, version)] = await stored(store)
    assert cost == Decimal("0.003")
    assert version.startswith("operator/")


async def test_another_price_of_the_operators_reprices_its_own_spans_only(store: ClickHouseStore) -> None:
    await sync_prices(store, own_price(1.5), now())
    await ingest(store, usage("internal", "assistant-7b"), usage("openai", "gpt-4o"))
    listed, own = sorted(await stored(store), key=lambda row: row[0], reverse=True)
    assert await pricing(store, own_price(4)).run_once(now()) == PricingRun(names=0, spans=1)
    after, unchanged = await stored(store)
    assert unchanged == listed
    assert after[1] == Decimal("0.008")
    assert after[2] != own[2]


async def test_a_price_that_the_operator_takes_back_leaves_null(store: ClickHouseStore) -> None:
    await sync_prices(store, own_price(1.5), now())
    await ingest(store, usage("internal", "assistant-7b"))
    part = pricing(store)
    assert await part.run_once(now()) == PricingRun(names=0, spans=1)
    assert await stored(store) == [("assistant-7b", None, "")]
    assert await part.run_once(now()) == PricingRun(names=0, spans=0)


async def test_a_new_price_for_a_listed_model_leaves_what_was_billed(store: ClickHouseStore) -> None:
    await sync_prices(store, CostSettings(), now())
    await ingest(store, usage("openai", "gpt-4o"))
    own = CostSettings(prices=(PriceOverride(provider="openai", model="gpt-4o", input_usd_per_mtok=1, output_usd_per_mtok=1),))
    assert await pricing(store, own).run_once(now()) == PricingRun(names=0, spans=0)
    await ingest(store, usage("openai", "gpt-4o"))
    assert [cost for _, cost, _ in await stored(store)] == [Decimal("0.0125"), Decimal("0.002")]


async def test_one_call_rewrites_a_bounded_number_of_days(store: ClickHouseStore) -> None:
    days = MAX_PARTITIONS + 2
    for day in range(days):
        await ingest(store, usage("internal", "assistant-7b"), received_at=now() - timedelta(days=day))
    await sync_prices(store, own_price(1), now())
    assert await reprice(store) == MAX_PARTITIONS
    assert await reprice(store) == 2
    assert await reprice(store) == 0
    assert {cost for _, cost, _ in await stored(store)} == {Decimal("0.002")}


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_a_rewrite_that_cannot_go_on_says_how_to_end_it(store: ClickHouseStore) -> None:
    await ingest(store, usage("internal", "assistant-7b"))
    broken = "ALTER TABLE spans UPDATE price_version = toString(throwIf(1, 'broken')) WHERE 1"
    await store.command(broken, settings={"mutations_sync": 0})
    failed = (
        "SELECT count() AS n FROM system.mutations"
        " WHERE database = currentDatabase() AND latest_fail_reason != '' AND NOT is_done"
    )

    async def is_stuck() -> bool:
        return bool((await store.query(failed))[0]["n"])

    await eventually(is_stuck)
    with pytest.raises(StoreError, match=r"broken.*KILL MUTATION WHERE mutation_id"):
        await reprice(store)
    await store.command("KILL MUTATION WHERE database = currentDatabase()")
    await sync_prices(store, own_price(1), now())
    assert await reprice(store) == 1


async def test_a_look_that_fails_is_logged_and_made_again(store: ClickHouseStore) -> None:
    part = Pricing(store, own_price(1).model_copy(update={"refresh_s": 0.02}), now)
    broken = "ALTER TABLE spans UPDATE price_version = toString(throwIf(1, 'broken')) WHERE 1"
    await ingest(store, usage("internal", "assistant-7b"))
    await store.command(broken, settings={"mutations_sync": 0})
    with structlog.testing.capture_logs() as logs:
        await part.start()
        try:

            async def is_logged() -> bool:
                return any(entry["event"] == "pricing_failed" for entry in logs)

            async def is_priced() -> bool:
                return (await stored(store))[0][1] == Decimal("0.002")

            await eventually(is_logged)
            await store.command("KILL MUTATION WHERE database = currentDatabase()")
            await eventually(is_priced)
        finally:
            await part.stop()


async def test_a_dictionary_that_cannot_be_loaded_says_what_it_needs(bare_store: ClickHouseStore) -> None:
    await migrate_store(bare_store)
    await bare_store.command(
        "CREATE OR REPLACE DICTIONARY token_prices (provider String, model String, version String, steps Array(UInt64),"
        " rates Array(Decimal(18, 18))) PRIMARY KEY provider, model SOURCE(CLICKHOUSE(USER 'nobody' PASSWORD 'wrong'"
        " QUERY 'SELECT * FROM nothing')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
    )
    with pytest.raises(StoreError, match=r"price dictionary cannot be loaded.*docs/cost\.md"):
        await sync_prices(bare_store, CostSettings(), now())


async def test_a_second_start_writes_nothing(store: ClickHouseStore) -> None:
    await sync_prices(store, own_price(1), now())
    counts = "SELECT (SELECT count() FROM prices) AS steps, (SELECT count() FROM model_resolution) AS names"
    before = await store.query(counts)
    await sync_prices(store, own_price(1), now())
    assert await store.query(counts) == before


async def test_it_stops_once_and_needs_no_start(store: ClickHouseStore) -> None:
    part = pricing(store)
    await part.stop()
    part = pricing(store)
    await part.start()
    await part.stop()
    await part.stop()


@pytest.mark.parametrize(
    ("last_s", "full_s", "expected_s"),
    [(None, None, None), (10, None, None), (10, 3_600, None), (10, 3_599, 310), (0, 0, 300)],
)
def test_a_look_covers_the_last_minutes_and_all_once_an_hour(
    last_s: int | None, full_s: int | None, expected_s: int | None
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def ago(seconds: int | None) -> datetime | None:
        return None if seconds is None else at - timedelta(seconds=seconds)

    assert scan_start(at, ago(last_s), ago(full_s)) == ago(expected_s)
