"""LiteLLM's `generic_api` callback: each event (its StandardLoggingPayload) as a span of OpenTelemetry's GenAI conventions.

The sender does not try again and cannot be asked, so only an event without an id is refused. A figure that cannot be read
travels as it is: the view leaves its column NULL and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ingest.conversion import (
    MAX_NS,
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
from ingest.items import read_items
from ingest.litellm_usage import usage_of
from ingest.messages import Message, answer_of, finish_reasons_of, messages_of

SCOPE = "litellm"
REDACTED = "redacted-by-litellm"
_NOBODY = "default_user_id"
"""Whom LiteLLM names where a call is made with the proxy's own key."""

_OPERATIONS: Mapping[str, str] = {
    "completion": "chat",
    "responses": "chat",
    "anthropic_messages": "chat",
    "text_completion": "text_completion",
    "embedding": "embeddings",
    "generate_content": "generate_content",
    "generate_content_stream": "generate_content",
    "call_mcp_tool": "execute_tool",
    "pass_through_endpoint": "",
    **{
        name: name for name in ("rerank", "image_generation", "image_edit", "moderation", "transcription", "speech", "realtime")
    },
}
"""What a `call_type` is, without the `a` of asynchronous ones; others stay as they are. Empty: what model and usage imply."""

_PROVIDERS: Mapping[str, str] = {
    "text-completion-openai": "openai",
    "azure_text": "azure",
    "azure_ai": "azure.ai.inference",
    "bedrock_converse": "bedrock",
    "vertex_ai_beta": "vertex_ai",
    "cohere_chat": "cohere",
}
"""LiteLLM's names of providers that are neither the registry's nor known to the view."""

_PARAMETERS: Mapping[str, str] = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "n": "gen_ai.request.choice.count",
    "encoding_format": "gen_ai.request.encoding_formats",
    "stream": "gen_ai.request.stream",
    "tools": "gen_ai.tool.definitions",
}

_KEPT = ("call_type", "response_cost", "cost_breakdown", "cache_hit", "saved_cache_cost", "model_id", "model_group", "api_base")
_KEPT_METADATA = (
    *("user_api_key_hash", "user_api_key_alias", "user_api_key_team_id", "user_api_key_team_alias", "user_api_key_org_id"),
    *("user_api_key_user_id", "spend_logs_metadata", "applied_guardrails"),
)
"""What stays as `litellm.<name>`. The address and e-mail of who asked do not, nor headers, price maps and stack traces."""


def decode(body: bytes) -> Conversion:
    """The events of a body: a JSON list, an object on each line, or one object.

    Raises:
        MalformedRequestError: it is not JSON.
    """
    return convert(read_items(body), _span, SCOPE)


def _span(event: dict[str, Any]) -> Converted:
    identity = _identity(event)
    given = _Given(event)
    failed = event.get("status") == "failure"
    start, end = _nanoseconds(event.get("startTime")), _nanoseconds(event.get("endTime"))
    attributes = _attributes(event, given, identity, failed=failed)
    operation, model = attributes["gen_ai.operation.name"], attributes["gen_ai.request.model"]
    span = Span(
        trace_id=_trace_id(event, given, identity),
        span_id=_span_id(event, identity, failed=failed),
        name=f"{operation or _text(event.get('call_type')) or 'call'} {model}".strip(),
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=key_values(attributes),
        status=Status(code=Status.STATUS_CODE_ERROR, message=_error_message(event)) if failed else None,
    )
    resource = {
        "service.name": given.text("service.name") or "litellm",
        "service.version": given.text("service.version"),
        "deployment.environment.name": given.text("deployment.environment.name"),
    }
    return Converted(resource, span)


def _identity(event: Mapping[str, Any]) -> str:
    """The id; LiteLLM writes `None` where the provider gave none, and then the whole event tells it from others."""
    identity = _text(event.get("id"))
    if not identity:
        raise ItemError("id is required: it tells a retry from another call")
    return derived(TRACE_ID_BYTES, as_json(event)).hex() if identity == "None" else identity


