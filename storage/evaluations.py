"""Results of evaluations that applications reported as events of their spans, by place in the log, across projects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from storage.clickhouse import ClickHouseStore
from storage.span_texts import LOOK_BACK, STRETCH_RANGE, Stretch, stretch_bounds

EVENT = "gen_ai.evaluation.result"

# Whole records: their spans are read together or not at all.
_EVALUATED = f"""SELECT project, lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, log_offset, received_at, time,
scope, service, environment, operation, provider, model, target, release, user_id, conversation_id,
arrayFilter(x -> x.2 = '{EVENT}', arrayMap((place, event) -> (place, event.name, event.attributes), arrayEnumerate(events),
events)) AS results
FROM spans WHERE {STRETCH_RANGE} AND has(events.name, '{EVENT}')
ORDER BY log_offset LIMIT {{limit:UInt32}} WITH TIES"""  # made of constants

_NEWEST = f"SELECT max(received_at) AS newest, count() AS n FROM spans WHERE {STRETCH_RANGE}"  # made of constants

# The spans of traces as they came first: a copy that a sender sent again, the next day even, is no second evaluation.
_OF_TRACES = """SELECT project, lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, min(received_at) AS arrived,
any(target) AS target, any(release) AS release, any(user_id) AS user_id, any(conversation_id) AS conversation_id FROM spans
WHERE project IN {projects:Array(String)} AND received_at >= {since:DateTime64(3, 'UTC')}
AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
GROUP BY project, trace_id, span_id ORDER BY min(started_at)"""


async def read_evaluated(store: ClickHouseStore, stretch: Stretch, limit: int) -> list[dict[str, Any]]:
    """The spans of a stretch with results of evaluations, in order of the log; about `limit` of them, of whole records.

    `results` are (place among the span's events, name, attributes) of each.
    """
    return await store.query(_EVALUATED, stretch_bounds(stretch) | {"limit": limit})


async def read_newest(store: ClickHouseStore, stretch: Stretch) -> datetime | None:
    """When the newest span of a stretch arrived; None where it holds none."""
    (row,) = await store.query(_NEWEST, stretch_bounds(stretch))
    return row["newest"] if row["n"] else None


async def read_trace_spans(store: ClickHouseStore, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every span of the traces of `rows`, in order of start: its first arrival, target, release, user and conversation."""
    if not rows:
        return []
    parameters = {
        "projects": sorted({row["project"] for row in rows}),
        "traces": sorted({row["trace"] for row in rows}),
        "since": min(row["received_at"] for row in rows) - LOOK_BACK,
    }
    return await store.query(_OF_TRACES, parameters)
