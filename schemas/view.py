"""The materialized view that decodes and normalises OTLP, generated from the mapping of `schemas.attributes`.

Every cast is total: a value that cannot be read gives NULL and its column's name in `invalid_attributes`. The stages run
from the request to the span and from raw values to columns; an array join repeats every column beside it, so each of
those stages takes along only what the later ones need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from schemas.attributes import (
    CONVERSATIONS,
    EVENT_TEXT_KEYS,
    FOREIGN_EVENTS,
    MESSAGE_EVENTS,
    OPERATIONS,
    PROVIDERS,
    RESOURCE_COLUMNS,
    SPAN_COLUMNS,
    TEXT_KEYS,
    USAGE_DETAILS,
    Column,
    Conversation,
)
from schemas.conversation import TOOLS, conversation_stages, numbered_text_condition
from schemas.cost_sql import cost_stages
from schemas.sql import Columns, array, first_of, literal, renamed, select, staged, values

VIEW = "spans_view"
SOURCE = "otlp_requests"
TARGET = "spans"
KEY_VALUE = (
    "Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool),"
    " int_value Nullable(Int64), double_value Nullable(Float64)))"
)

_RANKS = 32
_MAX_TOKENS = 10**9
_OLDEST_DAYS = 400
_NEWEST_S = 3_600
_ENVELOPE = ("project", "log_partition", "log_offset", "received_ns", "record_hash", "record_spans")
_SPAN = ("trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano", "end_time_unix_nano")
_SPAN_PARTS = ("events", "links", "status")
_OWN_FORM = (
    *("operation", "provider", "error_type", "exception_type", "usage_details", "target", "release", "langfuse_release"),
    "span_environment",
)
"""Columns whose text may differ from the attribute they came from, which therefore stays among the attributes."""


def view_select(source: str = SOURCE) -> str:
    """The SELECT of the view, from `otlp_requests` to the columns of `spans`; or from another source with its columns."""
    given = _requests()
    first, second, third, fourth, fifth = conversation_stages(_texts_of(side.name for side in CONVERSATIONS))
    cost, priced = cost_stages("provider", "model", "time", *_BUCKETS)
    stages = (
        _resource() | _spans() | first,
        _texts_by_column() | second,
        _column_texts() | _numbers() | _way() | third,
        _identity() | _names() | _release() | _tokens() | fourth,
        _derived() | cost | fifth,
        priced,
    )
    return staged(select(given, source), given, stages, _STORED)


def view_hash() -> str:
    """A fingerprint of the mapping; writers refuse to start against a view of another one."""
    return hashlib.sha256(view_select().encode()).hexdigest()[:16]


_BUCKETS = ("input_uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
_PLAIN = (
    "conversation_id",
    "user_id",
    "response_id",
    "prompt_name",
    "prompt_version",
    "agent_name",
    "tool_name",
    "request_model",
    "response_model",
)
_STORED = (
    *("project", "trace_id", "span_id", "parent_span_id", "span_key", "usage_key", "log_partition", "log_offset"),
    *("record_hash", "record_spans", "received_at", "started_at", "time", "duration_ms", "name", "kind", "status"),
    *("status_message", "error_type", "is_error", "service", "service_version", "environment", "scope", "operation"),
    *("provider", "model", "target", "release", *_PLAIN, "finish_reasons", "input_tokens", *_BUCKETS),
    *("reasoning_tokens", "usage_convention", "time_to_first_token_ms", "cost_usd", "price_version"),
    *("input_messages", "output_messages", "input_preview", "output_preview", "attributes", "resource_attributes"),
    *("events", "links", "invalid_attributes"),
)


def _texts(attributes: str) -> str:
    """The values of an attribute list as text, whatever their type."""
    fields = ", ".join(f"{attributes}.value.{kind}_value" for kind in ("string", "int", "double", "bool"))
    return f"arrayMap((s, i, d, b) -> coalesce(s, toString(i), toString(d), toString(b), ''), {fields})"


def _requests() -> Columns:
    """One row a span `s`, beside what its request, resource and scope say.

    An expression that is joined more than once within a select is joined once, and what depends on an outer array alone is
    computed before the inner ones are joined.
    """
    resource = "arrayJoin(envelope.request.resource_spans)"
    scope = f"arrayJoin({resource}.scope_spans)"
    attributes = f"{resource}.resource.attributes"
    return {
        "project": "envelope.project",
        "log_partition": "log_partition",
        "log_offset": "log_offset",
        "received_ns": "envelope.received_at_unix_nano",
        "record_hash": "toFixedString(substring(envelope.body_hash, 1, 16), 16)",
        "record_spans": "envelope.span_count",
        "resource_attributes": f"CAST(({attributes}.key, {_texts(attributes)}), 'Map(LowCardinality(String), String)')",
        "scope": f"{scope}.scope.name",
        "s": f"arrayJoin({scope}.spans)",
    }


def _resource() -> Columns:
    return {column.name: first_of(f"resource_attributes[{literal(key)}]" for key in column.keys) for column in RESOURCE_COLUMNS}


def _spans() -> Columns:
    """The parts of a span, the texts of its attributes, and a number for each key: column and rank.

    Sorted by that number, the first hit of a column is its key of highest precedence. Attributes of the span's events come
    after its own.
    """
    own = f"e.name IN {values(FOREIGN_EVENTS)}"
    of_events = f"arrayMap(e -> if({own}, arrayResize([''], length(e.attributes.key)), e.attributes.key), s.events)"
    codes = _codes()
    return {f"s_{name}": f"s.{name}" for name in (*_SPAN, *_SPAN_PARTS)} | {
        "k": "s.attributes.key",
        "v": _texts("s.attributes"),
        "event_texts": "arrayMap(e -> " + _texts("e.attributes") + ", s.events)",
        "codes": f"arrayMap(x -> transform(x, {array(codes)}, {list(codes.values())}, toUInt16(0)),"
        f" arrayConcat(s.attributes.key, arrayFlatten({of_events})))",
    }


_COLUMNS: tuple[Column | Conversation, ...] = (*SPAN_COLUMNS, *CONVERSATIONS)


def _codes() -> dict[str, int]:
    return {key: (index + 1) * _RANKS + rank for index, column in enumerate(_COLUMNS) for rank, key in enumerate(column.keys)}


def _texts_by_column() -> Columns:
    """What is known of a span as a map from column to text, the best key of each first."""
    pairs = "arrayFilter(x -> x.1 > 0 AND notEmpty(x.2), arrayZip(codes, arrayConcat(v, arrayFlatten(event_texts))))"
    by_column = f"arrayMap(x -> (toUInt16(intDiv(x.1, {_RANKS})), x.2), arraySort(x -> x.1, {pairs}))"
    return {"found": f"CAST({by_column}, 'Map(UInt16, String)')"}


_OFTEN = ("operation", "tool_name", "request_model", "response_model", "input_tokens", "usage_details", "error_type")
"""Columns whose text is mentioned more than once."""


def _column_texts() -> Columns:
    return {f"t_{name}": _text(name) for name in _OFTEN}


def _text(name: str) -> str:
    """The text of a column of the mapping, or of a side's best key; '' where no key of it was sent."""
    return f"found[{[column.name for column in _COLUMNS].index(name) + 1}]"


