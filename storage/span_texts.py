"""Spans with their text, by place in the log, across projects: what analyzers read. The API never does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.clickhouse import ClickHouseStore

GENERATING = ("chat", "text_completion", "generate_content")
RETRIEVING = "retrieval"
CALLING = "execute_tool"

# A record is stored within minutes of its arrival, and offsets follow arrival: a day before the newest span analyzed is
# far enough back to find every later offset, and lets the read skip older partitions of the table.
LOOK_BACK = timedelta(days=1)
# The other spans of a trace arrived at most so much before.
TRACE_SLACK = timedelta(hours=1)

_OF_TRACE = ("target", "release", "user_id", "conversation_id")

_READ = ", ".join(f"'{name}'" for name in (*GENERATING, RETRIEVING))

_RANGE = (
    "log_partition = {partition:UInt32} AND log_offset >= {first:UInt64} AND log_offset < {end:UInt64}"
    " AND received_at >= {since:DateTime64(3, 'UTC')}"
)

_COLUMNS = (
    "project, lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, log_partition, log_offset, received_at, time,"
    " started_at, operation, service, environment, provider, model, target, release, user_id, conversation_id, status,"
    " error_type, finish_reasons, input_messages, output_messages, input_tokens, output_tokens, duration_ms,"
    " time_to_first_token_ms"
)

_OFFSETS = f"""SELECT log_offset, count() AS n FROM spans WHERE {_RANGE} AND operation IN ({_READ})
GROUP BY log_offset ORDER BY log_offset LIMIT {{limit:UInt32}}"""  # noqa: S608  # made of constants

# Spans that report one response are read once: the outermost, which is nearest to the user.
_TEXTS = f"""SELECT {_COLUMNS}, usage_key FROM spans WHERE {_RANGE} AND operation IN ({_READ})
ORDER BY log_offset, started_at, span_key LIMIT 1 BY project, usage_key"""  # noqa: S608  # made of constants

_OF_TRACES = (
    "project IN {projects:Array(String)} AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))"
    " AND received_at >= {traces_since:DateTime64(3, 'UTC')}"
)


def _first(column: str) -> str:
    return f"argMinIf({column}, started_at, {column} != '') AS {column}"


# What earlier records and this stretch hold of the traces: their labels, and the responses that were read before.
_TRACES = f"""SELECT project, lower(hex(trace_id)) AS trace, {_first("target")}, {_first("release")}, {_first("user_id")},
{_first("conversation_id")},
groupUniqArrayIf(usage_key, log_offset < {{first:UInt64}} AND operation IN ({_READ})) AS read_before
FROM spans WHERE {_OF_TRACES} AND log_partition = {{partition:UInt32}} AND log_offset < {{end:UInt64}}
GROUP BY project, trace"""  # noqa: S608  # made of constants

_FOUND = f"""SELECT project, lower(hex(trace_id)) AS trace, operation, started_at, output_messages FROM spans
WHERE {_OF_TRACES} AND operation IN ('{RETRIEVING}', '{CALLING}')
AND (log_partition != {{partition:UInt32}} OR log_offset < {{end:UInt64}})
ORDER BY started_at, span_key LIMIT 1 BY project, span_key"""  # noqa: S608  # made of constants


@dataclass(frozen=True)
class Stretch:
    """The records [first, end) of one partition of the log; `since` is the arrival before which none of them lies."""

    partition: int
    first: int
    end: int
    since: datetime


async def cut(store: ClickHouseStore, stretch: Stretch, spans: int) -> int:
    """Where to end a stretch so that it holds about `spans` generative AI spans: whole records, at least one."""
    rows = await store.query(_OFFSETS, {**_bounds(stretch), "limit": spans})
    found = 0
    for row in rows:
        found += row["n"]
        if found >= spans:
            return int(row["log_offset"]) + 1
    return stretch.end


async def read_span_rows(store: ClickHouseStore, stretch: Stretch) -> list[dict[str, Any]]:
    """The generative AI spans of a stretch, with the target, release, user and conversation of their trace.

    A response that an earlier record held is left out. Only what came before the end of the stretch is looked at, so that
    reading it again gives the same.
    """
    rows = [_in_utc(row) for row in await store.query(_TEXTS, _bounds(stretch))]
    if not rows:
        return []
    traces = {(row["project"], row["trace"]): row for row in await store.query(_TRACES, _bounds(stretch) | _traces(rows))}
    kept = []
    for row in rows:
        of_trace = traces[row["project"], row["trace"]]
        if row["usage_key"] not in of_trace["read_before"]:
            kept.append(row | {name: row[name] or of_trace[name] for name in _OF_TRACE})
    return kept


async def read_found_rows(store: ClickHouseStore, stretch: Stretch, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What retrievers and tools found in the traces of `rows`, in order of time."""
    if not rows:
        return []
    return [_in_utc(row) for row in await store.query(_FOUND, _bounds(stretch) | _traces(rows))]


def _in_utc(row: dict[str, Any]) -> dict[str, Any]:
    """The columns are in UTC; the client hands them over without a zone."""
    return {name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()}


def _bounds(stretch: Stretch) -> dict[str, Any]:
    return {
        "partition": stretch.partition,
        "first": stretch.first,
        "end": stretch.end,
        "since": stretch.since - LOOK_BACK,
    }


def _traces(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "projects": sorted({row["project"] for row in rows}),
        "traces": sorted({row["trace"] for row in rows}),
        "traces_since": min(row["received_at"] for row in rows) - TRACE_SLACK,
    }