class _Given:
    """What operators and callers say about a call beside LiteLLM's own fields: in its metadata, the request's, that of the
    spend logs, that of the virtual key, or as a tag `name:value`; the first of these that has a name wins.

    Attributes:
        metadata: LiteLLM's own.
        tags: all tags, as they came.
        session: the id of the conversation.
    """

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.metadata = _object(event.get("metadata"))
        tags = event.get("request_tags")
        self.tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        parted = (tag.partition(":") for tag in reversed(self.tags))
        inner = ("requester_metadata", "spend_logs_metadata", "user_api_key_auth_metadata")
        places = (self.metadata, *(_object(self.metadata.get(name)) for name in inner))
        named = {name.strip(): value.strip() for name, _, value in parted}
        self._places = [place for place in (*places, named) if place]
        self.session = _text(event.get("session_id")) or self.text("session_id") or self.text("litellm_session_id")

    def text(self, name: str) -> str:
        """The text under a name; empty where nobody gave it."""
        return next((text for text in (_text(place.get(name)) for place in self._places) if text), "")


def _attributes(event: Mapping[str, Any], given: _Given, identity: str, *, failed: bool) -> dict[str, Any]:
    response = _object(event.get("response"))
    provider = _text(event.get("custom_llm_provider"))
    local = event.get("cache_hit") is True
    call_type = _text(event.get("call_type"))
    return {
        "gen_ai.operation.name": _operation(call_type),
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": _text(event.get("model")).removeprefix(f"{provider}/"),
        "gen_ai.response.model": _answering_model(event).removeprefix(f"{provider}/"),
        # An answer out of the gateway's own cache is not the response that it repeats, and nobody is paid for it again.
        "litellm.response_id" if local else "gen_ai.response.id": _text(response.get("id")),
        **usage_of(event, prefix="litellm.usage." if local else "gen_ai.usage.", failed=failed),
        "gen_ai.response.time_to_first_chunk": _time_to_first_token(event),
        **(_tool_texts(event, given) if _operation(call_type) == "execute_tool" else _texts(event)),
        "gen_ai.conversation.id": given.session or _text(event.get("trace_id")),
        "user.id": _user(event, given),
        "gen_ai.prompt.name": _text(_object(given.metadata.get("prompt_management_metadata")).get("prompt_id")),
        "tracewarden.target": given.text("tracewarden.target"),
        "tracewarden.release": given.text("tracewarden.release"),
        **_failure(event, failed=failed),
        "gen_ai.request.stream": event.get("stream"),
        **_parameters(_object(event.get("model_parameters"))),
        "litellm.id": identity,
        "litellm.call_id": event.get("litellm_call_id"),
        "litellm.request_tags": given.tags or None,
        **{f"litellm.{name}": event.get(name) for name in _KEPT},
        **{f"litellm.{name}": given.metadata.get(name) for name in _KEPT_METADATA},
        "litellm.requester_metadata": _without_headers(given.metadata.get("requester_metadata")),
    }


def _answering_model(event: Mapping[str, Any]) -> str:
    """The proxy puts the name that was asked for in the place of the model; then LiteLLM's price map knows which it was."""
    model = _text(_object(event.get("response")).get("model"))
    if not model or model != event.get("model_group"):
        return model
    mapped = _object(event.get("model_map_information"))
    return _text(mapped.get("model_map_key")) if mapped.get("model_map_value") else ""


def _user(event: Mapping[str, Any], given: _Given) -> str:
    found = (_text(event.get("end_user")), given.text("user_api_key_end_user_id"), given.text("user_api_key_user_id"))
    return next((user for user in found if user not in ("", _NOBODY)), "")


def _without_headers(requested: object) -> object:
    """The proxy adds the headers of the request to what the caller sent as metadata."""
    return {name: value for name, value in _object(requested).items() if name != "headers"}


def _operation(call_type: str) -> str:
    name = call_type.lstrip("_")
    return next((_OPERATIONS[known] for known in (name, name.removeprefix("a")) if known in _OPERATIONS), name)