_COUNTS = tuple(column.name for column in SPAN_COLUMNS if column.type == "count")
_TIMES = tuple(column.name for column in SPAN_COLUMNS if column.type in ("seconds", "milliseconds"))


def _numbers() -> Columns:
    """Numbers out of their texts, or NULL; the token buckets are not disjoint yet.

    Counts that no attribute has are looked up in Langfuse's JSON of all counts.
    """
    keys = array(USAGE_DETAILS[name] for name in _COUNTS)
    details = f"JSONExtractRaw({_text('usage_details')}, key)"
    texts = f"arrayMap((t, key) -> if(empty(t), {details}, t), {_texts_of(_COUNTS)}, {keys})"
    number = "toFloat64OrNull(t)"
    return {
        "counts": f"arrayMap(t -> accurateCastOrNull(if({number} <= {_MAX_TOKENS}, {number}, NULL), 'UInt64'), {texts})",
        "times": f"arrayMap(t -> if({number} >= 0 AND {number} < 1e12, {number}, NULL), {_texts_of(_TIMES)})",
    }


def _texts_of(names: Iterable[str]) -> str:
    return "[" + ", ".join(_text(name) for name in names) + "]"


def _tokens() -> Columns:
    """Disjoint buckets. Some clients count cached tokens beside the input instead of within it."""
    given, output, read, write, reasoning = (f"counts[{index + 1}]" for index in range(len(_COUNTS)))
    cached = f"(ifNull({read}, 0) + ifNull({write}, 0))"
    exclusive = f"(ifNull({cached} > {given}, 0) OR notEmpty(t_usage_details) AND empty(t_input_tokens))"
    return {
        "input_uncached_tokens": f"if({exclusive}, {given}, accurateCastOrNull({given} - {cached}, 'UInt64'))",
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_tokens": f"{output} + if({reasoning} > {output}, {reasoning}, 0)",
        "reasoning_tokens": reasoning,
        "usage_convention": f"multiIf(isNull({given}), '', {exclusive}, 'exclusive', 'inclusive')",
        "time_to_first_token_ms": "coalesce(times[1] * 1000, times[2])",
        "invalid_attributes": _invalid(),
    }


