"""The materialized view that decodes and normalises OTLP, generated from the mapping of `schemas.attributes`.

Every cast is total: a value that cannot be read gives NULL and its column's name in `invalid_attributes`.
The nested selects run from the request to the span; each level takes along only what the next one needs, because an
array join repeats every column beside it.
"""

from __future__ import annotations

import hashlib

from schemas.attributes import (
    CONVERSATIONS,
    EVENT_TEXT_KEYS,
    INPUT,
    OPERATIONS,
    OUTPUT,
    PROVIDERS,
    RESOURCE_COLUMNS,
    SPAN_COLUMNS,
    SYSTEM_INSTRUCTIONS,
    TEXT_KEYS,
    Column,
    Conversation,
)
from schemas.cost_sql import cost_expression, price_version_expression

VIEW = "spans_view"
TARGET = "spans"
KEY_VALUE = (
    "Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool),"
    " int_value Nullable(Int64), double_value Nullable(Float64)))"
)

_RANKS = 32
_TEXT_CODE = 30_000
_SIDE = 100
_SYSTEM_CODE = _TEXT_CODE + len(CONVERSATIONS) * _SIDE
_MAX_NUMBERED_MESSAGES = 1_000
_MAX_TOKENS = 10**9
_PREVIEW_CHARACTERS = 200
_OLDEST_DAYS = 400
_NEWEST_S = 3_600

_PART = "Tuple(type String, content String, text String, name String, arguments String, response String, result String)"
_MESSAGE = (
    f"Array(Tuple(role String, content String, text String, parts Array({_PART}),"
    " tool_calls Array(Tuple(function Tuple(name String, arguments String)))))"
)
_WORKING = (*(f"r_{column.name}" for column in SPAN_COLUMNS), "exclusive")
_OPAQUE_PARTS = ("blob", "uri", "file", "image", "image_url", "input_image", "input_audio", "audio", "document")


def view_select() -> str:
    """The SELECT of the view, from `otlp_requests` to the columns of `spans`."""
    columns = _final_columns()
    stored = [name for name in columns if name not in _WORKING]
    return f"SELECT {', '.join(stored)}\nFROM (\nSELECT\n{_lines(columns)}\nFROM (\n{_conversation_level()}\n)\n)"


def view_hash() -> str:
    """A fingerprint of the mapping; writers refuse to start against a view of another one."""
    return hashlib.sha256(view_select().encode()).hexdigest()[:16]


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _list(items: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(_literal(item) for item in items) + "]"


def _lines(columns: dict[str, str]) -> str:
    return ",\n".join(f"    {sql} AS {name}" if sql != name else f"    {name}" for name, sql in columns.items())


def _texts(attributes: str) -> str:
    """The values of an attribute list as text, whatever their type."""
    fields = ", ".join(f"{attributes}.value.{kind}_value" for kind in ("string", "int", "double", "bool"))
    return f"arrayMap((s, i, d, b) -> coalesce(s, toString(i), toString(d), toString(b), ''), {fields})"


_ENVELOPE = ("project", "log_partition", "log_offset", "received_ns", "record_hash", "record_spans")
_RESOURCE = tuple(column.name for column in RESOURCE_COLUMNS)


def _resource_level() -> str:
    return f"""SELECT {", ".join(_ENVELOPE)},
    rs.resource.attributes.key AS rk, {_texts("rs.resource.attributes")} AS rv, arrayJoin(rs.scope_spans) AS ss
FROM (
SELECT envelope.project AS project, log_partition, log_offset, envelope.received_at_unix_nano AS received_ns,
    toFixedString(substring(envelope.body_hash, 1, 16), 16) AS record_hash, envelope.span_count AS record_spans,
    arrayJoin(envelope.request.resource_spans) AS rs
FROM otlp_requests
)"""


def _scope_level() -> str:
    resource = {column.name: _first(column.keys) for column in RESOURCE_COLUMNS}
    columns = {name: name for name in _ENVELOPE} | resource
    columns["resource_attributes"] = "CAST((rk, rv), 'Map(LowCardinality(String), String)')"
    columns |= {"scope": "ss.scope.name", "s": "arrayJoin(ss.spans)"}
    return f"SELECT\n{_lines(columns)}\nFROM (\n{_resource_level()}\n)"


def _first(keys: tuple[str, ...]) -> str:
    """The first of `keys` that a resource carries; resources are small, so each key is looked up by itself."""
    found = [f"rv[indexOf(rk, {_literal(key)})]" for key in keys]
    given = ", ".join(f"nullIf({sql}, '')" for sql in found)
    return found[0] if len(found) == 1 else f"coalesce({given}, '')"


def _codes() -> dict[str, int]:
    """Every key that means something: scalars by (column, rank), texts by (side of the conversation, rank)."""
    codes = {
        key: (index + 1) * _RANKS + rank for index, column in enumerate(SPAN_COLUMNS) for rank, key in enumerate(column.keys)
    }
    for index, side in enumerate(CONVERSATIONS):
        codes |= {key: _TEXT_CODE + index * _SIDE + rank for rank, key in enumerate(side.keys)}
    return codes | {SYSTEM_INSTRUCTIONS: _SYSTEM_CODE}


_SPAN = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "events",
    "links",
    "status",
)


