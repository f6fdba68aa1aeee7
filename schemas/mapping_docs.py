"""docs/mapping.md out of the mapping: `python -m schemas.mapping_docs > docs/mapping.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from schemas.attributes import (
    CONVERSATIONS,
    EVENT_TEXT_KEYS,
    MESSAGE_EVENTS,
    OPERATIONS,
    PROVIDERS,
    RESOURCE_COLUMNS,
    SPAN_COLUMNS,
    USAGE_DETAILS,
    USAGE_OPERATIONS,
    Column,
    Conversation,
)

_HELPERS = {
    "langfuse_release": "`release`, see below",
    "usage_details": "token counts that no other attribute has (JSON)",
    "exception_type": "`error_type`, where the span failed",
    "span_environment": "`environment`",
    "resource_environment": "`environment`, where the span has none",
    "resource_target": "`target`, where the span has none",
    "resource_release": "`release`, where the span has none",
    "time_to_first_token_s": "`time_to_first_token_ms`",
}
"""What the columns of the mapping that are no columns of `spans` are for."""

_TYPES = {
    "text": "text",
    "count": "whole number ≥ 0",
    "seconds": "seconds ≥ 0",
    "milliseconds": "milliseconds ≥ 0",
    "list": "JSON list of texts, or one text",
}

_HEAD = """# What becomes of attributes

This page is generated: `python -m schemas.mapping_docs > docs/mapping.md`.

Spans of OpenTelemetry's GenAI conventions (current and deprecated), OpenInference, OpenLLMetry, Langfuse, the Vercel AI SDK,
LangSmith, Pydantic AI, MLflow and vLLM become the same columns. A column takes the first of its keys that the span carries
with a value that is not empty; the attributes of the span's events come after its own, except those of
`gen_ai.evaluation.result`, which become [scores](feedback.md). Every value is read as text first, so `"12"`, `12` and `12.0`
are the same count.

A value that cannot be read, such as a negative count or `"many"`, leaves its column NULL, puts the column's name into
`invalid_attributes`, and stays among the attributes. No value makes an insert fail.
"""

_TOKENS = """## Token buckets

`input_tokens` = `input_uncached_tokens` + `cache_read_tokens` + `cache_write_tokens`, and `reasoning_tokens` are within
`output_tokens`. Missing is NULL, never 0. `usage_convention` says how the client counted:

- `inclusive`: cached tokens were within its input, as OpenTelemetry asks for. `input_uncached_tokens` is what remains.
- `exclusive`: the cached tokens are more than the input that was reported, or the counts come from Langfuse's
  `usage_details`, whose buckets do not overlap. They are added to the input.

An exclusive client whose cached tokens are fewer than its input cannot be told from an inclusive one; OpenTelemetry's
meaning is taken. Reasoning tokens beyond the output are added to the output. Counts above 10⁹ are not read.

Usage is summed over these operations only, once for each response of a trace: {operations}. Agents, workflows and
servers repeat the usage of the calls below or above them.
"""

_OPERATION = """## Operation, provider, error

- `operation` is empty for a span that is no generative AI operation. A span that names none is `execute_tool` if it names a
  tool, and `chat` if it has a model and tokens – except a server that was called by another span (vLLM below an
  instrumented client), where the caller reports the same usage.
- `tool_name` of a tool without one is the name of its span.
- `error_type` is `error.type`, else the type of an exception event if the span's status is an error. An exception that was
  handled is no error.
- `time` is the start; if that is over an hour ahead or over 400 days ago, it is the arrival. `started_at` keeps what was sent.
"""

_RELEASE = """## Target and release

The first of these that gives a release decides on both:

1. `tracewarden.release` on the span, then on its resource, for the target `tracewarden.target` (else the service);
2. `langfuse.release`, for the service;
3. the prompt's version, for the prompt;
4. `service.version`, for the service.

`tracewarden.target`, on the span or its resource, is the target in each of these cases.
"""

_MESSAGES = """## Messages

`input_messages` and `output_messages` are lists of (role, text). For each side the first of these is taken:

1. numbered keys, `<prefix>.N.role`, `<prefix>.N.message.content` and so on, in the order of their numbers; a content that is
   itself JSON of parts (OpenLLMetry writes such) is read as parts;
2. JSON under the keys below: a list of messages, an object with `messages`, `choices`, `output` or `prompt`, or one message;
3. the deprecated message events ({events}), whose text is in {event_keys};
4. the text of the best key, as it stands: values that are no messages, broken JSON, the input and output of tools.

System instructions come first in the input. Documents that a retriever or reranker found are the output of its span, with the
role `document`. The parts of a message are joined by line breaks: texts and results of tools as they are, calls of tools as
`[tool call name] arguments`, images and files as `[image]`, `[file]`. What a model thought (parts of the type `reasoning` or
`thinking`, `reasoning_content`) comes before its message as one of its own with the role `reasoning`: no user saw it, so no
analyzer judges it. Roles `human`, `ai`, `model` and `thinking` are shown as `user`, `assistant`, `assistant` and `reasoning`.
The previews are the first 200 characters of the last user message and of the last answer.
"""

_REST = """## What stays in `attributes`

Everything else, as text; lists and objects as JSON, bytes in base64. A value leaves the map only where nothing is lost:

- a text of the messages (the keys in the table above and the numbered keys that were read), so that texts are kept once.
  Of several keys with a text of the same side, the one that the messages were read from is kept. {beside} stay;
- a text or a count under the first key of its column, where the column holds it and no column is invalid.

Resource attributes stay whole in `resource_attributes`, and the attributes of events, without texts of messages, in `events`.
"""


def page() -> str:
    """The whole page."""
    usage = ", ".join(f"`{operation}`" for operation in USAGE_OPERATIONS)
    events = ", ".join(f"`{event}`" for event in MESSAGE_EVENTS)
    beside = ", ".join(f"`{key}`" for side in CONVERSATIONS for key in side.beside)
    messages = _MESSAGES.format(events=events, event_keys=_keys(EVENT_TEXT_KEYS))
    parts = (
        _HEAD,
        _columns("## From the span", SPAN_COLUMNS),
        _columns("## From its resource", RESOURCE_COLUMNS),
        _OPERATION,
        _names("### Operations under other names", OPERATIONS, "no generative AI operation"),
        _names("### Providers under other names", PROVIDERS, "none: a framework"),
        _TOKENS.format(operations=usage),
        _names("### Counts in `langfuse.observation.usage_details`", {v: k for k, v in USAGE_DETAILS.items()}, ""),
        _RELEASE,
        messages,
        _sides(CONVERSATIONS),
        _REST.format(beside=beside),
    )
    return "\n".join(parts)


def _columns(title: str, columns: Iterable[Column]) -> str:
    rows = [(_HELPERS.get(c.name, f"`{c.name}`"), _TYPES[c.type], _keys(c.keys)) for c in columns]
    return _table(title, ("column", "type", "keys, in order of precedence"), rows)


def _sides(sides: Iterable[Conversation]) -> str:
    rows = [(side.name, side.default_role, _keys(side.keys), _keys(side.numbered)) for side in sides]
    return _table("", ("side", "role if none is given", "keys, in order of precedence", "numbered keys"), rows)


def _names(title: str, names: dict[str, str], empty: str) -> str:
    given: dict[str, list[str]] = {}
    for name, meaning in names.items():
        given.setdefault(meaning, []).append(name)
    rows = [(f"`{meaning}`" if meaning else empty, _keys(given[meaning])) for meaning in given]
    return _table(title, ("becomes", "sent as, in any case"), rows)


def _keys(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _table(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{title}\n\n{table}\n" if title else f"{table}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
