"""The materialized view that decodes and normalises OTLP, generated from the mapping of `schemas.attributes`.

Every cast is total: a value that cannot be read gives NULL and its column's name in `invalid_attributes`. The stages run
from the request to the span and from raw values to columns; an array join repeats every column beside it, so each of
those stages takes along only what the later ones need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from schemas.attributes import (
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
)
from schemas.conversation import TEXT_CODE, TOOLS, conversation_stages, dropped_codes, numbered_text_condition, text_codes
from schemas.cost_sql import cost_stages
from schemas.sql import Columns, array, first_of, literal, renamed, select, staged, values

VIEW = "spans_view"
TARGET = "spans"
KEY_VALUE = (
    "Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool),"
    " int_value Nullable(Int64), double_value Nullable(Float64)))"
)

_RANKS = 32
_MAX_TOKENS = 10**9
_PREVIEW_CHARACTERS = 200
_OLDEST_DAYS = 400
_NEWEST_S = 3_600
_ENVELOPE = ("project", "log_partition", "log_offset", "received_ns", "record_hash", "record_spans")
_SPAN = ("trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano", "end_time_unix_nano")
_SPAN_PARTS = ("events", "links", "status")
_OWN_FORM = ("operation", "provider", "error_type", "target", "release", "langfuse_release", "span_environment")
"""Columns whose text may differ from the attribute they came from, which therefore stays among the attributes."""


def view_select() -> str:
    """The SELECT of the view, from `otlp_requests` to the columns of `spans`."""
    m = conversation_stages()
    price, step, cost, version = cost_stages("provider", "model", "time", *_BUCKETS)
    stages = (
        _sorted_codes() | m[0],
        _sorted() | m[1],
        _split() | m[2],
        _column_texts() | m[3],
        _numbers() | m[4],
        _usage() | _identity() | _names() | _release() | {"invalid_attributes": _invalid()} | m[5],
        _tokens() | _derived() | price,
        step,
        cost,
        version | _attributes(),
    )
    return staged(*_spans(), stages, _STORED)


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


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _spans() -> tuple[str, Columns]:
    """One row a span, with the keys and texts of its attributes: the select and its columns."""
    envelope = {
        "project": "envelope.project",
        **_same("log_partition", "log_offset"),
        "received_ns": "envelope.received_at_unix_nano",
        "record_hash": "toFixedString(substring(envelope.body_hash, 1, 16), 16)",
        "record_spans": "envelope.span_count",
        "rs": "arrayJoin(envelope.request.resource_spans)",
    }
    resource = _same(*_ENVELOPE) | {
        "rk": "rs.resource.attributes.key",
        "rv": _texts("rs.resource.attributes"),
        "ss": "arrayJoin(rs.scope_spans)",
    }
    looked_up = {
        column.name: first_of(f"rv[indexOf(rk, {literal(key)})]" for key in column.keys) for column in RESOURCE_COLUMNS
    }
    scope = _same(*_ENVELOPE) | looked_up
    scope |= {
        "resource_attributes": "CAST((rk, rv), 'Map(LowCardinality(String), String)')",
        "scope": "ss.scope.name",
        "s": "arrayJoin(ss.spans)",
    }
    span = _same(*_ENVELOPE, *looked_up, "resource_attributes", "scope")
    span |= {f"s_{name}": f"s.{name}" for name in (*_SPAN, *_SPAN_PARTS)}
    span |= {
        "k": "s.attributes.key",
        "v": _texts("s.attributes"),
        "event_texts": "arrayMap(e -> " + _texts("e.attributes") + ", s.events)",
    }
    source = "otlp_requests"
    for stage in (envelope, resource, scope, span):
        source = select(stage, source)
    return source, span


def _sorted_codes() -> Columns:
    """A number for each key: column and rank. Sorted by it, the first hit of a column is its key of highest precedence."""
    codes = {
        key: (index + 1) * _RANKS + rank for index, column in enumerate(SPAN_COLUMNS) for rank, key in enumerate(column.keys)
    }
    codes |= text_codes()
    own = f"e.name IN {values(FOREIGN_EVENTS)}"
    of_events = f"arrayMap(e -> if({own}, arrayResize([''], length(e.attributes.key)), e.attributes.key), s_events)"
    return {
        "codes": f"arrayMap(x -> transform(x, {array(codes)}, {list(codes.values())}, toUInt16(0)),"
        f" arrayConcat(k, arrayFlatten({of_events})))"
    }


def _sorted() -> Columns:
    """Attributes that mean something, those of the span's events after its own."""
    pairs = "arrayZip(codes, arrayConcat(v, arrayFlatten(event_texts)))"
    return {"known": f"arraySort(x -> x.1, arrayFilter(x -> x.1 > 0 AND x.2 != '', {pairs}))"}


