"""Stretches that analyzers share: where they end, and that each is read once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analyzers import stretches as module
from analyzers.seats import Seats
from analyzers.stretches import KEPT_STRETCHES, STRETCH_SPANS, Planned, Stretches, follow
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase
from storage.span_texts import Stretch, read_heads
from tests.analyzers.runner_world import TOPIC, LengthAnalyzer, chat, log_end, run_rounds, runner_of
from tests.ingest.spans import ingest_spans

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
HALF = STRETCH_SPANS // 2
PLANNED = [Planned(10, 20, HALF, True), Planned(20, 30, HALF, False), Planned(30, 40, 1, False), Planned(40, 50, 1, False)]


@pytest.mark.parametrize(
    ("first", "end", "until"),
    [
        (10, 60, 30),  # two fill a stretch
        (20, 60, 50),  # one that lags goes over all that fits
        (20, 45, 40),  # never beyond what is stored
        (35, 60, 50),  # from within one
        (50, 60, None),  # nobody was there yet
        (5, 60, None),  # before all that is known
        (70, 90, None),
    ],
)
def test_a_stretch_ends_where_those_of_others_do(first: int, end: int, until: int | None) -> None:
    assert follow(PLANNED, first, end) == until


def test_one_stretch_is_followed_however_large_it_is() -> None:
    assert follow([Planned(0, 10, 3 * STRETCH_SPANS, False), Planned(10, 20, 1, False)], 0, 20) == 10


class Length(LengthAnalyzer):
    """Another of its kind, with a cursor of its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Reads:
    """Counts the reads of heads, and lets as many fail as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[tuple[int, int]] = []
        self.fails = 0
        monkeypatch.setattr(module, "read_heads", self)

    async def __call__(self, store: ClickHouseStore, stretch: Stretch) -> list[dict[str, Any]]:
        self.read.append((stretch.first, stretch.end))
        if self.fails:
            self.fails -= 1
            raise StoreError("the store went away")
        return await read_heads(store, stretch)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


async def one_more(store: ClickHouseStore) -> int:
    """Store a record; its offset."""
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW)
    return (await log_end(store))[0] - 1


def completions(analyzer: LengthAnalyzer) -> Sequence[str]:
    return [span.completion for batch in analyzer.batches for span in batch.spans]


async def test_heads_are_read_once_for_all(store: ClickHouseStore, control: ControlDatabase, reads: Reads) -> None:
    analyzers = [Length(name) for name in ("one", "two", "three")]
    stretches, seats = Stretches(store), Seats(control, TOPIC, lambda: NOW)
    runners = [runner_of(each, store, control, lambda: NOW, seats=seats, stretches=stretches) for each in analyzers]
    await ingest_spans(store, "shop", [chat("a", "first"), chat("b", "second")], received_at=NOW)
    await asyncio.gather(*(run_rounds(each, 2) for each in runners))
    await ingest_spans(store, "shop", [chat("c", "third")], received_at=NOW)
    await asyncio.gather(*(run_rounds(each, 2) for each in runners))
    assert len(reads.read) == 2
    assert [completions(each) for each in analyzers] == [["first", "second", "third"]] * 3
    rows = await store.query("SELECT name, scorer, sum(value) AS total FROM scores FINAL GROUP BY name, scorer ORDER BY scorer")
    assert [(row["scorer"], row["total"]) for row in rows] == [("one@1", 16.0), ("three@1", 16.0), ("two@1", 16.0)]


async def test_one_that_lags_catches_up_and_then_shares(store: ClickHouseStore, control: ControlDatabase, reads: Reads) -> None:
    fast, slow = Length("fast"), Length("slow")
    stretches, seats = Stretches(store), Seats(control, TOPIC, lambda: NOW)
    ahead, behind = (runner_of(each, store, control, lambda: NOW, seats=seats, stretches=stretches) for each in (fast, slow))
    for text in ("1", "2", "3"):
        await ingest_spans(store, "shop", [chat("q", text * 3)], received_at=NOW)
        await run_rounds(ahead, 1)
    await run_rounds(behind, 1)
    assert [len(batch.spans) for batch in slow.batches] == [3]
    before = len(reads.read)

    await ingest_spans(store, "shop", [chat("q", "444")], received_at=NOW)
    await run_rounds(ahead, 1)
    await run_rounds(behind, 1)
    assert len(reads.read) == before + 1
    assert completions(fast) == completions(slow) == ["111", "222", "333", "444"]


async def test_who_is_first_says_where_all_end(store: ClickHouseStore) -> None:
    stretches, at = Stretches(store), await one_more(store)
    assert await stretches.plan(Stretch(0, at, at + 1, NOW)) == at + 1
    assert not stretches.goes_on(0, at + 1, at + 1)

    # More was stored before the second looked: it waits for the next look, as the first does.
    assert await stretches.plan(Stretch(0, at, at + 7, NOW)) == at + 1
    assert not stretches.goes_on(0, at + 1, at + 7)
    assert await stretches.plan(Stretch(0, at + 1, at + 7, NOW)) == at + 7
    assert stretches.goes_on(0, at + 1, at + 7)
    assert not stretches.goes_on(0, at + 7, at + 9)


async def test_those_that_look_at_once_end_together(store: ClickHouseStore) -> None:
    stretches, at = Stretches(store), await one_more(store)
    plans = (stretches.plan(Stretch(0, at, at + more, NOW)) for more in (1, 2, 3))
    assert await asyncio.gather(*plans) == [at + 1] * 3


async def test_a_plan_that_nobody_here_made_goes_on_as_far_as_the_log_does(store: ClickHouseStore) -> None:
    assert Stretches(store).goes_on(0, 5, 9)
    assert not Stretches(store).goes_on(0, 9, 9)


async def test_a_full_stretch_goes_on(store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH_SPANS", 2)
    stretches, at = Stretches(store), await one_more(store)
    end = 1 + [await one_more(store) for _ in range(2)][-1]
    assert await stretches.plan(Stretch(0, at, end, NOW)) == end - 1
    assert stretches.goes_on(0, end - 1, end)
    assert await stretches.plan(Stretch(0, end - 1, end, NOW)) == end
    assert not stretches.goes_on(0, end, end)


async def test_a_read_that_failed_is_made_again(store: ClickHouseStore, reads: Reads) -> None:
    stretches, at = Stretches(store), await one_more(store)
    stretch = Stretch(0, at, at + 1, NOW)
    reads.fails = 1
    failed = await asyncio.gather(stretches.heads(stretch), stretches.heads(stretch), return_exceptions=True)
    assert [type(each) for each in failed] == [StoreError, StoreError]
    assert len(reads.read) == 1
    assert len(await stretches.heads(stretch)) == 1


async def test_one_that_gives_up_does_not_take_the_heads_from_others(store: ClickHouseStore, reads: Reads) -> None:
    stretches, at = Stretches(store), await one_more(store)
    leaving, staying = (asyncio.create_task(stretches.heads(Stretch(0, at, at + 1, NOW))) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len(await staying) == 1
    assert leaving.cancelled()
    assert len(reads.read) == 1


async def test_so_many_heads_are_kept(store: ClickHouseStore, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_HEADS", 2)
    stretches = Stretches(store)
    offsets = [await one_more(store) for _ in range(3)]
    places = [Stretch(0, at, at + 1, NOW) for at in offsets]
    for place in (*places, *reversed(places[1:])):
        await stretches.heads(place)
    assert len(reads.read) == 3
    await stretches.heads(places[0])
    assert len(reads.read) == 4

    # Larger than all that may be kept: it is, alone.
    whole = Stretch(0, offsets[0], offsets[2] + 1, NOW)
    assert len(await stretches.heads(whole)) == len(await stretches.heads(whole)) == 3
    await stretches.heads(places[0])
    assert len(reads.read) == 6


async def test_so_many_empty_stretches_are_kept(store: ClickHouseStore, reads: Reads) -> None:
    stretches = Stretches(store)
    places = [Stretch(0, first, first + 1, NOW) for first in range(10**6, 10**6 + KEPT_STRETCHES + 1)]
    for place in (*places, places[-1], places[1]):
        await stretches.heads(place)
    assert len(reads.read) == len(places)
    await stretches.heads(places[0])
    assert len(reads.read) == len(places) + 1