def _way() -> Columns:
    """(target, release): ours, then Langfuse's, then the prompt's, then the service's (the span before its resource)."""
    prompt, version = _text("prompt_name"), _text("prompt_version")
    ways = (
        f"(service, {_text('release')}), (service, resource_release), (service, {_text('langfuse_release')}),"
        f" ({prompt}, if(empty({prompt}), '', {version})), (service, service_version)"
    )
    return {"way": f"arrayFirst(x -> notEmpty(x.2), [{ways}])"}


def _release() -> Columns:
    return {
        "target": f"arrayFirst(x -> notEmpty(x), [{_text('target')}, resource_target, way.1])",
        "release": "way.2",
    }


def _invalid() -> str:
    names = (*_COUNTS, *_TIMES)
    values_read = "arrayConcat(arrayMap(n -> isNull(n), counts), arrayMap(n -> isNull(n), times))"
    return f"arrayFilter((x, t, unread) -> notEmpty(t) AND unread, {array(names)}, {_texts_of(names)}, {values_read})"


def _instant(nanoseconds: str) -> str:
    """A time in nanoseconds as DateTime64(9), which ends in the year 2262."""
    return f"fromUnixTimestamp64Nano(toInt64(least({nanoseconds}, 9223372036854775807)), 'UTC')"


def _identity() -> dict[str, str]:
    start, end = "s_start_time_unix_nano", "s_end_time_unix_nano"
    absurd = f"{start} > received_ns + {_NEWEST_S} * 1000000000 OR {start} + {_OLDEST_DAYS * 86_400} * 1000000000 < received_ns"
    return {
        "trace_id": "toFixedString(substring(s_trace_id, 1, 16), 16)",
        "span_id": "toFixedString(substring(s_span_id, 1, 8), 8)",
        "parent_span_id": "toFixedString(substring(s_parent_span_id, 1, 8), 8)",
        "received_at": "fromUnixTimestamp64Milli(toInt64(intDiv(received_ns, 1000000)), 'UTC')",
        "started_at": _instant(start),
        "time": f"fromUnixTimestamp64Milli(toInt64(intDiv(if({absurd}, received_ns, {start}), 1000000)), 'UTC')",
        "duration_ms": f"if({start} > 0 AND {end} >= {start}, ({end} - {start}) / 1e6, NULL)",
        "name": "s_name",
        "kind": "transform(s_kind, [1, 2, 3, 4, 5], ['internal', 'server', 'client', 'producer', 'consumer'], '')",
        "status": "transform(s_status.code, [1, 2], ['ok', 'error'], 'unset')",
        "status_message": "s_status.message",
        "error_type": f"if(empty(t_error_type) AND s_status.code = 2, {_text('exception_type')}, t_error_type)",
    }