def _split() -> Columns:
    """Scalars by column; texts apart, so that they are copied no more than they must be."""
    return {
        "known_columns": f"arrayMap(x -> intDiv(x.1, {_RANKS}), known)",
        "known_texts": "known.2",
        "found": f"arrayFilter(x -> x.1 >= {TEXT_CODE}, known)",
    }


def _column_texts() -> Columns:
    """The text of each column of the mapping; '' where no key of it was sent."""
    return {f"t_{column.name}": f"known_texts[indexOf(known_columns, {i + 1})]" for i, column in enumerate(SPAN_COLUMNS)}


_COUNTS = tuple(column.name for column in SPAN_COLUMNS if column.type == "count")
_TIMES = tuple(column.name for column in SPAN_COLUMNS if column.type in ("seconds", "milliseconds"))


def _numbers() -> Columns:
    """Numbers out of their texts, or NULL; the token buckets are not disjoint yet.

    Counts that no attribute has are looked up in Langfuse's JSON of all counts.
    """
    keys = array(USAGE_DETAILS[name] for name in _COUNTS)
    texts = f"arrayMap((t, key) -> if(t = '', JSONExtractRaw(t_usage_details, key), t), {_texts_of(_COUNTS)}, {keys})"
    number = "toFloat64OrNull(t)"
    return {
        "counts": f"arrayMap(t -> accurateCastOrNull(if({number} <= {_MAX_TOKENS}, {number}, NULL), 'UInt64'), {texts})",
        "times": f"arrayMap(t -> if({number} >= 0 AND {number} < 1e12, {number}, NULL), {_texts_of(_TIMES)})",
    }


def _texts_of(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"t_{name}" for name in names) + "]"


def _count(name: str) -> str:
    return f"counts[{_COUNTS.index(name) + 1}]"


def _usage() -> Columns:
    """Which cached tokens there are, and whether the client counted them beside the input instead of within."""
    cached = f"(ifNull({_count('cache_read_tokens')}, 0) + ifNull({_count('cache_write_tokens')}, 0))"
    return {
        "cached": cached,
        "exclusive": f"ifNull({cached} > {_count('input_tokens')}, 0) OR (t_usage_details != '' AND t_input_tokens = '')",
    } | {f"r_{name}": _count(name) for name in _COUNTS}


def _tokens() -> dict[str, str]:
    return {
        "input_tokens": "r_input_tokens + if(exclusive, cached, 0)",
        "input_uncached_tokens": "if(exclusive, r_input_tokens, accurateCastOrNull(r_input_tokens - cached, 'UInt64'))",
        "cache_read_tokens": "r_cache_read_tokens",
        "cache_write_tokens": "r_cache_write_tokens",
        "output_tokens": "r_output_tokens + if(r_reasoning_tokens > r_output_tokens, r_reasoning_tokens, 0)",
        "reasoning_tokens": "r_reasoning_tokens",
        "usage_convention": "multiIf(isNull(r_input_tokens), '', exclusive, 'exclusive', 'inclusive')",
        "time_to_first_token_ms": "coalesce(times[1] * 1000, times[2])",
    }


def _release() -> dict[str, str]:
    """Target and release: ours, then Langfuse's, then the prompt's, then the service's (the span before its resource)."""
    named = "multiIf(t_target != '', t_target, resource_target != '', resource_target, {})"
    return {
        "target": f"multiIf(t_release != '' OR resource_release != '' OR t_langfuse_release != '', {named.format('service')},"
        f" t_prompt_name != '' AND t_prompt_version != '', {named.format('t_prompt_name')},"
        f" service_version != '', {named.format('service')}, {named.format(literal(''))})",
        "release": "multiIf(t_release != '', t_release, resource_release != '', resource_release,"
        " t_langfuse_release != '', t_langfuse_release,"
        " t_prompt_name != '' AND t_prompt_version != '', t_prompt_version, service_version)",
    }


