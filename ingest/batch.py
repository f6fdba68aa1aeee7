"""Plain JSON for people without an SDK: `{"spans": [...]}`, a list, one span, or a span on each line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import ValidationError

from ingest.conversion import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    Conversion,
    Converted,
    ItemError,
    as_json,
    convert,
    derived,
    key_values,
    trace_id_of,
)
from ingest.items import name_of, read_items
from ingest.messages import Message, messages_of
from ingest.otlp import MalformedRequestError
from schemas.attributes import OPERATIONS, USAGE_OPERATIONS
from schemas.complaint import complaints_of
from schemas.conversation import TOOLS
from schemas.instant import EPOCH
from schemas.plain_span import PlainSpan

SCOPE = "tracewarden.batch"
_RETRIEVAL = "retrieval"
_STATUS = {"ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR, "unset": Status.STATUS_CODE_UNSET}

_ATTRIBUTES: Mapping[str, str] = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "request_model": "gen_ai.request.model",
    "model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "target": "tracewarden.target",
    "release": "tracewarden.release",
    "prompt": "gen_ai.prompt.name",
    "prompt_version": "gen_ai.prompt.version",
    "agent": "gen_ai.agent.name",
    "tool": "gen_ai.tool.name",
    "user_id": "user.id",
    "conversation_id": "gen_ai.conversation.id",
    "error_type": "error.type",
}
_USAGE: Mapping[str, str] = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}


def decode(body: bytes) -> Conversion:
    """The spans of a body.

    Raises:
        MalformedRequestError: it is not JSON, or `spans` is no list.
    """
    items = read_items(body)
    if len(items) == 1 and isinstance(items[0], dict) and "spans" in items[0]:
        items = _listed(items[0])
    return convert(items, _span, SCOPE)


def _listed(outer: dict[str, Any]) -> list[Any]:
    others = sorted(outer.keys() - {"spans"})
    if others:
        raise MalformedRequestError(
            f"beside spans nothing is read, but there is {', '.join(others)[:200]}: put it on each span"
        )
    if not isinstance(outer["spans"], list):
        raise MalformedRequestError(f"spans must be a list, not {name_of(outer['spans'])}")
    return outer["spans"]


def _span(item: dict[str, Any]) -> Converted:
    try:
        plain = PlainSpan.model_validate(item)
    except ValidationError as error:
        raise ItemError("; ".join(map(str, complaints_of(error.errors())))) from error
    start, end = plain.interval
    identity = plain.id or _content(item)
    span = Span(
        trace_id=trace_id_of(plain.trace_id or "") or derived(TRACE_ID_BYTES, "batch", "trace", identity),
        span_id=bytes.fromhex(plain.span_id or "") or derived(SPAN_ID_BYTES, "batch", "span", identity),
        parent_span_id=bytes.fromhex(plain.parent_span_id or ""),
        name=plain.name or f"{plain.operation or 'span'} {plain.model or plain.request_model or plain.tool}".strip(),
        kind=Span.SPAN_KIND_CLIENT if _operation(plain) in USAGE_OPERATIONS else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=_nanoseconds(start),
        end_time_unix_nano=0 if end is None else _nanoseconds(end),
        attributes=key_values(_attributes(plain)),
        status=_status(plain),
    )
    resource = {
        "service.name": plain.service,
        "service.version": plain.service_version,
        "deployment.environment.name": plain.environment,
    }
    return Converted(resource, span)


def _content(item: dict[str, Any]) -> str:
    """What tells a span without ids from others: all that it says, in whatever order."""
    try:
        return orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise ItemError(f"cannot be read ({error}): nest attributes less deeply") from error


def _attributes(plain: PlainSpan) -> dict[str, Any]:
    first_token_ms = plain.time_to_first_token_ms
    own = {
        **{key: getattr(plain, name) for name, key in _ATTRIBUTES.items()},
        **{key: getattr(plain.usage, name) for name, key in _USAGE.items()},
        "gen_ai.response.finish_reasons": as_json(plain.finish_reasons) if plain.finish_reasons else None,
        "gen_ai.response.time_to_first_chunk": None if first_token_ms is None else first_token_ms / 1000,
        **_texts(plain),
    }
    twice = sorted(key for key in plain.attributes if own.get(key) not in (None, ""))
    if twice:
        raise ItemError(f"attributes: {', '.join(twice)} is said by a member of the span already: leave one out")
    return {**own, **plain.attributes}


def _texts(plain: PlainSpan) -> dict[str, str]:
    """Input, output and documents. What a model was given to answer from is part of its input; a retriever's is its output."""
    operation = _operation(plain)
    if operation in TOOLS:
        return {"gen_ai.tool.call.arguments": _value(plain.input), "gen_ai.tool.call.result": _value(plain.output)}
    asked, answered = messages_of(plain.input, "user"), messages_of(plain.output, "assistant")
    if operation == _RETRIEVAL:
        found = [one if isinstance(one, dict) else {"content": one} for one in plain.documents]
        documents = as_json(found) if found else ""
    else:
        asked = [*asked[:-1], *map(_document, plain.documents), *asked[-1:]]
        documents = ""
    return {
        "gen_ai.input.messages": as_json(asked) if asked else "",
        "gen_ai.output.messages": as_json(answered) if answered else "",
        "gen_ai.retrieval.documents": documents,
    }


def _operation(plain: PlainSpan) -> str:
    """What the store will call it."""
    return OPERATIONS.get(plain.operation.lower(), plain.operation.lower())


def _document(document: str | dict[str, Any]) -> Message:
    text = document if isinstance(document, str) else document["content"]
    return {"role": "document", "parts": [{"type": "text", "content": text}]}


def _value(said: Any) -> str:
    return said if isinstance(said, str) else as_json(said)


def _status(plain: PlainSpan) -> Status:
    failed = bool(plain.error_type or plain.error_message)
    return Status(code=_STATUS[plain.status or ("error" if failed else "unset")], message=plain.error_message)


def _nanoseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1) * 1000
