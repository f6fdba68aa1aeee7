"""Every read of spans and of what was found about them: inside one project, one bounded range and the operator's limits.

The project's predicate is written here and nowhere else. Statements are put together from fixed text; whatever a user
sent travels as a bound parameter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from schemas.settings import QuerySettings
from storage.clickhouse import ClickHouseStore

Axis = Literal["event", "arrival"]

# Event time lies within these bounds of the arrival (the mapping clamps it), which lets a read skip whole partitions.
EARLIEST_EVENT = timedelta(days=7)
LATEST_EVENT = timedelta(hours=1)

# No dashboard needs more; a query that does is refused before it reads.
MAX_ROWS_TO_READ = 1_000_000_000

TIME_COLUMNS: Mapping[Axis, str] = {"event": "time", "arrival": "received_at"}

# The scorer of everything that people said: their judgements are one body, whoever judged.
HUMAN = "human@1"

DEFAULT_BOUNDS = QuerySettings()


class QueryError(ValueError):
    """A query that cannot be answered as asked; the message names the bound and the fix, `code` is its short name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Range:
    """A half-open range of time, `start` included."""

    start: datetime
    end: datetime
    axis: Axis = "event"

    def check(self, bounds: QuerySettings) -> None:
        """Refuse an empty range and one longer than `bounds` allow.

        Raises:
            QueryError: bad-range or range-too-long.
        """
        if self.start >= self.end:
            raise QueryError("bad-range", "the range is empty: `from` must be before `to`")
        if self.end - self.start > timedelta(days=bounds.max_range_days):
            raise QueryError(
                "range-too-long",
                f"the range is longer than {bounds.max_range_days} days: ask for a shorter one, or raise query.max_range_days",
            )