def _span_level() -> str:
    codes = _codes()
    table = f"{_list(list(codes))}, {list(codes.values())}"
    columns = {name: name for name in (*_ENVELOPE, *_RESOURCE, "resource_attributes", "scope")}
    columns |= {f"s_{name}": f"s.{name}" for name in _SPAN}
    columns |= {
        "k": "s.attributes.key",
        "v": _texts("s.attributes"),
        "codes": f"arrayMap(x -> transform(x, {table}, toUInt16(0)), k)",
        "ek": "arrayFlatten(s.events.attributes.key)",
        "ev": "arrayFlatten(arrayMap(e -> " + _texts("e.attributes") + ", s.events))",
        "ecodes": f"arrayMap(x -> transform(x, {table}, toUInt16(0)), ek)",
    }
    return f"SELECT\n{_lines(columns)}\nFROM (\n{_scope_level()}\n)"


def _value_level() -> str:
    """Sort what is known by (column, rank), so that the first hit of a column is its key of highest precedence."""
    columns = {"*": "*"} | {
        "known": f"arraySort(x -> x.1, arrayFilter(x -> x.1 > 0 AND x.1 < {_TEXT_CODE} AND x.2 != '', arrayZip(codes, v)))",
        "kc": f"arrayMap(x -> intDiv(x.1, {_RANKS}), known)",
        "kv": "known.2",
        "found": f"arraySort(x -> x.1, arrayFilter(x -> x.1 >= {_TEXT_CODE} AND x.2 != '',"
        " arrayZip(arrayConcat(codes, ecodes), arrayConcat(v, ev))))",
    }
    for side in CONVERSATIONS:
        numbered = " OR ".join(f"startsWith(x, {_literal(prefix)})" for prefix, _, _ in side.prefixes)
        columns[f"{side.name}_numbered"] = f"arrayExists(x -> {numbered}, k)"
    return f"SELECT\n{_lines(columns)}\nFROM (\n{_span_level()}\n)"


def _conversation_level() -> str:
    columns = {"*": "*"} | {f"t_{column.name}": f"kv[indexOf(kc, {index + 1})]" for index, column in enumerate(SPAN_COLUMNS)}
    columns["system_messages"] = _json_messages(f"arrayFirst(x -> x.1 = {_SYSTEM_CODE}, found).2", "system")
    for index, side in enumerate(CONVERSATIONS):
        low = _TEXT_CODE + index * _SIDE
        columns[f"{side.name}_text"] = f"arrayFirst(x -> x.1 >= {low} AND x.1 < {low + _SIDE}, found).2"
        columns[f"{side.name}_json"] = _json_messages(f"{side.name}_text", side.default_role)
        columns[f"{side.name}_found"] = _messages(side)
    return f"SELECT\n{_lines(columns)}\nFROM (\n{_value_level()}\n)"


def _part_text(part: str) -> str:
    return (
        f"multiIf({part}.type IN {_tuple(_OPAQUE_PARTS)}, concat('[', {part}.type, ']'), {part}.content != '', {part}.content,"
        f" {part}.text != '', {part}.text, {part}.name != '', concat('[tool call ', {part}.name, ' ', {part}.arguments, ']'),"
        f" {part}.response != '', {part}.response, {part}.result != '', {part}.result,"
        f" {part}.type != '', concat('[', {part}.type, ']'), '')"
    )


def _tuple(items: tuple[str, ...]) -> str:
    return "(" + ", ".join(_literal(item) for item in items) + ")"


def _parts_text(parts: str) -> str:
    return f"arrayStringConcat(arrayMap(p -> {_part_text('p')}, {parts}), '\\n')"


