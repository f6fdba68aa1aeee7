"""Spans with their text, by place in the log, across projects: what analyzers read. The API never does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from storage.clickhouse import ClickHouseStore

GENERATING = ("chat", "text_completion", "generate_content")
RETRIEVING = "retrieval"
CALLING = "execute_tool"

# A record is stored within minutes of its arrival, and offsets follow arrival: a day before the newest span analyzed is
# far enough back to find every later offset, and lets the read skip older partitions of the table.
LOOK_BACK = timedelta(days=1)
# The other spans of a trace, and other copies of a span, arrived at most so much before.
TRACE_SLACK = timedelta(minutes=10)

_READ = ", ".join(f"'{name}'" for name in (*GENERATING, RETRIEVING))

STRETCH_RANGE = (
    "log_partition = {partition:UInt32} AND log_offset >= {first:UInt64} AND log_offset < {end:UInt64}"
    " AND received_at >= {since:DateTime64(3, 'UTC')}"
)

# The spans of a stretch. Of those that report one response the outermost is read, which is nearest to the user.
_OWN = f"FROM spans WHERE {STRETCH_RANGE} AND operation IN ({_READ})"
_ONCE = "ORDER BY log_offset, started_at, span_key LIMIT 1 BY project, usage_key"

_OFFSETS = f"SELECT log_offset, count() AS n {_OWN} GROUP BY log_offset ORDER BY log_offset LIMIT {{limit:UInt32}}"

_RETRIEVES = f"operation = '{RETRIEVING}'"
_ASKED = "arrayLast((text, role) -> role = 'user', input_messages.text, input_messages.role)"
_ANSWERED = "arrayFilter((text, role) -> role = 'assistant', output_messages.text, output_messages.role)"


_WRITTEN = r"match(text, '\\S')"


def _key(text: str, condition: str) -> str:
    """What tells one text from another; 0 where there is none."""
    return f"if({condition} AND arrayExists(text -> {_WRITTEN}, {text}), cityHash64({text}), 0)"


_HEADS = f"""SELECT project, trace_id, span_id, usage_key, log_offset, received_at, time, started_at, span_key, service, model,
target, release, user_id, conversation_id, [{_ASKED}] AS asked, {_ANSWERED} AS answered,
{_key("asked", f"NOT ({_RETRIEVES})")} AS prompt_key, {_key("answered", f"NOT ({_RETRIEVES})")} AS completion_key,
{_key("asked", _RETRIEVES)} AS query_key, if({_RETRIEVES}, 0, usage_key) AS whole_key {_OWN} {_ONCE}"""


def _first(column: str) -> str:
    return f"argMinIf({column}, started_at, {column} != '') AS of_{column}"


# What earlier records and the stretch itself hold of its traces: their labels, and the responses that were read before.
_TRACES = f"""SELECT project, trace_id, {_first("target")}, {_first("release")}, {_first("user_id")},
{_first("conversation_id")},
groupUniqArrayIf(usage_key, log_offset < {{first:UInt64}} AND operation IN ({_READ})) AS read_before
FROM spans WHERE log_partition = {{partition:UInt32}} AND log_offset < {{end:UInt64}}
AND received_at >= (SELECT min(received_at) {_OWN}) - toIntervalSecond({TRACE_SLACK // timedelta(seconds=1)})
AND (project, trace_id) IN (SELECT project, trace_id {_OWN}) GROUP BY project, trace_id"""  # made of constants


def _own_or_inherited(column: str) -> str:
    return f"if({column} != '', {column}, of_{column}) AS {column}"


_HEADS_OF_TRACES = f"""SELECT project, lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, usage_key, log_offset,
received_at, time, service, model, prompt_key, completion_key, query_key, whole_key, {_own_or_inherited("target")},
{_own_or_inherited("release")}, {_own_or_inherited("user_id")}, {_own_or_inherited("conversation_id")}
FROM ({_HEADS}) AS h ANY LEFT JOIN ({_TRACES}) AS t USING (project, trace_id)
WHERE NOT has(read_before, usage_key) ORDER BY log_offset, started_at, span_key"""  # made of constants

_TEXTS = f"""SELECT project, usage_key, started_at, operation, environment, provider, status, error_type, finish_reasons,
input_messages, output_messages, input_tokens, output_tokens, duration_ms, time_to_first_token_ms
{_OWN} AND usage_key IN {{keys:Array(UInt64)}} {_ONCE}"""

_OF_TRACES = (
    "project IN {projects:Array(String)} AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))"
    " AND received_at >= {traces_since:DateTime64(3, 'UTC')}"
)

_FOUND = f"""SELECT project, lower(hex(trace_id)) AS trace, operation, started_at, output_messages FROM spans
WHERE {_OF_TRACES} AND operation IN ('{RETRIEVING}', '{CALLING}')
AND (log_partition != {{partition:UInt32}} OR log_offset < {{end:UInt64}})
ORDER BY started_at, span_key LIMIT 1 BY project, span_key"""  # made of constants


@dataclass(frozen=True)
class Stretch:
    """The records [first, end) of one partition of the log; `since` is the arrival before which none of them lies."""

    partition: int
    first: int
    end: int
    since: datetime


async def cut(store: ClickHouseStore, stretch: Stretch, spans: int) -> tuple[int, int]:
    """Where to end a stretch so that it holds about `spans` generative AI spans, and how many: whole records, at least one."""
    rows = await store.query(_OFFSETS, {**stretch_bounds(stretch), "limit": spans})
    found = 0
    for row in rows:
        found += row["n"]
        if found >= spans:
            return int(row["log_offset"]) + 1, found
    return stretch.end, found


async def read_heads(store: ClickHouseStore, stretch: Stretch) -> list[dict[str, Any]]:
    """The generative AI spans of a stretch without their text, with target, release, user and conversation of their trace.

    `prompt_key`, `completion_key` and `query_key` tell identical texts from others and are 0 where there is none, `whole_key`
    is 0 where no model answered. A response that an earlier record held is left out. Only what came before the end of the
    stretch is looked at, so that reading it again gives the same.
    """
    return await store.query(_HEADS_OF_TRACES, stretch_bounds(stretch))


async def read_texts(store: ClickHouseStore, stretch: Stretch, heads: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The spans of some `heads` of the stretch, whole, in the same order."""
    if not heads:
        return []
    found = await store.query(_TEXTS, stretch_bounds(stretch) | {"keys": [head["usage_key"] for head in heads]})
    by_key = {(row["project"], row["usage_key"]): row for row in found}
    return [{**head, **by_key[head["project"], head["usage_key"]]} for head in heads]


async def read_found_rows(store: ClickHouseStore, stretch: Stretch, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What retrievers and tools found in the traces of `rows`, in order of time."""
    if not rows:
        return []
    return await store.query(_FOUND, stretch_bounds(stretch) | _traces(rows))


def stretch_bounds(stretch: Stretch) -> dict[str, Any]:
    """Bound parameters of `STRETCH_RANGE`."""
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
