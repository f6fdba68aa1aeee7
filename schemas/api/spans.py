"""Spans and traces as the API shows them. What a client did not send is null."""

from __future__ import annotations

from pydantic import Field

from schemas.api.base import Answer, Time


class SpanSummary(Answer):
    """One span without its texts; enough for lists and trees."""

    trace_id: str = Field(description="32 hex digits.")
    span_id: str = Field(description="16 hex digits.")
    parent_span_id: str | None = Field(description="null: the root of its trace.")
    name: str
    kind: str | None = Field(description="internal, server, client, producer or consumer.")
    service: str | None
    operation: str | None = Field(description="gen_ai.operation.name; null where the span is not about a model.")
    provider: str | None
    model: str | None = Field(description="The model that answered, else the one that was asked.")
    target: str | None = Field(description="As sent on this span; children inherit it through their trace.")
    release: str | None = Field(description="As sent on this span; children inherit it through their trace.")
    user: str | None
    conversation: str | None
    start: str = Field(description="RFC 3339 with nanoseconds, as the client said.")
    time: Time = Field(description="The start that charts use: arrival instead of a start that cannot be.")
    duration_ms: float | None
    time_to_first_token_ms: float | None
    status: str = Field(description="unset, ok or error; a span with an error type is an error.")
    error_type: str | None
    input_tokens: int | None = Field(description="Uncached, cache reads and cache writes together.")
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None = Field(description="Reasoning included.")
    reasoning_tokens: int | None
    cost_usd: float | None = Field(description="null: no usage, or no price known.")
    input_preview: str | None = Field(description="The beginning of the input.")
    output_preview: str | None = Field(description="The beginning of the output.")


class Message(Answer):
    """One message of a conversation."""

    role: str
    text: str


class SpanEvent(Answer):
    """Something that happened during a span."""

    time: str = Field(description="RFC 3339 with nanoseconds.")
    name: str
    attributes: dict[str, str]


class SpanLink(Answer):
    """A span of another trace that this one is about."""

    trace_id: str
    span_id: str


class SpanDetail(SpanSummary):
    """A whole span. In the tree of a very large trace everything beyond the summary is null."""

    received_at: Time | None = None
    status_message: str | None = None
    service_version: str | None = None
    environment: str | None = None
    scope: str | None = Field(None, description="The instrumentation that made the span.")
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    prompt: str | None = None
    prompt_version: str | None = None
    agent: str | None = None
    tool: str | None = None
    finish_reasons: list[str] | None = None
    input_uncached_tokens: int | None = None
    usage_convention: str | None = Field(None, description="Whether the client counted cached tokens within the input.")
    price_version: str | None = Field(None, description="The price list that cost_usd rests on.")
    input_messages: list[Message] | None = None
    output_messages: list[Message] | None = None
    attributes: dict[str, str] | None = None
    resource_attributes: dict[str, str] | None = None
    events: list[SpanEvent] | None = None
    links: list[SpanLink] | None = None
    invalid_attributes: list[str] | None = Field(None, description="Members left null because their value could not be read.")


class TraceSpan(SpanDetail):
    """A span with the spans below it, in the order of their start."""

    note: str | None = Field(None, description="Why the span stands here, where that is not its parent's doing.")
    children: list[TraceSpan] = Field(default_factory=list)


class TraceTotals(Answer):
    """Sums over a trace, each model response counted once however many spans repeat its usage."""

    spans: int
    errors: int = Field(description="Spans with an error.")
    responses: int = Field(description="Model responses.")
    unpriced: int = Field(description="Model responses with usage but without a price.")
    input_tokens: int | None
    cache_read_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None


class Trace(Answer):
    """One request. `start`, `duration_ms` and `service` are those of its top span."""

    trace_id: str
    start: str
    duration_ms: float | None
    service: str | None
    status: str = Field(description="error when any span has one, else ok.")
    target: str | None
    release: str | None
    totals: TraceTotals
    complete: bool = Field(description="false: the trace has more spans than an answer may hold (query.max_rows).")
    detail: bool = Field(description="false: the trace is large, so only summaries are here; read single spans for the rest.")
    spans: list[TraceSpan] = Field(description="The roots, and the spans whose parent is not there (with a note).")


class SpanPage(Answer):
    """A page of a search, newest first."""

    spans: list[SpanSummary]
    next_cursor: str | None = Field(description="Send it as `cursor`, with the same filters, for the next page; null: the end.")
