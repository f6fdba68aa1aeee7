"""The runner on real stores: every span once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analyzers.contract import AnalyzerUnavailableError, Batch, Context, Findings, Part
from analyzers.runner import AnalyzerRunner
from analyzers.seats import LEASE, Seats
from ingest.embedded_log import EmbeddedTraceLog
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.analysis import Cursor, LeaseLostError, Plan, Seat, furthest_offset, read_analysis, read_cursor, write_cursor
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from tests.analyzers.runner_world import POLL_S, TOPIC, LengthAnalyzer, Waiting, chat, log_end, run_rounds, runner_of
from tests.ingest.spans import ingest_spans, make_envelope, make_span

# Not long ago: what is older than the retention is dropped at once.
NOW = datetime.now(UTC).replace(minute=0, second=30, microsecond=0) - timedelta(hours=2)
SEAT = Seat("length", TOPIC, 0)


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def scores(store: ClickHouseStore) -> list[dict[str, Any]]:
    return await store.query("SELECT * FROM scores FINAL ORDER BY project, log_offset, span_id")


async def coverage(store: ClickHouseStore) -> Mapping[str, Any]:
    columns = "sum(wanted) AS wanted, sum(looked_at) AS looked_at, sum(failed) AS failed, sumMap(abstained) AS abstained"
    return (await store.query(f"SELECT {columns} FROM analysis_coverage FINAL"))[0]


async def test_scores_what_came_since_the_last_round(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    analyzer = LengthAnalyzer()
    runner = runner_of(analyzer, store, control, clock)
    await ingest_spans(store, "shop", [chat("hi", "hello there, friend"), make_span()], received_at=NOW)
    await run_rounds(runner)
    await ingest_spans(store, "shop", [chat("and", "?")], received_at=NOW)
    await run_rounds(runner_of(analyzer, store, control, clock, seats=runner._seats))

    first, second = await scores(store)
    assert (first["name"], first["part"], first["scorer"], first["value"], first["flagged"]) == (
        "length",
        "completion",
        "length@1",
        19.0,
        1,
    )
    assert (first["target"], first["release"], first["service"], first["weight"]) == ("assistant", "v1", "assistant", 1.0)
    assert (second["value"], second["flagged"], second["reason"]) == (None, None, "too-short")
    assert [len(batch.spans) for batch in analyzer.batches] == [1, 1]
    assert await coverage(store) == {"wanted": 2, "looked_at": 2, "failed": 0, "abstained": {"length: too-short": 1}}


async def test_a_replay_changes_nothing(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    runner = runner_of(LengthAnalyzer(), store, control, clock, texts_per_s=0.6)
    await ingest_spans(store, "shop", [chat(f"q{n}", "x" * n) for n in range(1, 40)], received_at=NOW)
    first = await control.read(lambda connection: read_cursor(connection, SEAT))
    await run_rounds(runner, 1)
    before, covered = await scores(store), await coverage(store)
    done = await control.read(lambda connection: read_cursor(connection, SEAT))

    # As if the process had died between its last write and the move of the cursor; meanwhile more spans came.
    await ingest_spans(store, "shop", [chat("late", "more")], received_at=NOW)
    planned = Cursor(first.next_offset, Plan(first.next_offset, done.next_offset, 6), None)
    await control.write(lambda connection: write_cursor(connection, SEAT, planned, NOW))
    clock.now += timedelta(minutes=1)
    await run_rounds(runner_of(LengthAnalyzer(), store, control, clock, texts_per_s=0.6), 1)

    stable = [{key: value for key, value in row.items() if key != "scored_at"} for row in await scores(store)]
    assert stable == [{key: value for key, value in row.items() if key != "scored_at"} for row in before]
    assert await coverage(store) == covered
    assert 6 == len(before) < 39


async def test_a_span_that_was_sent_twice_is_analyzed_once(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock
) -> None:
    analyzer = LengthAnalyzer()
    twice = chat("hi", "hello", trace_id=os.urandom(16), span_id=os.urandom(8), start=NOW)
    await ingest_spans(store, "shop", [twice, chat("other", "answer")], received_at=NOW)
    await run_rounds(runner_of(analyzer, store, control, clock), 1)
    await ingest_spans(store, "shop", [twice, chat("third", "answer")], received_at=NOW)
    await run_rounds(runner_of(analyzer, store, control, clock, seats=Seats(control, TOPIC, lambda: NOW + LEASE)), 1)
    assert sorted(span.prompt for batch in analyzer.batches for span in batch.spans) == ["hi", "other", "third"]


async def test_a_failing_analyzer_is_tried_again_and_then_passed_over(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock
) -> None:
    runner = runner_of(LengthAnalyzer(fails=5), store, control, clock)
    await ingest_spans(store, "shop", [chat("a", "b"), chat("c", "d")], received_at=NOW)
    await run_rounds(runner, 2)
    cursor = await control.read(lambda connection: read_cursor(connection, SEAT))
    assert (cursor.failures, cursor.last_error) == (2, "RuntimeError: the model broke")
    assert cursor.plan is not None

    await run_rounds(runner, 3)
    await ingest_spans(store, "shop", [chat("e", "f")], received_at=NOW)
    await run_rounds(runner, 1)
    assert await coverage(store) == {"wanted": 3, "looked_at": 3, "failed": 2, "abstained": {}}
    assert [row["value"] for row in await scores(store)] == [1.0]
    assert (await control.read(lambda connection: read_cursor(connection, SEAT))).failures == 0


async def test_what_is_not_available_is_waited_for(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    missing = AnalyzerUnavailableError('install it: pip install "tracewarden[models]"')
    runner = runner_of(LengthAnalyzer(fails=12, error=missing), store, control, clock)
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW)
    await run_rounds(runner, 12)
    cursor = await control.read(lambda connection: read_cursor(connection, SEAT))
    assert (cursor.failures, cursor.last_error) == (0, str(missing))
    await run_rounds(runner, 1)
    assert [row["value"] for row in await scores(store)] == [1.0]


class FailsInPartition0(LengthAnalyzer):
    """Finds nothing elsewhere."""

    async def analyze(self, batch: Batch) -> Findings:
        self.fails = 1 if batch.log_partition == 0 else 0
        return await super().analyze(batch)


async def attempts(runner: AnalyzerRunner, analyzer: LengthAnalyzer, until_s: float) -> dict[int, list[float]]:
    """When each partition was tried, in seconds from now, if the runner waits as long as it says."""
    assert isinstance(runner.monotonic, Waiting)
    tried: dict[int, list[float]] = {}
    began, seen, stop = runner.monotonic.now, len(analyzer.batches), asyncio.Event()
    while runner.monotonic.now < began + until_s:
        pause_s = await runner.round(stop)
        assert 0 <= pause_s <= POLL_S
        for batch in analyzer.batches[seen:]:
            tried.setdefault(batch.log_partition, []).append(round(runner.monotonic.now - began, 3))
        seen = len(analyzer.batches)
        runner.monotonic.now += pause_s
    return tried


@pytest.mark.parametrize(
    ("error", "moments"),
    [
        (RuntimeError("the model broke"), [0, 2, 6, 14, 30]),
        (AnalyzerUnavailableError("it is not installed"), [0, 60, 120, 180, 240, 300]),
    ],
)
async def test_it_is_tried_again_after_longer_and_longer(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock, error: Exception, moments: list[float]
) -> None:
    analyzer = LengthAnalyzer(fails=5, error=error)
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW)
    assert await attempts(runner_of(analyzer, store, control, clock), analyzer, 400) == {0: moments}


async def test_what_fails_in_one_partition_waits_there_alone(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock
) -> None:
    analyzer = FailsInPartition0()
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW, partition=0)

    async def log_grows() -> dict[int, int]:
        await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW, partition=1)
        return await log_end(store)

    tried = await attempts(runner_of(analyzer, store, control, clock, committed=log_grows), analyzer, 55)
    assert tried == {0: [0, 2, 6, 14, 30], 1: [0, 10, 20, 30, 40, 50]}


async def test_who_waits_keeps_the_partition(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    analyzer = LengthAnalyzer(fails=2, error=AnalyzerUnavailableError("it is not installed"))
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW)
    runner, stop = runner_of(analyzer, store, control, clock), asyncio.Event()
    assert isinstance(runner.monotonic, Waiting)
    while clock.now < NOW + LEASE + timedelta(seconds=POLL_S):
        pause_s = await runner.round(stop)
        runner.monotonic.now += pause_s
        clock.now += timedelta(seconds=pause_s)
    taken = [seat async for seat, _ in Seats(control, TOPIC, clock).take(analyzer.name, [0])]
    assert (len(analyzer.batches), taken) == (1, [])


async def test_a_value_that_is_not_a_number_is_absent(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    await ingest_spans(store, "shop", [chat("a", "nan")], received_at=NOW)
    await run_rounds(runner_of(LengthAnalyzer(), store, control, clock), 1)
    (row,) = await scores(store)
    assert (row["value"], row["flagged"], row["reason"]) == (None, None, "not-a-number")
    assert (await coverage(store))["abstained"] == {"length: not-a-number": 1}


async def test_a_small_release_is_not_crowded_out(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    large = [chat(f"q{n}", f"answer {n}") for n in range(90)]
    small = [chat(f"s{n}", f"reply {n}", attributes={"tracewarden.release": "v2"}) for n in range(4)]
    await ingest_spans(store, "shop", large + small, received_at=NOW)
    await run_rounds(runner_of(LengthAnalyzer(), store, control, clock, texts_per_s=2.4), 1)
    rows = await store.query(
        "SELECT release, count() AS n, sum(weight) AS w FROM scores FINAL GROUP BY release ORDER BY release"
    )
    assert [(row["release"], row["n"], round(row["w"], 6)) for row in rows] == [("v1", 20, 90.0), ("v2", 4, 4.0)]
    assert await coverage(store) == {"wanted": 94, "looked_at": 24, "failed": 0, "abstained": {}}


async def test_only_what_was_found_before_grounds_an_answer(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock
) -> None:
    trace = os.urandom(16)
    found = {"gen_ai.operation.name": "retrieval", "retrieval.documents.0.document.content": "Open from nine."}
    later = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "clock", "gen_ai.tool.call.result": "It is ten."}
    bare = {"tracewarden.target": "", "tracewarden.release": ""}
    spans = [
        make_span(trace_id=trace, start=NOW, attributes={**found, "tracewarden.target": "faq", "tracewarden.release": "r7"}),
        chat("When?", "From nine.", trace_id=trace, start=NOW + timedelta(seconds=1), attributes=bare),
        make_span(trace_id=trace, start=NOW + timedelta(seconds=2), attributes=later),
        chat("Open now?", "Yes.", trace_id=trace, start=NOW + timedelta(seconds=3), attributes=bare),
    ]
    analyzer = LengthAnalyzer()
    await ingest_spans(store, "shop", spans, received_at=NOW)
    await run_rounds(runner_of(analyzer, store, control, clock), 1)
    batch = analyzer.batches[0]
    first, second = sorted(batch.spans, key=lambda span: span.time)
    assert batch.context_of(first) == Context(("Open from nine.",), ())
    assert batch.context_of(second) == Context(("Open from nine.",), ("It is ten.",))
    assert {(span.target, span.release) for span in batch.spans} == {("faq", "r7")}


async def test_processes_share_the_partitions(control: ControlDatabase, clock: Clock) -> None:
    one, two = Seats(control, TOPIC, clock), Seats(control, TOPIC, clock)

    async def taken(seats: Seats) -> list[int]:
        return [seat.partition async for seat, _ in seats.take("length", range(5))]

    assert await taken(one) == [0, 1, 2, 3, 4]
    assert await taken(two) == []
    assert await taken(one) == [2, 3, 4]
    assert await taken(two) == [0, 1]
    clock.now += LEASE
    assert await taken(two) == [0, 1, 2, 3, 4]


async def test_one_that_lost_its_seat_moves_no_cursor(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    analyzer = LengthAnalyzer()
    other = Seats(control, TOPIC, clock)

    async def stolen() -> None:
        clock.now += LEASE
        assert [seat async for seat, _ in other.take("length", [0])] == [SEAT]

    analyzer.before = stolen
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW)
    await run_rounds(runner_of(analyzer, store, control, clock), 1)
    cursor = await control.read(lambda connection: read_cursor(connection, SEAT))
    assert cursor.plan is not None
    assert cursor.failures == 0

    analyzer.before = None
    await run_rounds(runner_of(analyzer, store, control, clock, seats=other), 1)
    assert [row["value"] for row in await scores(store)] == [1.0]


async def test_kept_seats_are_prolonged_or_reported_lost(
    control: ControlDatabase, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyzers.seats.RENEW_S", 0.01)
    one, two = Seats(control, TOPIC, clock), Seats(control, TOPIC, clock)
    held = [each async for each in one.take("length", [0])]
    async with one.kept(*held[0]):
        for _ in range(4):
            clock.now += LEASE / 2
            await asyncio.sleep(0.1)
        assert [each async for each in two.take("length", [0])] == []

    async def taken_over() -> None:
        async with one.kept(*held[0]):
            clock.now += LEASE
            assert [each async for each in two.take("length", [0])] != []
            await asyncio.sleep(0.1)

    with pytest.raises(LeaseLostError):
        await taken_over()


async def test_says_how_far_it_is(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    runner = runner_of(LengthAnalyzer(), store, control, clock)
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW - timedelta(minutes=2))
    await run_rounds(runner, 1)
    done = await log_end(store)
    watermark = NOW + timedelta(seconds=1)

    async def progress(committed: dict[int, int]) -> tuple[int, datetime | None]:
        (found,) = await control.read(lambda connection: read_analysis(connection, TOPIC, committed, watermark))
        return found.behind, found.watermark

    assert await progress(done) == (0, watermark)
    assert await progress({0: done[0] + 3}) == (3, NOW - timedelta(minutes=2))
    assert await progress({0: done[0], 1: 4}) == (4, None)


async def test_what_comes_after_the_store_was_emptied_is_analyzed(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock
) -> None:
    analyzer, seats = LengthAnalyzer(), Seats(control, TOPIC, clock)

    async def read_up_to() -> int:
        return await control.read(lambda connection: furthest_offset(connection, TOPIC))

    for answer in ("one", "two"):
        log = EmbeddedTraceLog(store, IngestSettings(), Instruments(), read_up_to=read_up_to)
        await log.start()
        await log.append([make_envelope("shop", [chat("a", answer)], NOW)])
        await run_rounds(runner_of(analyzer, store, control, clock, seats=seats, committed=log.committed))
        await log.stop()
        await store.command("TRUNCATE TABLE spans")
    assert [span.completion for batch in analyzer.batches for span in batch.spans] == ["one", "two"]


async def test_a_log_that_begins_again_is_told(store: ClickHouseStore, control: ControlDatabase, clock: Clock) -> None:
    await ingest_spans(store, "shop", [chat("a", "b")], received_at=NOW)
    done, analyzer, seats = await log_end(store), LengthAnalyzer(), Seats(control, TOPIC, clock)
    await run_rounds(runner_of(analyzer, store, control, clock, seats=seats))

    async def last_error(committed: dict[int, int]) -> str | None:
        async def shorter() -> dict[int, int]:
            return committed

        await run_rounds(runner_of(analyzer, store, control, clock, seats=seats, committed=shorter))
        (found,) = await control.read(lambda connection: read_analysis(connection, TOPIC, committed, NOW))
        return found.last_error

    assert await last_error(done) is None
    told = await last_error({0: done[0] - 1})
    assert told is not None
    assert f"partition 0 of the log ends before offset {done[0]}" in told
    await ingest_spans(store, "shop", [chat("c", "d")], received_at=NOW)
    assert await last_error(await log_end(store)) is None
    assert len(analyzer.batches) == 2


async def test_an_analyzer_is_given_the_spans_that_have_what_it_looks_at(
    store: ClickHouseStore, control: ControlDatabase, clock: Clock
) -> None:
    query = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": "card delivery"}
    spans = [
        chat("both", "answer"),
        chat("only asked", " \n"),
        chat("\t", "only answered"),
        chat(" ", ""),
        make_span(attributes=query),
        chat("agent", "repeats", attributes={"gen_ai.operation.name": "invoke_agent"}),
        make_span(attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": "ten"}),
    ]
    await ingest_spans(store, "shop", spans, received_at=NOW)

    async def given(*parts: Part) -> list[tuple[str, str]]:
        analyzer = LengthAnalyzer()
        analyzer.name, analyzer.parts = f"reads-{'-'.join(parts)}", parts
        await run_rounds(runner_of(analyzer, store, control, clock), 1)
        return sorted((span.prompt.strip(), span.completion.strip()) for batch in analyzer.batches for span in batch.spans)

    both, asked, answered = ("both", "answer"), ("only asked", ""), ("", "only answered")
    assert await given("prompt") == [both, asked]
    assert await given("completion") == [answered, both]
    assert await given("query") == [("card delivery", "")]
    assert await given("prompt", "completion", "query") == [answered, both, ("card delivery", ""), asked]
    assert await given("") == [("", ""), answered, both, asked]