def _texts(event: Mapping[str, Any]) -> dict[str, str]:
    asked = _unredacted(messages_of(event.get("messages"), "user"))
    answered = _unredacted(answer_of(event.get("response")))
    return {
        "gen_ai.input.messages": as_json(asked) if asked else "",
        "gen_ai.output.messages": as_json(answered) if answered else "",
        "gen_ai.response.finish_reasons": as_json(reasons) if (reasons := finish_reasons_of(event.get("response"))) else "",
    }


def _tool_texts(event: Mapping[str, Any], given: _Given) -> dict[str, str]:
    """A tool that the gateway called for a model: values, no messages."""
    called = _object(given.metadata.get("mcp_tool_call_metadata"))
    results = [part for message in answer_of(event.get("response")) for part in message["parts"]]
    return {
        "gen_ai.tool.name": _text(called.get("name")),
        "gen_ai.tool.call.arguments": as_json(called["arguments"]) if called.get("arguments") is not None else "",
        "gen_ai.tool.call.result": "\n".join(_text(part.get("content")) for part in results if REDACTED not in part.values()),
    }


def _unredacted(messages: list[Message]) -> list[Message]:
    """Without what LiteLLM put in the place of texts: that is no text, and nothing to be scored."""
    kept = [{**message, "parts": [part for part in message["parts"] if REDACTED not in part.values()]} for message in messages]
    return [message for message in kept if message["parts"]]


def _failure(event: Mapping[str, Any], *, failed: bool) -> dict[str, str]:
    if not failed:
        return {}
    information = _object(event.get("error_information"))
    code = _text(information.get("error_code"))
    return {"error.type": _text(information.get("error_class")) or code or "_OTHER", "litellm.error_code": code}


def _error_message(event: Mapping[str, Any]) -> str:
    return _text(_object(event.get("error_information")).get("error_message")) or _text(event.get("error_str"))


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    known = {_PARAMETERS[name]: value for name, value in given.items() if name in _PARAMETERS}
    others = {name: value for name, value in given.items() if name not in _PARAMETERS}
    return {**known, "litellm.model_parameters": others or None}


def _time_to_first_token(event: Mapping[str, Any]) -> float | None:
    """Seconds from the start to the first chunk of a stream; of another answer LiteLLM gives the end as that of its first."""
    start, first = _nanoseconds(event.get("startTime")), _nanoseconds(event.get("completionStartTime"))
    return (first - start) / 1e9 if event.get("stream") is True and first >= start > 0 else None


def _trace_id(event: Mapping[str, Any], given: _Given, identity: str) -> bytes:
    """LiteLLM writes a session's id in the place of the trace's; a trace is one request, so then every call is its own."""
    trace = _text(event.get("trace_id"))
    trace = "" if trace == given.session else trace
    return trace_id_of(trace) or derived(TRACE_ID_BYTES, "litellm", "trace", trace or identity)


def _span_id(event: Mapping[str, Any], identity: str, *, failed: bool) -> bytes:
    """Of the id alone for an answer; attempts that failed may share the id of their request, so that their start counts."""
    attempt = ("failure", str(event.get("startTime")), _text(event.get("model_id"))) if failed else ()
    return derived(SPAN_ID_BYTES, "litellm", "span", identity, *attempt)


def _nanoseconds(value: object) -> int:
    """Seconds since 1970, or `2026-01-31 12:00:00.5` (in UTC unless it says otherwise); 0 where it is no time."""
    seconds = next(_seconds(value), 0.0)
    # A float holds today's seconds to a quarter of a microsecond.
    return min(round(seconds * 1e6) * 1000, MAX_NS) if 0 < seconds < math.inf else 0


def _seconds(value: object) -> Iterator[float]:
    if isinstance(value, bool):
        return
    try:
        if isinstance(value, (int, float, str)):
            yield float(value)
    except (ValueError, OverflowError):
        try:
            time = datetime.fromisoformat(str(value))
            yield (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return


def _text(value: object) -> str:
    """A text or a number as text; empty for everything else."""
    return value if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
