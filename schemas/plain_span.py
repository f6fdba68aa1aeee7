"""A span as plain JSON: what people without an SDK send, in the words of `GET /v1/spans`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.api.base import Body
from schemas.instant import Instant
from schemas.patterns import SPAN_ID, TRACE_ID_OR_UUID

MAX_TOKENS = 10**9
MAX_MS = 10**12

READ_AS = {"user": "user_id", "conversation": "conversation_id", "start": "started_at", "status_message": "error_message"}
"""Members under the names that the API gives them out by; both are taken."""

_SAYING = ("content", "text", "parts", "tool_calls", "function_call")
_EXAMPLE = '{"role": "user", "content": "…"}'


def _said(value: Any) -> Any:
    """A text, a message, or a list of either."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, (str, dict)):
            raise ValueError(f"must be text, or a list of messages such as {_EXAMPLE}")
        if isinstance(item, dict) and not any(item.get(name) for name in _SAYING):
            raise ValueError(f"a message says nothing: write it as {_EXAMPLE}")
        if isinstance(item, dict) and not isinstance(item.get("role", ""), str):
            raise ValueError(f"the role of a message must be text: write it as {_EXAMPLE}")
    return value


def _documents(value: Any) -> Any:
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(one.get("content") if isinstance(one, dict) else one, str) for one in listed):
        raise ValueError('must be a list of texts, or of objects such as {"id": "faq-7", "content": "…"}')
    return listed


def _not_zero(value: str) -> str:
    if not value.strip("0-"):
        raise ValueError("must not be zero")
    return value


Count = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_MS, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=1000)]
Said = Annotated[Any, BeforeValidator(_said)]
TraceId = Annotated[str, Field(pattern=TRACE_ID_OR_UUID), AfterValidator(_not_zero)]
SpanId = Annotated[str, Field(pattern=SPAN_ID), AfterValidator(_not_zero)]


class PlainUsage(Body):
    """Tokens; cached ones are within the input, reasoning is within the output."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None

    @model_validator(mode="after")
    def _parts_are_within(self) -> Self:
        cached = (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)
        if self.input_tokens is not None and cached > self.input_tokens:
            raise ValueError("input_tokens must include cache_read_tokens and cache_write_tokens: add them to it")
        if self.output_tokens is not None and (self.reasoning_tokens or 0) > self.output_tokens:
            raise ValueError("output_tokens must include reasoning_tokens: add them to it")
        return self


class PlainSpan(Body):
    """One operation: a call of a model, of a tool, a retrieval, or what stands around them."""

    id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    trace_id: TraceId | None = None
    span_id: SpanId | None = None
    parent_span_id: SpanId | None = None
    name: Name = ""
    operation: Name = ""
    service: Name = ""
    service_version: Name = ""
    environment: Name = ""
    provider: Name = ""
    model: Name = ""
    request_model: Name = ""
    response_id: Name = ""
    finish_reasons: list[Name] = Field(default_factory=list)
    target: Name = ""
    release: Name = ""
    prompt: Name = ""
    prompt_version: Name = ""
    agent: Name = ""
    tool: Name = ""
    user_id: Name = ""
    conversation_id: Name = ""
    started_at: Instant | None = None
    ended_at: Instant | None = None
    duration_ms: Milliseconds | None = None
    time_to_first_token_ms: Milliseconds | None = None
    input: Said = ""
    output: Said = ""
    documents: Annotated[list[Any], BeforeValidator(_documents)] = Field(default_factory=list)
    usage: PlainUsage = PlainUsage()
    status: Literal["unset", "ok", "error"] | None = None
    error_type: Name = ""
    error_message: Annotated[str, Field(max_length=100_000)] = ""
    attributes: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _as_read(cls, given: Any) -> Any:
        """Take the names that the API gives out, and null for what is not given."""
        if not isinstance(given, dict):
            return given
        renamed = {READ_AS[name]: value for name, value in given.items() if name in READ_AS and READ_AS[name] not in given}
        kept = {name: value for name, value in given.items() if READ_AS.get(name) not in renamed}
        return {name: value for name, value in (kept | renamed).items() if value is not None}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.started_at is None and (self.ended_at is None or self.duration_ms is None):
            raise ValueError("started_at is required (RFC 3339 or epoch milliseconds); or send ended_at with duration_ms")
        if None not in (self.started_at, self.ended_at, self.duration_ms):
            raise ValueError("started_at, ended_at and duration_ms say the same twice: leave one out")
        if self.started_at is not None and self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError("ended_at is before started_at")
        if self.parent_span_id is not None and self.trace_id is None:
            raise ValueError("a span with parent_span_id needs the trace_id of its parent")
        if self.status in ("ok", "unset") and (self.error_type or self.error_message):
            raise ValueError(f"error_type and error_message contradict the status {self.status}: send error, or leave it out")
        return self

    @property
    def interval(self) -> tuple[datetime, datetime | None]:
        """Start and end; the end is None where nothing tells it."""
        length = None if self.duration_ms is None else timedelta(milliseconds=self.duration_ms)
        if self.started_at is None:
            assert self.ended_at is not None
            assert length is not None
            return self.ended_at - length, self.ended_at
        return self.started_at, self.ended_at if length is None else self.started_at + length