def _json_messages(text: str, role: str) -> str:
    """Messages from JSON, in one parse: OpenTelemetry's parts, OpenAI's content (text or parts) and tool calls."""
    content_parts = f"JSONExtract(m.content, 'Array({_PART})')"
    body = (
        f"multiIf(notEmpty(m.parts), {_parts_text('m.parts')}, startsWith(m.content, '[{{'), {_parts_text(content_parts)},"
        " m.content != '', m.content, m.text)"
    )
    calls = (
        "arrayStringConcat(arrayMap(c -> concat('[tool call ', c.function.name, ' ', c.function.arguments, ']'),"
        " m.tool_calls), '\\n')"
    )
    whole = f"concat({body}, if(empty(m.tool_calls), '', {calls}))"
    return (
        f"if(startsWith({text}, '['), arrayMap(m -> (if(m.role = '', {_literal(role)}, m.role), {whole}),"
        f" JSONExtract({text}, '{_MESSAGE}')), [])"
    )


def _numbered_messages(prefix: str, role: str, text: str, default_role: str) -> str:
    """Messages from keys such as `llm.input_messages.0.message.content` and its multi-part form `….contents.0.….text`."""
    at = f"concat({_literal(prefix)}, toString(i), "
    count = f"arrayCount(x -> startsWith(x, {_literal(prefix)}) AND endsWith(x, {_literal(role)}), k)"
    plain = f"v[indexOf(k, {at}{_literal(text)}))]"
    several = (
        f"arrayStringConcat(arrayFilter((y, x) -> startsWith(x, {at}{_literal(text + 's.')})) AND endsWith(x, '.text'), v, k),"
        " '\\n')"
    )
    named = f"v[indexOf(k, {at}{_literal(role)}))]"
    return (
        f"arrayMap(i -> (if({named} = '', {_literal(default_role)}, {named}), if({plain} != '', {plain}, {several})),"
        f" range(least({count}, {_MAX_NUMBERED_MESSAGES})))"
    )


def _event_messages(side: Conversation) -> str:
    text = " , ".join(
        f"nullIf(arrayFirst((y, x) -> x = {_literal(key)}, {_texts('e.attributes')}, e.attributes.key), '')"
        for key in EVENT_TEXT_KEYS
    )
    role = "if(e.name = 'gen_ai.choice', 'assistant', splitByChar('.', e.name)[2])"
    content = f"coalesce({text}, '')"
    plain = (
        f"if(startsWith({content}, '{{'), coalesce(nullIf(JSONExtractString({content}, 'content'), ''), {content}), {content})"
    )
    return f"arrayMap(e -> ({role}, {plain}), arrayFilter(e -> e.name IN {_tuple(side.events)}, s_events))"


def _messages(side: Conversation) -> str:
    """The best of the sources: JSON, numbered keys, message events, then the text as it stands."""
    name = side.name
    numbered = [_numbered_messages(*prefix, side.default_role) for prefix in side.prefixes]
    either = f"if(notEmpty({numbered[0]}), {numbered[0]}, {numbered[1]})"
    events = _event_messages(side)
    return (
        f"multiIf(notEmpty({name}_json), {name}_json, {name}_numbered, {either},"
        f" arrayExists(e -> e.name IN {_tuple(side.events)}, s_events), {events},"
        f" {name}_text != '', [({_literal(side.default_role)}, {name}_text)], [])"
    )


def _count(column: str) -> str:
    number = f"accurateCastOrNull(toFloat64OrNull(t_{column}), 'UInt64')"
    return f"if(ifNull({number}, 0) <= {_MAX_TOKENS}, {number}, NULL)"


def _duration(column: str) -> str:
    number = f"toFloat64OrNull(t_{column})"
    return f"if(isFinite(ifNull({number}, -1)) AND {number} >= 0, {number}, NULL)"


def _renamed(text: str, names: dict[str, str]) -> str:
    table = f"{_list(list(names))}, {_list(list(names.values()))}"
    return f"transform(lower({text}), {table}, {text})"


def _numbers() -> dict[str, str]:
    """The numeric columns as read, before the token buckets are made disjoint."""
    casts = {"count": _count, "seconds": _duration, "milliseconds": _duration}
    return {column.name: casts[column.type](column.name) for column in SPAN_COLUMNS if column.type in casts}