@dataclass(frozen=True)
class ProjectReader:
    """Reads the spans of one project."""

    store: ClickHouseStore
    project: str
    bounds: QuerySettings = DEFAULT_BOUNDS

    async def fetch(self, sql: str, span: Range, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a statement built on `spans_of`, `scores_of` or `looks_of`.

        Raises:
            QueryError: the range is empty or too long.
            StoreError: the store refused, or a limit was reached.
        """
        span.check(self.bounds)
        own = {"project": self.project, "start": epoch_ms(span.start), "end": epoch_ms(span.end)}
        return await self.store.query(sql, {**(parameters or {}), **own}, limits(self.bounds, self.store.embedded))

    async def find(self, sql: str, trace_id: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a statement built on `SPANS_OF_TRACE`; `trace_id` is 32 hex digits.

        Raises:
            StoreError: the store refused, or a limit was reached.
        """
        own = {"project": self.project, "trace_id": trace_id}
        return await self.store.query(sql, {**(parameters or {}), **own}, limits(self.bounds, self.store.embedded))

    async def lookup(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a statement built on `SPANS_OF_TRACES`, `SCORES_OF_TRACES` or `FEEDBACK`, which need no range.

        Raises:
            StoreError: the store refused, or a limit was reached.
        """
        own = {"project": self.project}
        return await self.store.query(sql, {**(parameters or {}), **own}, limits(self.bounds, self.store.embedded))


# What people said, wherever in time: they are few beside the scores of analyzers, and apart from them in the key.
FEEDBACK = f"FROM scores FINAL WHERE project = {{project:String}} AND scorer = '{HUMAN}' AND source = 'human'"

# The spans of some traces (hex ids), which need no range: an index leads to them.
SPANS_OF_TRACES = (
    "FROM spans WHERE project = {project:String} AND trace_id IN (SELECT unhex(arrayJoin({traces:Array(String)})))"
)

# The same for scores.
SCORES_OF_TRACES = (
    "FROM scores FINAL WHERE project = {project:String} AND trace_id IN (SELECT unhex(arrayJoin({traces:Array(String)})))"
)

# The spans of one trace, which need no range: an index leads to them.
SPANS_OF_TRACE = "FROM spans WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)"


def spans_of(axis: Axis, slack: timedelta = timedelta(0)) -> str:
    """`FROM spans` of the reader's project within its range, widened by `slack` on both sides."""
    column = TIME_COLUMNS[axis]
    start, end = _bound("start", -slack), _bound("end", slack)
    clauses = ["project = {project:String}", f"{column} >= {start}", f"{column} < {end}"]
    if axis == "event":
        first, last = _bound("start", -slack - LATEST_EVENT), _bound("end", slack + EARLIEST_EVENT)
        # Follows from the bounds of time, so it only chooses partitions and is not asked of every row.
        clauses.append(f"indexHint(received_at >= {first} AND received_at <= {last})")
    return "FROM spans PREWHERE " + " AND ".join(clauses)


def scores_of(axis: Axis, *, late: bool) -> str:
    """`FROM scores` of the reader's project within its range, each judgement once, with its last version.

    `late`: judgements of people, which arrive long after the span's time; else `received_at` is the arrival of the span.
    """
    column, other = ("time", "received_at") if axis == "event" else ("received_at", "time")
    clauses = ["project = {project:String}", f"{column} >= {_bound('start')}", f"{column} < {_bound('end')}"]
    before, after = (LATEST_EVENT, EARLIEST_EVENT) if axis == "event" else (EARLIEST_EVENT, LATEST_EVENT)
    hints = [f"{other} >= {_bound('start', -before)}", f"{other} <= {_bound('end', after)}"]
    if late:
        hints = hints[:1] if axis == "event" else hints[1:]
    # Versions of one judgement have the same times, so that leaving partitions and granules out never leaves out the last.
    return f"FROM scores FINAL WHERE {' AND '.join(clauses)} AND indexHint({' AND '.join(hints)})"


def evaluations_of() -> str:
    """`FROM scores` that applications reported, of the reader's project, by arrival; versions of one are not told apart."""
    clauses = ["project = {project:String}", f"received_at >= {_bound('start')}", f"received_at < {_bound('end')}"]
    return f"FROM scores WHERE {' AND '.join(clauses)} AND source = 'evaluation'"


def coverage_of(axis: Axis) -> str:
    """`FROM analysis_coverage` of the reader's project: the minutes that begin within its range."""
    column = TIME_COLUMNS[axis]
    clauses = ["project = {project:String}", f"{column} >= {_bound('start')}", f"{column} < {_bound('end')}"]
    if axis == "event":
        hints = [f"received_at >= {_bound('start', -LATEST_EVENT)}", f"received_at <= {_bound('end', EARLIEST_EVENT)}"]
        clauses.append(f"indexHint({' AND '.join(hints)})")
    return f"FROM analysis_coverage FINAL WHERE {' AND '.join(clauses)}"


def looks_of() -> str:
    """`FROM drift_looks` of the reader's project within its range. A look may be there twice: take the last of a time."""
    clauses = ["project = {project:String}", f"time >= {_bound('start')}", f"time < {_bound('end')}"]
    return f"FROM drift_looks WHERE {' AND '.join(clauses)}"


def _bound(parameter: str, offset: timedelta = timedelta(0)) -> str:
    return f"fromUnixTimestamp64Milli({{{parameter}:Int64}} + {offset // timedelta(milliseconds=1)}, 'UTC')"


def limits(bounds: QuerySettings, embedded: bool) -> dict[str, Any]:
    """ClickHouse settings of every read: it changes nothing, and stops at the operator's limits.

    Embedded it takes no more threads than there are cores: measured on 2 cores, 4 threads cost twice the time of 2.
    """
    return {
        "readonly": 2,
        "max_execution_time": bounds.timeout_s,
        "timeout_overflow_mode": "throw",
        "max_memory_usage": bounds.max_memory_bytes,
        "max_rows_to_read": MAX_ROWS_TO_READ,
        "max_result_rows": bounds.max_rows + 1,
        "result_overflow_mode": "throw",
        # Versions of one row lie in one partition, in every table that is read with FINAL. Measured on 5 million scores over
        # 5 days, under load: a day of them in 5 minute steps 440 → 120 ms, the last 5 minutes by arrival 710 → 50 ms.
        "do_not_merge_across_partitions_select_final": 1,
        "max_threads": min(bounds.threads, os.cpu_count() or 1) if embedded else bounds.threads,
    }


def epoch_ms(time: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_epoch_ms(value: int) -> datetime:
    """The opposite of `epoch_ms`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