def _invalid() -> str:
    names = (*_COUNTS, *_TIMES)
    values_read = "arrayConcat(arrayMap(n -> isNull(n), counts), arrayMap(n -> isNull(n), times))"
    return f"arrayFilter((x, t, unread) -> t != '' AND unread, {array(names)}, {_texts_of(names)}, {values_read})"


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
        "error_type": "if(t_error_type = '' AND s_status.code = 2, t_exception_type, t_error_type)",
    }


def _names() -> dict[str, str]:
    return {
        "operation": _operation(),
        "provider": renamed("t_provider", PROVIDERS),
        "model": "if(t_response_model != '', t_response_model, t_request_model)",
        **{name: f"t_{name}" for name in _PLAIN},
        "tool_name": f"if(t_tool_name = '' AND lower(t_operation) IN {values(TOOLS)},"
        " if(startsWith(s_name, 'execute_tool '), substring(s_name, 14), s_name), t_tool_name)",
        "finish_reasons": "if(startsWith(t_finish_reasons, '['), JSONExtract(t_finish_reasons, 'Array(String)'),"
        " arrayFilter(x -> x != '', [t_finish_reasons]))",
        "links": "arrayMap(l -> (lower(hex(l.trace_id)), lower(hex(l.span_id))), s_links)",
        "events": _events(),
    }


def _operation() -> str:
    """What the span says it does, else what its attributes imply.

    A tool's name implies a tool. A model and tokens imply a chat, but not on a server that was called by another span:
    the caller reports the same usage.
    """
    implied = (
        "multiIf(t_tool_name != '', 'execute_tool', t_input_tokens != '' AND concat(t_request_model, t_response_model) != ''"
        " AND (s_kind != 2 OR s_parent_span_id = ''), 'chat', '')"
    )
    return f"if(t_operation = '', {implied}, {renamed('t_operation', OPERATIONS)})"


def _derived() -> dict[str, str]:
    """What is made of the columns of the stages before."""
    asked = "if(arrayExists(m -> m.1 = 'user', input_messages), arrayLast(m -> m.1 = 'user', input_messages).2, "
    return {
        "span_key": "cityHash64(project, trace_id, span_id)",
        "usage_key": "if(response_id = '', cityHash64(project, trace_id, span_id), cityHash64(project, trace_id, response_id))",
        "is_error": "toUInt8(status = 'error' OR error_type != '')",
        "input_preview": _preview(asked + "arrayLast(m -> true, input_messages).2)"),
        "output_preview": _preview("arrayLast(m -> true, output_messages).2"),
        "kept": _kept(),
        "environment": "if(t_span_environment != '', t_span_environment, resource_environment)",
    }


def _preview(text: str) -> str:
    return f"substringUTF8({text}, 1, {_PREVIEW_CHARACTERS})"


def _kept() -> str:
    """Which attributes no column holds: not the texts, and not a value that a column keeps under its first name."""
    firsts = [(i + 1) * _RANKS for i, column in enumerate(SPAN_COLUMNS) if _keeps_its_form(column)]
    return (
        f"arrayMap((x, c, side) -> NOT (has({list(dropped_codes())}, c)"
        f" OR has({firsts}, c) AND empty(invalid_attributes) OR {numbered_text_condition('x', 'side')}),"
        " k, arraySlice(codes, 1, length(k)), numbered_sides)"
    )


def _keeps_its_form(column: Column) -> bool:
    return column.type in ("text", "count") and column.name not in _OWN_FORM


def _attributes() -> Columns:
    kept = "arrayFilter((x, keep) -> keep, {}, kept)"
    return {"attributes": f"CAST(({kept.format('k')}, {kept.format('v')}), 'Map(LowCardinality(String), String)')"}


def _events() -> str:
    """Events without the texts that the messages hold."""
    dropped = f"(p.1 IN {values(TEXT_KEYS)} OR (e.name IN {values(MESSAGE_EVENTS)} AND p.1 IN {values(EVENT_TEXT_KEYS)}))"
    return (
        f"arrayMap((e, t) -> ({_instant('e.time_unix_nano')}, e.name, CAST(arrayFilter(p -> NOT {dropped},"
        " arrayZip(e.attributes.key, t)), 'Map(String, String)')), s_events, event_texts)"
    )
