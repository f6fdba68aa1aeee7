"""Runs one analyzer over the log: by offset, each stretch as often as it takes and as if it were once.

A stretch is planned, and the plan is stored, before it is worked on. Whatever happens then, the same stretch is read again
with the same budget, and what it writes replaces itself; only after that the cursor moves on. Analyzers run beside each
other, each with a cursor of its own, so one that is slow or fails stops no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from analyzers.contract import Analyzer, AnalyzerUnavailableError, Batch, Findings, Part, Score, SpanText
from analyzers.records import contexts, coverage_rows, score_row, span_text, wanted_of
from analyzers.sampling import Sample, Wanted, sample
from analyzers.seats import Seats
from analyzers.stretches import Stretches
from schemas.instruments import Instruments
from storage.analysis import Cursor, LeaseLostError, Plan, Seat, read_cursor, write_held_cursor
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase, ControlError
from storage.scores import CoverageRow, ScoreRow, insert_coverage, insert_scores
from storage.span_texts import Stretch, read_found_rows, read_texts

ATTEMPTS = 5
LONGEST_PAUSE_S = 60.0

Committed = Callable[[], Awaitable[Mapping[int, int]]]
"""By partition the offset before which every record is in the store."""

LONG_AGO = datetime(1971, 1, 1, tzinfo=UTC)

_log = structlog.get_logger("analysis")


class Allowance:
    """A budget in texts a second, saved up over at most a minute.

    What an analyzer is given is also what it can do: a stretch takes seconds, not minutes, and one second while more waits,
    so that one slower than its budget looks at a smaller share instead of falling behind.
    """

    SAVED_S = 60.0
    CALM_S = 10.0
    BEHIND_S = 1.0

    def __init__(self, texts_per_s: float | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = texts_per_s
        self._speed = texts_per_s or 0.0
        self._monotonic = monotonic
        self._since = monotonic() - self.SAVED_S

    def take(self, *, behind: bool) -> int | None:
        """The texts that may be looked at now; None without a budget."""
        if self._rate is None:
            return None
        now = self._monotonic()
        saved_s = min(now - self._since, self.SAVED_S)
        self._since = now
        most = self._speed * (self.BEHIND_S if behind else self.CALM_S)
        return max(1, round(min(self._rate * saved_s, most)))

    def settle(self, allowance: int | None, texts: int, seconds: float) -> None:
        """Give back what a stretch did not need, and remember how fast the analyzer was."""
        if self._rate is None or allowance is None:
            return
        self._since -= max(0, allowance - texts) / self._rate
        if texts and seconds > 0:
            # Half old, half new: a loaded model or a busy minute passes, and a first stretch that loads it is forgotten soon.
            self._speed = (self._speed + max(1.0, texts / seconds)) / 2


@dataclass(frozen=True)
class Reading:
    """What was read of a stretch: the spans that the analyzer wants, those that it looks at, and its batch."""

    wanted: tuple[Wanted, ...]
    sample: Sample
    batch: Batch
    newest: datetime | None


class AnalyzerRunner:
    """One analyzer in one process; `run` returns when `stop` is set and what it was doing is done or given up."""

    def __init__(
        self,
        analyzer: Analyzer,
        store: ClickHouseStore,
        control: ControlDatabase,
        seats: Seats,
        stretches: Stretches,
        *,
        committed: Committed,
        texts_per_s: float | None,
        poll_s: float,
        clock: Callable[[], datetime],
        instruments: Instruments,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.analyzer = analyzer
        self._store = store
        self._control = control
        self._seats = seats
        self._stretches = stretches
        self._committed = committed
        self._allowance = Allowance(texts_per_s)
        self._poll_s = poll_s
        self._clock = clock
        self._instruments = instruments
        self.monotonic = monotonic
        self._due: dict[int, float] = {}
        self._unavailable = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Analyze until `stop`."""
        try:
            while not stop.is_set():
                pause_s = await self.round(stop)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            await self._seats.leave(self.analyzer.name)

    async def round(self, stop: asyncio.Event) -> float:
        """One stretch of every partition that is ours and due; how long to wait before the next round."""
        committed = await self._committed()
        self._instruments.analyzer_behind.labels(self.analyzer.name).set(0)
        ours = []
        async for seat, lease in self._seats.take(self.analyzer.name, sorted(committed)):
            if stop.is_set():
                break
            ours.append(seat.partition)
            await self._advance(seat, lease, committed[seat.partition])
        # Never past the next look, however long a partition waits: leases are prolonged in between.
        now = self.monotonic()
        return max(0.0, min([self._until_look(), *(self._due[partition] - now for partition in ours)]))

    async def _advance(self, seat: Seat, lease: tuple[str, int], end: int) -> None:
        """One stretch of one partition, if it is due."""
        cursor = await self._control.read(lambda connection: read_cursor(connection, seat))
        self._instruments.analyzer_behind.labels(self.analyzer.name).inc(max(0, end - cursor.next_offset))
        if self.monotonic() >= self._due.get(seat.partition, 0.0):
            pause_s = await self._stretch_of(seat, lease, cursor, end)
            self._due[seat.partition] = self.monotonic() + pause_s

    async def _stretch_of(self, seat: Seat, lease: tuple[str, int], cursor: Cursor, end: int) -> float:
        """Plan a stretch, or take up the planned one, and analyze it; how long this partition waits then."""
        try:
            if cursor.plan is None:
                if cursor.next_offset > end:
                    await self._report_shorter_log(seat, lease, cursor)
                if cursor.next_offset >= end:
                    return self._until_look()
                cursor = await self._plan(seat, lease, cursor, end)
            async with self._seats.kept(seat, lease):
                await self._analyze(seat, lease, cursor)
        except LeaseLostError:
            _log.info("seat_lost", analyzer=self.analyzer.name, partition=seat.partition)
            return self._until_look()
        except AnalyzerUnavailableError as error:
            await self._write(seat, lease, replace(cursor, last_error=str(error)[:1000]))
            return self._wait_for_it(error)
        except (StoreError, ControlError) as error:
            _log.error("stores_unreachable", analyzer=self.analyzer.name, error=str(error))
            return LONGEST_PAUSE_S / 10
        except Exception as error:  # whatever an analyzer raises is its own affair: counted, stored, tried again
            return await self._failed(seat, lease, cursor, error)
        goes_on = cursor.plan is not None and self._stretches.goes_on(seat.partition, cursor.plan.end, end)
        return 0.0 if goes_on else self._until_look()

    async def _report_shorter_log(self, seat: Seat, lease: tuple[str, int], cursor: Cursor) -> None:
        """Offsets of a topic that was made anew begin again: it would look like a log without news."""
        reason = (
            f"partition {seat.partition} of the log ends before offset {cursor.next_offset}, up to which it was analyzed: was "
            "its topic made anew? Nothing of it is analyzed until it is as long again; see Keep the topic in docs/cluster.md"
        )
        if cursor.last_error != reason:
            _log.error("log_is_shorter", analyzer=self.analyzer.name, reason=reason)
            await self._write(seat, lease, replace(cursor, last_error=reason))

    async def _plan(self, seat: Seat, lease: tuple[str, int], cursor: Cursor, end: int) -> Cursor:
        until = await self._stretches.plan(self._stretch(seat, cursor, end))
        allowance = self._allowance.take(behind=self._stretches.goes_on(seat.partition, until, end))
        planned = replace(cursor, plan=Plan(cursor.next_offset, until, allowance))
        await self._write(seat, lease, planned)
        return planned

    async def _analyze(self, seat: Seat, lease: tuple[str, int], cursor: Cursor) -> None:
        assert cursor.plan is not None
        reading = await self._read(seat, cursor, cursor.plan)
        findings, began = Findings(), time.monotonic()
        if reading.sample.spans:
            with self._instruments.analyzer_seconds.labels(self.analyzer.name).time():
                findings = await self.analyzer.analyze(reading.batch)
        self._allowance.settle(cursor.plan.allowance, reading.sample.texts, time.monotonic() - began)
        await self._store_findings(reading, findings, failed=False)
        await self._finish(seat, lease, cursor, reading, "looked_at")
        self._unavailable = ""

    async def _read(self, seat: Seat, cursor: Cursor, plan: Plan) -> Reading:
        """Choose among the heads of the stretch's spans, and read the texts of those chosen only."""
        stretch = self._stretch(seat, cursor, plan.end)
        heads = await self._stretches.heads(stretch)
        wanted, chosen, theirs = await asyncio.to_thread(_choose, heads, self.analyzer.parts, plan.allowance)
        rows = await read_texts(self._store, stretch, theirs)
        found = await read_found_rows(self._store, stretch, rows) if getattr(self.analyzer, "needs_context", False) else []
        return Reading(
            wanted=wanted,
            sample=chosen,
            batch=Batch(
                spans=tuple(span_text(row, seat.partition) for row in rows),
                contexts=contexts(rows, found) if found else {},
                log_partition=seat.partition,
                first_offset=plan.first,
                weights=chosen.weights,
            ),
            newest=max((head["received_at"] for head in heads), default=None),
        )

    async def _store_findings(self, reading: Reading, findings: Findings, *, failed: bool) -> None:
        now = self._clock()
        for table in findings.tables:
            if table.rows:
                await self._store.insert_rows(table.table, list(table.columns), [list(row) for row in table.rows])
        scores, coverage = await asyncio.to_thread(self._rows, reading, findings.scores, failed=failed, now=now)
        await insert_scores(self._store, scores)
        await insert_coverage(self._store, coverage)

    def _rows(
        self, reading: Reading, scores: tuple[Score, ...], *, failed: bool, now: datetime
    ) -> tuple[list[ScoreRow], list[CoverageRow]]:
        weights = dict(zip(map(_key, reading.sample.spans), reading.sample.weights, strict=True))
        rows = [score_row(self.analyzer, score, weights.get(_key(score.span), 1.0), now) for score in scores]
        return rows, coverage_rows(
            self.analyzer,
            reading.wanted,
            reading.sample,
            scores,
            partition=reading.batch.log_partition,
            first_offset=reading.batch.first_offset,
            failed=failed,
            now=now,
        )

    async def _finish(self, seat: Seat, lease: tuple[str, int], cursor: Cursor, reading: Reading, outcome: str) -> None:
        assert cursor.plan is not None
        await self._write(seat, lease, Cursor(cursor.plan.end, None, reading.newest or cursor.seen_at))
        counted = self._instruments.analyzer_spans
        counted.labels(self.analyzer.name, outcome).inc(len(reading.sample.spans))
        counted.labels(self.analyzer.name, "sampled_out").inc(len(reading.wanted) - len(reading.sample.spans))

    async def _failed(self, seat: Seat, lease: tuple[str, int], cursor: Cursor, error: Exception) -> float:
        failures = cursor.failures + 1
        self._instruments.analyzer_failures.labels(self.analyzer.name).inc()
        _log.error("analysis_failed", analyzer=self.analyzer.name, attempt=failures, exc_info=error)
        noted = replace(cursor, failures=failures, last_error=f"{type(error).__name__}: {error}"[:1000])
        if failures < ATTEMPTS or cursor.plan is None:
            await self._write(seat, lease, noted)
            return min(LONGEST_PAUSE_S, 2.0**failures)
        reading = await self._read(seat, cursor, cursor.plan)
        await self._store_findings(reading, Findings(), failed=True)
        await self._finish(seat, lease, cursor, reading, "failed")
        return 0.0

    def _until_look(self) -> float:
        """Seconds until all analyzers look again: those that look at the same time see the same end of the log."""
        return self._poll_s - self.monotonic() % self._poll_s

    def _wait_for_it(self, error: AnalyzerUnavailableError) -> float:
        if str(error) != self._unavailable:
            _log.error("analyzer_unavailable", analyzer=self.analyzer.name, reason=str(error))
        self._unavailable = str(error)
        return LONGEST_PAUSE_S

    async def _write(self, seat: Seat, lease: tuple[str, int], cursor: Cursor) -> None:
        now = self._clock()
        await self._control.write(lambda connection: write_held_cursor(connection, seat, cursor, lease, now))

    def _stretch(self, seat: Seat, cursor: Cursor, end: int) -> Stretch:
        return Stretch(seat.partition, cursor.next_offset, end, cursor.seen_at or LONG_AGO)


def _choose(
    heads: Sequence[Mapping[str, Any]], parts: Sequence[Part], allowance: int | None
) -> tuple[tuple[Wanted, ...], Sample, list[Mapping[str, Any]]]:
    """The spans that have any of `parts`, the sample of them, and the heads of the sample."""
    wanted = tuple(each for head in heads if (each := wanted_of(head, parts)) is not None)
    chosen = sample(wanted, allowance)
    keys = set(map(_key, chosen.spans))
    return wanted, chosen, [head for head in heads if _head_key(head) in keys]


def _key(span: SpanText | Wanted) -> tuple[str, str, str]:
    return span.project, span.trace_id, span.span_id


def _head_key(head: Mapping[str, Any]) -> tuple[str, str, str]:
    return head["project"], head["trace"], head["span"]