def _token_columns() -> dict[str, str]:
    cached = "(ifNull(r_cache_read_tokens, 0) + ifNull(r_cache_write_tokens, 0))"
    return {
        "exclusive": f"isNotNull(r_input_tokens) AND {cached} > ifNull(r_input_tokens, 0)",
        "input_tokens": f"r_input_tokens + if(exclusive, {cached}, 0)",
        "input_uncached_tokens": f"if(exclusive, r_input_tokens, accurateCastOrNull(r_input_tokens - {cached}, 'UInt64'))",
        "cache_read_tokens": "r_cache_read_tokens",
        "cache_write_tokens": "r_cache_write_tokens",
        "output_tokens": "r_output_tokens + if(ifNull(r_reasoning_tokens, 0) > ifNull(r_output_tokens, 0),"
        " ifNull(r_reasoning_tokens, 0), 0)",
        "reasoning_tokens": "r_reasoning_tokens",
        "usage_convention": "multiIf(isNull(r_input_tokens), '', exclusive, 'exclusive', 'inclusive')",
    }


def _release_columns() -> dict[str, str]:
    """Target and release: ours, then Langfuse's, then the prompt's, then the service's (the span before its resource)."""
    named = "multiIf(t_target != '', t_target, resource_target != '', resource_target, {})"
    return {
        "target": f"multiIf(t_release != '' OR resource_release != '' OR t_langfuse_release != '', {named.format('service')},"
        f" t_prompt_name != '' AND t_prompt_version != '', {named.format('t_prompt_name')},"
        f" service_version != '', {named.format('service')}, {named.format(_literal(''))})",
        "release": "multiIf(t_release != '', t_release, resource_release != '', resource_release,"
        " t_langfuse_release != '', t_langfuse_release,"
        " t_prompt_name != '' AND t_prompt_version != '', t_prompt_version, service_version)",
    }


def _invalid_columns() -> str:
    checks = [f"if(t_{name} != '' AND isNull(r_{name}), {_literal(name)}, '')" for name in _numbers()]
    return f"arrayFilter(x -> x != '', [{', '.join(checks)}])"


def _remaining_attributes() -> str:
    """What no column holds: not the texts, and not a value that a column keeps under its first name."""
    kept_first = [(index + 1) * _RANKS for index, column in enumerate(SPAN_COLUMNS) if _is_kept(column)]
    numbered = " OR ".join(
        f"(startsWith(x, {_literal(prefix)}) AND (endsWith(x, {_literal(role)}) OR endsWith(x, {_literal(text)})"
        f" OR (position(x, {_literal(text + 's.')}) > 0 AND endsWith(x, '.text'))))"
        for side in CONVERSATIONS
        for prefix, role, text in side.prefixes
    )
    keep = (
        f"c < {_TEXT_CODE} AND (NOT has({kept_first}, c) OR notEmpty(invalid_attributes))"
        f" AND NOT ((input_messages_numbered OR output_messages_numbered) AND c = 0"
        f" AND length(k) <= {3 * _MAX_NUMBERED_MESSAGES} AND ({numbered}))"
    )
    keys, values = (f"arrayFilter((y, x, c) -> {keep}, {column}, k, codes)" for column in ("k", "v"))
    return f"CAST(({keys}, {values}), 'Map(LowCardinality(String), String)')"


def _is_kept(column: Column) -> bool:
    return column.type in ("text", "count") and column.name not in OWN_FORM


OWN_FORM = ("operation", "provider", "error_type", "target", "release", "langfuse_release", "span_environment")
"""Columns whose text may differ from the attribute they came from, which therefore stays among the attributes."""


def _events() -> str:
    texts = {*TEXT_KEYS}
    named = tuple(event for side in CONVERSATIONS for event in side.events)
    drop = f"(x IN {_tuple(tuple(sorted(texts)))} OR (e.name IN {_tuple(named)} AND x IN {_tuple(EVENT_TEXT_KEYS)}))"
    values = _texts("e.attributes")
    attributes = (
        f"CAST((arrayFilter(x -> NOT {drop}, e.attributes.key),"
        f" arrayFilter((y, x) -> NOT {drop}, {values}, e.attributes.key)), 'Map(String, String)')"
    )
    return f"arrayMap(e -> ({_instant('e.time_unix_nano')}, e.name, {attributes}), s_events)"


def _instant(nanoseconds: str) -> str:
    """A time in nanoseconds as DateTime64(9), which ends in the year 2262."""
    return f"fromUnixTimestamp64Nano(toInt64(least({nanoseconds}, 9223372036854775807)), 'UTC')"


