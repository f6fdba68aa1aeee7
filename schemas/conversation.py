"""Messages as SQL: the sides of a conversation out of JSON, numbered keys, message events or plain text.

The columns assumed are `s` (a span), `k` and `v` (keys and texts of its attributes), `s_events`, `event_texts`, and the `t_`
columns: the text of some columns of the mapping. Nothing here is quadratic in the number of
messages: lambdas never take along an array of texts.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.attributes import CONVERSATIONS, EVENT_TEXT_KEYS, MESSAGE_EVENTS, PARTS_KEY_START
from schemas.sql import Columns, array, literal, values

_PART = (
    "Tuple(type String, content String, text String, thinking String, response String, result String, output String,"
    " name String, toolName String, arguments String, args String, input String,"
    " function Tuple(name String, arguments String))"
)
_MESSAGE = (
    f"Array(Tuple(role String, type String, content String, text String, output String, name String, arguments String,"
    f" reasoning_content String, summary Array(Tuple(text String)), parts Array({_PART}), tool_calls Array({_PART}),"
    f" message Tuple(role String, content String, reasoning_content String, tool_calls Array({_PART})),"
    f" additional_kwargs Tuple(tool_calls Array({_PART}))))"
)
_OBJECT = (
    "Tuple(messages String, choices String, output String, role String, finish_reason String, system String, prompt String)"
)
TOOLS = ("execute_tool", "tool", "ai.toolcall")
"""Operations whose input and output are values of a tool, never messages."""

_OPAQUE_PARTS = ("blob", "uri", "file", "image", "image_url", "input_image", "input_audio", "audio", "document")
_SPACE = "[[:space:]]*"
"""The letter of \\s would be read as a mention of the column `s`, and carry it through stages that do not need it."""

_PART_TYPES = (
    *("text", "input_text", "output_text", "image_url", "image", "input_image", "input_audio", "document", "file"),
    *("tool_use", "tool_result", "thinking", "refusal"),
)
"""Types of the parts that OpenAI's and Anthropic's messages are made of."""
_REASONING = "reasoning"
"""The role of what a model thought: no user saw it, so it is not judged as a part of the answer."""
_REASONING_PARTS = ("reasoning", "thinking", "redacted_thinking")
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "thinking": _REASONING}
"""Other names of roles."""

_TYPES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function_call": "assistant",
    "function_call_output": "tool",
    "reasoning": _REASONING,
}
"""Types of messages without a role that stand for one."""

_PIECES = {
    "role.role": 1,
    "content.content": 2,
    "document.content": 2,
    "embedding.text": 2,
    "prompt.text": 2,
    "completion.text": 2,
    "contents.text": 3,
    "contents.url": 4,
    "tool_calls.name": 5,
    "tool_calls.arguments": 6,
}
"""What a numbered key holds, by the part after its number and its last part; the order within a message."""
_CONTENT, _IMAGE, _NAME, _ARGUMENTS = 2, 4, 5, 6
_GROUPS = [0, 1, 2, 2, 3, 3]
_PREVIEW_CHARACTERS = 200
_MESSAGE_BITS, _GROUP_BITS, _ITEM_BITS = 20, 2, 13
_RENDERED_KEY = (
    r"^[a-z_]+[.][a-z_]+[.][0-9]{1,6}[.](message[.])?(role|content|(document|embedding|prompt|completion)[.](content|text)"
    r"|contents[.].+[.](text|url)|tool_calls[.].+[.](name|arguments))$"
)


def conversation_stages(side_texts: str) -> tuple[Columns, ...]:
    """Stages that end in messages and previews. The second is the first to need `v`, the third `side_texts` (an array of the
    text of each side's best key), the fourth `t_`.

    What is alike for several sources is one expression over an array of them, and what is short is repeated: analysing the
    view is a fixed cost of every insert, and it grows with the number of stages and functions.
    """
    pieces = (
        f"arrayMap((side, path, kind, t) -> ({_order()}, {_piece()}), {_numbered_of()}, {_paths()}, {_kinds()}, {_texts()})"
    )
    messages = f"arrayDifference(arrayMap(p -> bitShiftRight(p.1, {_GROUP_BITS + _ITEM_BITS + 1}), pieces))"
    found = f"if(notEmpty(sides[{_index('documents')}]), sides[{_index('documents')}], sides[{_index('output')}])"
    asked = f"sides[{_index('input')}]"
    short = _shortened(asked)
    return (
        {"numbered_sides": _numbered_sides()},
        {
            "pieces": f"arraySort(p -> p.1, arrayFilter(p -> p.1 > 0, {pieces}))",
            "event_messages": f"arrayFilter(m -> m.1 IN {values(MESSAGE_EVENTS)}, {_event_messages()})",
        },
        {
            "numbered": f"arrayMap(g -> {_grouped()}, arraySplit((p, step) -> step != 0, pieces, {messages}))",
            "sources": _sources(side_texts),
        },
        {"sides": f"arrayMap((ns, ms, t, role) -> {_side()}, {_numbered_by_side()}, {_parsed()}, sources, {_roles()})"},
        {
            "input_messages": f"arrayConcat(sides[{_index('system')}], {asked})",
            "output_messages": found,
            "input_preview": f"arrayLast(x -> notEmpty(x), [{short}[-1].2, arrayLast(m -> m.1 = 'user', {short}).2])",
            "output_preview": f"{_shortened(found)}[-1].2",
        },
    )


def _shortened(messages: str) -> str:
    """Messages with the beginning of their text. First of all: what picks one of them copies every text that it is given."""
    return f"arrayMap(m -> (m.1, substringUTF8(m.2, 1, {_PREVIEW_CHARACTERS})), {messages})"


def numbered_text_condition(key: str, side: str) -> str:
    """Whether the messages hold the text of a key with a number."""
    return f"({side} > 0 AND match({key}, {literal(_RENDERED_KEY)}))"


def _index(name: str) -> int:
    return [side.name for side in CONVERSATIONS].index(name) + 1


def _roles() -> str:
    return array(side.default_role for side in CONVERSATIONS)


def _numbered_sides() -> str:
    """For each key the side whose numbered key it is, or 0: the first two parts of a key name it."""
    prefixes = {prefix: index for index, side in enumerate(CONVERSATIONS, 1) for prefix in side.numbered}
    side = f"transform(substringIndex(x, '.', 2), {array(prefixes)}, {list(prefixes.values())}, toUInt8(0))"
    return f"arrayMap(x -> {side}, s.attributes.key)"


def _numbered_of() -> str:
    return "arrayFilter(side -> side > 0, numbered_sides)"


def _paths() -> str:
    keys = "arrayFilter((x, side) -> side > 0, k, numbered_sides)"
    return f"arrayMap(x -> splitByChar('.', replaceOne(x, '.message.', '.')), {keys})"


def _texts() -> str:
    return "arrayFilter((x, side) -> side > 0, v, numbered_sides)"


def _kinds() -> str:
    kind = f"transform(concat(path[4], '.', path[-1]), {array(_PIECES)}, {list(_PIECES.values())}, toUInt8(0))"
    return f"arrayMap(path -> {kind}, {_paths()})"


def _order() -> str:
    """Where a piece belongs, as bits: side, message, group (role, content, contents, tool calls), item, name first."""
    message = f"side * {2**_MESSAGE_BITS} + toUInt64OrZero(path[3])"
    item = f"least(toUInt64OrZero(path[5]), {2**_ITEM_BITS - 1})"
    bits = f"((({message}) * {2**_GROUP_BITS} + {_GROUPS}[kind]) * {2**_ITEM_BITS} + {item}) * 2 + (kind = {_ARGUMENTS})"
    return f"if(kind > 0 AND match(path[3], '^[0-9]{{1,6}}$'), {bits}, toUInt64(0))"


def _piece() -> str:
    """The text of a piece, led by what parts it from the piece before. A content may be JSON of typed parts (OpenLLMetry)."""
    parts = f"JSONExtract(if(kind = {_CONTENT} AND {_typed('t', _PART_TYPES)}, t, ''), 'Array({_PART})')"
    rendered = f"arrayStringConcat(arrayFilter(y -> notEmpty(y), arrayMap(p -> {_part_text()}, {parts})), '\\n')"
    return (
        f"multiIf(kind = {_NAME}, concat('\\n[tool call ', t, ']'), kind = {_ARGUMENTS}, concat(' ', t),"
        f" kind = {_IMAGE}, '\\n[image]', concat('\\n', coalesce(nullIf({rendered}, ''), t)))"
    )


def _grouped() -> str:
    """(side, (role, text)) of the pieces of one message."""
    group = f"bitAnd(bitShiftRight(p.1, {_ITEM_BITS + 1}), {2**_GROUP_BITS - 1})"
    side = f"bitShiftRight(g[1].1, {_MESSAGE_BITS + _GROUP_BITS + _ITEM_BITS + 1})"
    return (
        f"({side}, (substring(arrayFirst(p -> {group} = 0, g).2, 2),"
        f" substring(arrayStringConcat(arrayFilter(p -> {group} > 0, g).2), 2)))"
    )


def _sources(texts: str) -> str:
    """The text of each side's best key, else its message events."""
    return (
        f"arrayMap((t, events) -> if(empty(t) AND notEmpty(events), concat('[', events, ']'), t), {texts}, {_events_by_side()})"
    )


def _event_messages() -> str:
    """(event, JSON of its message) of the deprecated events of one message each: content, tool calls, or a whole message."""
    bodies = ", ".join(f"t[indexOf(e.attributes.key, {literal(key)})]" for key in EVENT_TEXT_KEYS)
    body = f"arrayMap((e, t) -> arrayFirst(x -> notEmpty(x), [{bodies}]), s_events, event_texts)"
    calls = "arrayMap((e, t) -> t[indexOf(e.attributes.key, 'tool_calls')], s_events, event_texts)"
    role = f"transform(e.name, {array(MESSAGE_EVENTS)}, {array(MESSAGE_EVENTS.values())}, '')"
    whole = "e.name != 'gen_ai.tool.message' AND (JSONHas(body, 'role') OR JSONHas(body, 'content'))"
    content = f"if({whole}, concat('\"message\":', body), concat('\"content\":', toJSONString(body)))"
    called = "if(startsWith(calls, '[') AND isValidJSON(calls), concat(',\"tool_calls\":', calls), '')"
    json = f"concat('{{\"role\":\"', {role}, '\",', {content}, {called}, '}}')"
    return f"arrayMap((e, body, calls) -> (e.name, {json}), s_events, {body}, {calls})"


def _events_by_side() -> str:
    joined = "arrayStringConcat(arrayFilter(m -> m.1 IN {}, event_messages).2, ',')"
    return "[" + ", ".join(joined.format(values(side.events)) if side.events else "''" for side in CONVERSATIONS) + "]"


def _numbered_by_side() -> str:
    """(role, text) of each side's numbered messages."""
    return (
        "["
        + ", ".join(
            f"arrayFilter(m -> m.1 = {index}, numbered).2" if side.numbered else "[]"
            for index, side in enumerate(CONVERSATIONS, 1)
        )
        + "]"
    )


def _side() -> str:
    """The best of a side: numbered keys, JSON, then the text as it stands (a JSON string without its quotes)."""
    plain = "if(startsWith(t, '\"'), coalesce(nullIf(JSONExtractString(t), ''), t), t)"
    best = f"multiIf(notEmpty(ns), ns, notEmpty(ms), ms, notEmpty(t), [('', {plain})], [])"
    renamed = f"transform(m.1, {array(_ROLES)}, {array(_ROLES.values())})"
    return f"arrayMap(m -> (if(empty(m.1), role, {renamed}), m.2), {best})"


def _parsed() -> str:
    """The messages in each source's JSON; none where it is not a list or an object of messages."""
    objects = f"arrayMap(t -> JSONExtract(if(startsWith(t, '{{'), t, ''), '{_OBJECT}'), sources)"
    return f"arrayMap((t, o) -> {_messages(_listed())}, sources, {objects})"


def _listed() -> str:
    """The list of messages within a text: the text itself, or a part of the object that it is."""
    system = "if(notEmpty(o.system), concat('{\"role\":\"system\",\"content\":', toJSONString(o.system), '},'), '')"
    return (
        f"multiIf(notEmpty(t_tool_name) OR lower(t_operation) IN {values(TOOLS)}, '',"
        f" startsWith(t, {literal(PARTS_KEY_START)}), concat('[{{\"parts\":', t, '}}]'),"
        rf" match(t, '^{_SPACE}\[{_SPACE}\{{'), t,"
        f" startsWith(o.messages, '['), concat('[', {system}, substring(o.messages, 2)),"
        " startsWith(o.choices, '[{'), o.choices,"
        " startsWith(o.output, '[{'), o.output,"
        " notEmpty(o.role) OR notEmpty(o.finish_reason), concat('[', t, ']'),"
        r""" match(t, '^\{"(prompt|system)":'), if(startsWith(o.prompt, '['), o.prompt,"""
        f" concat('[', {system}, '{{\"content\":', toJSONString(o.prompt), '}}]')),"
        " '')"
    )


def _messages(listed: str) -> str:
    """(role, text) of a JSON list of messages: OpenTelemetry's, OpenAI's, Anthropic's, LangChain's, the Vercel AI SDK's.

    What the model thought comes before the message that it is a part of, as a message of its own.
    """
    by_type = f"transform(m.type, {array(_TYPES)}, {array(_TYPES.values())}, '')"
    role = f"arrayFirst(x -> notEmpty(x), [m.role, m.message.role, {by_type}])"
    body = "arrayFirst(x -> notEmpty(x), [m.content, m.message.content, m.text, m.output])"
    call = "if(empty(m.arguments), '', concat('[tool call ', m.name, '] ', m.arguments))"
    summary = "arrayStringConcat(m.summary.text, '\\n')"
    thought = f"arrayFirst(x -> notEmpty(x), [m.reasoning_content, m.message.reasoning_content, {summary}])"
    calls = "if(empty(m.tool_calls), m.additional_kwargs.tool_calls, m.tool_calls)"
    fields = f"({role}, {body}, m.parts, {calls}, m.message.tool_calls, {call}, {thought})"
    parts = f"(x.1, x.2, JSONExtract(if({_typed('x.2')}, x.2, ''), 'Array({_PART})'), x.3, x.4, x.5, x.6, x.7)"
    of_part = f"(p.type IN {values(_REASONING_PARTS)}, {_part_text()})"
    said = f"arrayMap(p -> {of_part}, arrayConcat(x.3, x.4, x.5, x.6))"
    rendered = f"(x.1, arrayConcat([(false, if(empty(x.3), x.2, ''))], {said}, [(false, x.7), (true, x.8)]))"
    messages = f"arrayMap(m -> {fields}, JSONExtract({listed}, '{_MESSAGE}'))"
    text, before = (
        f"arrayStringConcat(arrayFilter(p -> {which} AND notEmpty(p.2), x.2).2, '\n')" for which in ("NOT p.1", "p.1")
    )
    both = (
        f"arrayMap(x -> [({literal(_REASONING)}, {before}), (x.1, {text})],"
        f" arrayMap(x -> {rendered}, arrayMap(x -> {parts}, {messages})))"
    )
    return f"arrayFilter(m -> notEmpty(m.2) OR m.1 NOT IN ('', {literal(_REASONING)}), arrayFlatten({both}))"


def _typed(text: str, types: Iterable[str] = ()) -> str:
    """Whether a text is JSON of a list of typed parts; of `types` where given: else it may be what somebody wrote."""
    of_type = f'{_SPACE}"({"|".join(types)})"' if types else ""
    return rf"""match({text}, '^{_SPACE}\[{_SPACE}\{{[^{{}}]*"type"{_SPACE}:{of_type}')"""


def _part_text() -> str:
    """The first of its fields that is not empty; written out, since an array of them would copy every text."""
    name, arguments = "p.name, p.toolName, p.function.name", "p.arguments, p.args, p.input, p.function.arguments"
    fields = ("p.content", "p.text", "p.thinking", "p.response", "p.result", "p.output")
    return (
        f"multiIf(p.type IN {values(_OPAQUE_PARTS)}, concat('[', p.type, ']'), "
        + ", ".join(f"notEmpty({field}), {field}" for field in fields)
        + f", notEmpty(concat({name})), concat('[tool call ', {name}, '] ', {arguments}),"
        " notEmpty(p.type), concat('[', p.type, ']'), '')"
    )
