"""Single spans: search, one trace, one span."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.api.spans import Message, SpanDetail, SpanEvent, SpanLink, SpanSummary
from storage.dimensions import filter_parameters, span_conditions
from storage.scope import SPANS_OF_TRACE, ProjectReader, Range, from_epoch_ms, spans_of

SUMMARY_COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "span_key",
    "usage_key",
    "name",
    "kind",
    "service",
    "operation",
    "provider",
    "model",
    "target",
    "release",
    "user_id",
    "conversation_id",
    "toUnixTimestamp64Nano(started_at) AS started_ns",
    "toUnixTimestamp64Milli(time) AS time_ms",
    "duration_ms",
    "time_to_first_token_ms",
    "status",
    "is_error",
    "error_type",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "input_preview",
    "output_preview",
)

BODY_COLUMNS = (
    "toUnixTimestamp64Milli(received_at) AS received_ms",
    "status_message",
    "service_version",
    "environment",
    "scope",
    "request_model",
    "response_model",
    "response_id",
    "prompt_name",
    "prompt_version",
    "agent_name",
    "tool_name",
    "finish_reasons",
    "input_uncached_tokens",
    "usage_convention",
    "price_version",
    "input_messages",
    "output_messages",
    "attributes",
    "resource_attributes",
    "arrayMap(event -> (toUnixTimestamp64Nano(event.time), event.name, event.attributes), events) AS happened",
    "links",
    "invalid_attributes",
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Position:
    """A place in a search: after the span with this time and key, towards older ones."""

    time_ms: int
    span_key: int


@dataclass(frozen=True)
class SpanQuery:
    """A search: `filters` by dimension, `text` anywhere in the messages (any case)."""

    span: Range
    limit: int
    filters: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    after: Position | None = None


@dataclass(frozen=True)
class Found:
    """A page of a search; `position` continues it, None at its end."""

    rows: list[Row]
    position: Position | None


async def search_spans(reader: ProjectReader, query: SpanQuery) -> Found:
    """Spans newest first, each once. A span that arrives during the search never moves what lies behind a position.

    Raises:
        QueryError: the range.
        StoreError: the store refused, or a limit was reached.
    """
    query.span.check(reader.bounds)
    rows: dict[int, Row] = {}
    after, more = query.after, True
    while more and len(rows) <= query.limit:
        batch = await _batch(reader, query, after)
        rows |= {row["span_key"]: row for row in batch if row["span_key"] not in rows}
        more = len(batch) > query.limit
        after = _position(batch[-1]) if batch else after
    found = list(rows.values())
    return Found(found[: query.limit], _position(found[query.limit - 1]) if len(found) > query.limit else None)


def _position(row: Row) -> Position:
    return Position(row["time_ms"], row["span_key"])


async def _batch(reader: ProjectReader, query: SpanQuery, after: Position | None) -> list[Row]:
    span = query.span
    conditions = span_conditions(span.axis, query.filters)
    parameters: dict[str, Any] = {**filter_parameters(query.filters), "limit": query.limit + 1}
    if query.text:
        conditions.append(_TEXT)
        parameters["text"] = query.text
    if after is not None:
        conditions.append(_BEHIND)
        parameters |= {"time_ms": after.time_ms, "span_key": after.span_key}
        span = Range(span.start, min(span.end, from_epoch_ms(after.time_ms + 1)), span.axis)
    if span.start >= span.end:
        return []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"SELECT {_list(SUMMARY_COLUMNS)} {spans_of(span.axis)}{where} ORDER BY {_NEWEST} LIMIT {{limit:UInt32}}"
    return list(await reader.fetch(sql, span, parameters))


_NEWEST = "time DESC, span_key DESC"
# The range already ends with the millisecond of the position.
_BEHIND = "(toUnixTimestamp64Milli(time) < {time_ms:Int64} OR span_key < {span_key:UInt64})"
_TEXT = " OR ".join(
    f"arrayExists(message -> positionCaseInsensitiveUTF8(message.text, {{text:String}}) > 0, {column})"
    for column in ("input_messages", "output_messages")
).join("()")


async def read_trace(reader: ProjectReader, trace_id: str, limit: int, *, bodies: bool) -> list[Row]:
    """At most `limit` spans of a trace (hex), each once, in the order of their start; with `bodies` all their columns."""
    columns = SUMMARY_COLUMNS + (BODY_COLUMNS if bodies else ())
    sql = f"SELECT {_list(columns)} {SPANS_OF_TRACE} ORDER BY started_at, span_key LIMIT 1 BY span_key LIMIT {{limit:UInt32}}"
    return list(await reader.find(sql, trace_id, {"limit": limit}))


async def read_span(reader: ProjectReader, trace_id: str, span_id: str) -> Row | None:
    """One span (hex ids) with all its columns; None when the project has no such span."""
    condition = "span_id = toFixedString(unhex({span_id:String}), 8)"
    sql = f"SELECT {_list(SUMMARY_COLUMNS + BODY_COLUMNS)} {SPANS_OF_TRACE} AND {condition} LIMIT 1"
    rows = await reader.find(sql, trace_id, {"span_id": span_id})
    return rows[0] if rows else None


def summary(row: Row) -> SpanSummary:
    """A row as the API shows it."""
    return SpanSummary(**_summary(row))


def detail(row: Row) -> SpanDetail:
    """A row with bodies as the API shows it."""
    return SpanDetail(**_summary(row), **_body(row))


def _list(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _summary(row: Row) -> dict[str, Any]:
    parent = row["parent_span_id"]
    return {
        **{name: row[name] for name in _NUMBERS},
        **{name: row[column] or None for name, column in _TEXTS.items()},
        "trace_id": row["trace_id"].hex(),
        "span_id": row["span_id"].hex(),
        "parent_span_id": parent.hex() if any(parent) else None,
        "name": row["name"],
        "start": rfc3339_ns(row["started_ns"]),
        "time": from_epoch_ms(row["time_ms"]),
        "status": "error" if row["is_error"] else row["status"],
    }


_NUMBERS = (
    "duration_ms",
    "time_to_first_token_ms",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
)
_TEXTS = {
    **{name: name for name in ("kind", "service", "operation", "provider", "model", "target", "release", "error_type")},
    "user": "user_id",
    "conversation": "conversation_id",
    "input_preview": "input_preview",
    "output_preview": "output_preview",
}
_BODY_TEXTS = {
    **{name: name for name in ("status_message", "service_version", "environment", "scope", "usage_convention")},
    **{name: name for name in ("request_model", "response_model", "response_id", "prompt_version", "price_version")},
    "prompt": "prompt_name",
    "agent": "agent_name",
    "tool": "tool_name",
}
_BODY_VALUES = ("finish_reasons", "input_uncached_tokens", "attributes", "resource_attributes", "invalid_attributes")


def _body(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _BODY_VALUES},
        **{name: row[column] or None for name, column in _BODY_TEXTS.items()},
        "received_at": from_epoch_ms(row["received_ms"]),
        "input_messages": [_message(message) for message in row["input_messages"]],
        "output_messages": [_message(message) for message in row["output_messages"]],
        "events": [SpanEvent(time=rfc3339_ns(ns), name=name, attributes=found) for ns, name, found in row["happened"]],
        "links": [SpanLink(trace_id=link["trace_id"], span_id=link["span_id"]) for link in row["links"]],
    }


def _message(message: Mapping[str, str]) -> Message:
    return Message(role=message["role"], text=message["text"])


def rfc3339_ns(ns: int) -> str:
    """Nanoseconds since 1970 as 2026-01-31T12:00:00.123456789Z."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{from_epoch_ms(seconds * 1000):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