def _names() -> dict[str, str]:
    finished, environment = _text("finish_reasons"), _text("span_environment")
    return {
        "operation": _operation(),
        "provider": renamed(_text("provider"), PROVIDERS),
        "model": "if(empty(t_response_model), t_request_model, t_response_model)",
        **{name: f"t_{name}" if name in _OFTEN else _text(name) for name in _PLAIN},
        "tool_name": f"if(empty(t_tool_name) AND lower(t_operation) IN {values(TOOLS)},"
        " if(startsWith(s_name, 'execute_tool '), substring(s_name, 14), s_name), t_tool_name)",
        "finish_reasons": f"if(startsWith({finished}, '['), JSONExtract({finished}, 'Array(String)'),"
        f" arrayFilter(x -> notEmpty(x), [{finished}]))",
        "environment": f"if(empty({environment}), resource_environment, {environment})",
        "links": "arrayMap(l -> (lower(hex(l.trace_id)), lower(hex(l.span_id))), s_links)",
        "events": _events(),
    }


def _operation() -> str:
    """What the span says it does, else what its attributes imply.

    A tool's name implies a tool. A model and tokens imply a chat, but not on a server that was called by another span:
    the caller reports the same usage.
    """
    implied = (
        "multiIf(notEmpty(t_tool_name), 'execute_tool', notEmpty(t_input_tokens) AND notEmpty(concat(t_request_model,"
        " t_response_model)) AND (s_kind != 2 OR empty(s_parent_span_id)), 'chat', '')"
    )
    return f"if(empty(t_operation), {implied}, {renamed('t_operation', OPERATIONS)})"


def _derived() -> Columns:
    """What is made of the columns of the stages before."""
    return {
        "span_key": "cityHash64(project, trace_id, span_id)",
        "usage_key": "if(empty(response_id), cityHash64(project, trace_id, span_id),"
        " cityHash64(project, trace_id, response_id))",
        "is_error": "toUInt8(status = 'error' OR notEmpty(error_type))",
        "input_tokens": "input_uncached_tokens + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)",
        "attributes": _attributes(),
    }


def _attributes() -> str:
    """What no column holds: not the texts of messages, and not a value that a column keeps under its first name."""
    codes = _codes()
    dropped = [codes[key] for side in CONVERSATIONS for key in side.keys if key not in side.beside]
    firsts = [codes[column.keys[0]] for column in SPAN_COLUMNS if _keeps_its_form(column)]
    held = f"has({dropped}, c) OR has({firsts}, c) AND empty(invalid_attributes) OR {numbered_text_condition('kv.1', 'side')}"
    kept = f"arrayFilter((kv, c, side) -> NOT ({held}), arrayZip(k, v), arraySlice(codes, 1, length(k)), numbered_sides)"
    return f"CAST({kept}, 'Map(LowCardinality(String), String)')"


def _keeps_its_form(column: Column) -> bool:
    return column.type in ("text", "count") and column.name not in _OWN_FORM


def _events() -> str:
    """Events without the texts that the messages hold."""
    dropped = f"(p.1 IN {values(TEXT_KEYS)} OR (e.name IN {values(MESSAGE_EVENTS)} AND p.1 IN {values(EVENT_TEXT_KEYS)}))"
    return (
        f"arrayMap((e, t) -> ({_instant('e.time_unix_nano')}, e.name, CAST(arrayFilter(p -> NOT {dropped},"
        " arrayZip(e.attributes.key, t)), 'Map(String, String)')), s_events, event_texts)"
    )
