"""Messages as SQL: one side of a conversation out of JSON, numbered keys, message events or plain text.

The columns assumed are `k`, `v` (keys and texts of a span's attributes), `found` (texts by code, sorted) and `events`.
"""

from __future__ import annotations

import re

from schemas.attributes import CONVERSATIONS, EVENT_TEXT_KEYS, SYSTEM_INSTRUCTIONS, Conversation
from schemas.sql import Columns, any_prefix, literal, values

TEXT_CODE = 30_000
MAX_NUMBERED = 1_000
_SIDE = 100
_SYSTEM_CODE = TEXT_CODE + len(CONVERSATIONS) * _SIDE

_PART = "Tuple(type String, content String, text String, name String, arguments String, response String, result String)"
_MESSAGE = (
    f"Array(Tuple(role String, content String, text String, parts Array({_PART}),"
    " tool_calls Array(Tuple(function Tuple(name String, arguments String)))))"
)
_OPAQUE_PARTS = ("blob", "uri", "file", "image", "image_url", "input_image", "input_audio", "audio", "document")


MESSAGE_EVENTS = tuple(name for side in CONVERSATIONS for name in side.events)


def text_codes() -> dict[str, int]:
    """A number for each key that carries text, ascending with falling precedence within a side."""
    codes = {
        key: TEXT_CODE + index * _SIDE + rank for index, side in enumerate(CONVERSATIONS) for rank, key in enumerate(side.keys)
    }
    return codes | {SYSTEM_INSTRUCTIONS: _SYSTEM_CODE}


def conversation_stages() -> tuple[Columns, ...]:
    """Stages that end in `input_messages` and `output_messages`.

    What is alike for several sources is one expression over an array of them: analysing the view is a fixed cost of every
    insert, and it grows with the number of functions.
    """
    ranges = [(_SYSTEM_CODE, "system"), *((_low(index), side.default_role) for index, side in enumerate(CONVERSATIONS))]
    bounds = ", ".join(f"({low}, {low + _SIDE}, {literal(role)})" for low, role in ranges)
    prefixes = [numbered.prefix for side in CONVERSATIONS for numbered in side.numbered]
    return (
        {
            "sources": f"arrayMap(b -> (arrayFirst(x -> x.1 >= b.1 AND x.1 < b.2, found).2, b.3), [{bounds}])",
            "is_numbered": f"arrayExists(x -> {any_prefix('x', prefixes)}, k)",
            "message_events": f"arrayFilter(e -> e.name IN {values(MESSAGE_EVENTS)}, s_events)",
        },
        {
            "parsed": f"arrayMap(t -> {_json_messages('t.1', 't.2')}, sources)",
            "numbered": f"if(is_numbered, arrayMap(n -> {_numbered_messages()}, [{_numbered_sources()}]), [])",
            "from_events": _event_messages(),
        },
        {f"{side.name}_messages": _first_messages(index, side) for index, side in enumerate(CONVERSATIONS)},
    )


def _low(side: int) -> int:
    return TEXT_CODE + side * _SIDE


def _numbered_sources() -> str:
    return ", ".join(
        f"({literal(n.prefix)}, {literal(n.role)}, {literal(n.text)}, {literal(side.default_role)})"
        for side in CONVERSATIONS
        for n in side.numbered
    )


def numbered_text_pattern() -> str:
    """A regular expression for the numbered keys whose text or role the messages hold."""
    ways = [
        f"{re.escape(n.prefix)}[0-9]+({re.escape(n.role)}|{re.escape(n.text)}|{re.escape(n.text)}s[.].+[.]text)"
        for side in CONVERSATIONS
        for n in side.numbered
    ]
    return f"^({'|'.join(ways)})$"


def _first_messages(index: int, side: Conversation) -> str:
    """The best of the sources: JSON, numbered keys, message events, then the text as it stands."""
    before = sum(len(other.numbered) for other in CONVERSATIONS[:index])
    lists = [f"parsed[{index + 2}]", *(f"numbered[{before + rank + 1}]" for rank in range(len(side.numbered)))]
    lists.append(f"arrayMap(m -> (m.2, m.3), arrayFilter(m -> m.1 IN {values(side.events)}, from_events))")
    text = f"arrayMap(t -> (t.2, t.1), arrayFilter(t -> t.1 != '', [sources[{index + 2}]]))"
    best = f"arrayFirst(x -> notEmpty(x), [{', '.join(lists)}, {text}])"
    return f"arrayConcat(parsed[1], {best})" if index == 0 else best


def _part_text(part: str) -> str:
    return (
        f"multiIf({part}.type IN {values(_OPAQUE_PARTS)}, concat('[', {part}.type, ']'), {part}.content != '', {part}.content,"
        f" {part}.text != '', {part}.text, {part}.name != '', concat('[tool call ', {part}.name, ' ', {part}.arguments, ']'),"
        f" {part}.response != '', {part}.response, {part}.result != '', {part}.result,"
        f" {part}.type != '', concat('[', {part}.type, ']'), '')"
    )


def _parts_text(parts: str) -> str:
    return f"arrayStringConcat(arrayMap(p -> {_part_text('p')}, {parts}), '\\n')"


def _json_messages(text: str, role: str) -> str:
    """Messages from JSON, in one parse: OpenTelemetry's parts, OpenAI's content (text or parts) and tool calls."""
    parts = f"if(startsWith(m.content, '[{{'), JSONExtract(m.content, 'Array({_PART})'), m.parts)"
    calls = (
        "arrayStringConcat(arrayMap(c -> concat('[tool call ', c.function.name, ' ', c.function.arguments, ']'),"
        " m.tool_calls), '\\n')"
    )
    body = f"concat(coalesce(nullIf({_parts_text(parts)}, ''), nullIf(m.content, ''), m.text), {calls})"
    return (
        f"if(startsWith({text}, '['), arrayMap(m -> (if(m.role = '', {role}, m.role), {body}),"
        f" JSONExtract({text}, '{_MESSAGE}')), [])"
    )


def _numbered_messages() -> str:
    """Messages from keys such as `llm.input_messages.0.message.content` and its multi-part form `….contents.0.….text`.

    `n` is (prefix, role, text, default role).
    """
    at = "concat(n.1, toString(i), {})"
    count = "arrayCount(x -> startsWith(x, n.1) AND endsWith(x, n.2), k)"
    plain = f"nullIf(v[indexOf(k, {at.format('n.3')})], '')"
    several = (
        f"arrayStringConcat(arrayFilter((y, x) -> startsWith(x, {at.format('n.3')}) AND endsWith(x, '.text'), v, k), '\\n')"
    )
    named = f"coalesce(nullIf(v[indexOf(k, {at.format('n.2')})], ''), n.4)"
    return f"arrayMap(i -> ({named}, coalesce({plain}, {several})), range(least({count}, {MAX_NUMBERED})))"


def _event_messages() -> str:
    """(event, role, text) of deprecated message events: the text is an attribute, or the `content` of one in JSON."""
    key = f"arrayFirst(x -> x IN {values(EVENT_TEXT_KEYS)}, e.attributes.key)"
    text = f"ifNull(e.attributes.value.string_value[indexOf(e.attributes.key, {key})], '')"
    role = "if(e.name = 'gen_ai.choice', 'assistant', splitByChar('.', e.name)[2])"
    pairs = f"arrayMap(e -> (e.name, {role}, {text}), message_events)"
    return f"arrayMap(m -> (m.1, m.2, coalesce(nullIf(JSONExtractString(m.3, 'content'), ''), m.3)), {pairs})"