def _preview(text: str) -> str:
    return f"substringUTF8({text}, 1, {_PREVIEW_CHARACTERS})"


def _identity_columns() -> dict[str, str]:
    return {
        "project": "project",
        "trace_id": "toFixedString(substring(s_trace_id, 1, 16), 16)",
        "span_id": "toFixedString(substring(s_span_id, 1, 8), 8)",
        "parent_span_id": "toFixedString(substring(s_parent_span_id, 1, 8), 8)",
        "span_key": "cityHash64(project, trace_id, span_id)",
        "usage_key": "if(t_response_id = '', span_key, cityHash64(project, trace_id, t_response_id))",
        "log_partition": "log_partition",
        "log_offset": "log_offset",
        "record_hash": "record_hash",
        "record_spans": "record_spans",
        "received_at": "fromUnixTimestamp64Milli(toInt64(intDiv(received_ns, 1000000)), 'UTC')",
        "started_at": _instant("s_start_time_unix_nano"),
        "time": f"if(s_start_time_unix_nano > received_ns + {_NEWEST_S} * 1000000000"
        f" OR s_start_time_unix_nano + {_OLDEST_DAYS * 86_400} * 1000000000 < received_ns, received_at,"
        " fromUnixTimestamp64Milli(toInt64(intDiv(s_start_time_unix_nano, 1000000)), 'UTC'))",
        "duration_ms": "if(s_start_time_unix_nano > 0 AND s_end_time_unix_nano >= s_start_time_unix_nano,"
        " (s_end_time_unix_nano - s_start_time_unix_nano) / 1e6, NULL)",
        "name": "s_name",
        "kind": "transform(s_kind, [1, 2, 3, 4, 5], ['internal', 'server', 'client', 'producer', 'consumer'], '')",
        "status": "transform(s_status.code, [1, 2], ['ok', 'error'], 'unset')",
        "status_message": "s_status.message",
        "error_type": "if(t_error_type != '', t_error_type, ev[indexOf(ek, 'exception.type')])",
        "is_error": "toUInt8(s_status.code = 2 OR error_type != '')",
    }


def _final_columns() -> dict[str, str]:
    columns = {f"r_{name}": sql for name, sql in _numbers().items()}
    columns |= _identity_columns()
    columns |= {name: name for name in ("service", "service_version")}
    columns |= {
        "environment": "if(t_span_environment != '', t_span_environment, environment)",
        "scope": "scope",
        "operation": _renamed("t_operation", OPERATIONS),
        "provider": _renamed("t_provider", PROVIDERS),
        "model": "if(t_response_model != '', t_response_model, t_request_model)",
        "request_model": "t_request_model",
        "response_model": "t_response_model",
    }
    columns |= _release_columns()
    for name in ("conversation_id", "user_id", "response_id", "prompt_name", "prompt_version", "agent_name", "tool_name"):
        columns[name] = f"t_{name}"
    columns["finish_reasons"] = (
        "if(startsWith(t_finish_reasons, '['), JSONExtract(t_finish_reasons, 'Array(String)'),"
        " arrayFilter(x -> x != '', [t_finish_reasons]))"
    )
    columns |= _token_columns()
    columns["time_to_first_token_ms"] = "coalesce(r_time_to_first_token_s * 1000, r_time_to_first_token_ms)"
    buckets = ("input_uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    columns["cost_usd"] = cost_expression("provider", "model", "time", *buckets)
    columns["price_version"] = price_version_expression("provider", "model", "time", *buckets)
    columns["input_messages"] = f"arrayConcat(system_messages, {INPUT.name}_found)"
    columns["output_messages"] = f"{OUTPUT.name}_found"
    columns["input_preview"] = _preview(
        "if(arrayExists(m -> m.1 = 'user', input_messages),"
        " arrayLast(m -> m.1 = 'user', input_messages), arrayLast(m -> true, input_messages)).2"
    )
    columns["output_preview"] = _preview("arrayLast(m -> true, output_messages).2")
    columns["invalid_attributes"] = _invalid_columns()
    columns["attributes"] = _remaining_attributes()
    columns["resource_attributes"] = "resource_attributes"
    columns["events"] = _events()
    columns["links"] = "arrayMap(l -> (lower(hex(l.trace_id)), lower(hex(l.span_id))), s_links)"
    return columns
