"""OTLP trace requests: decoding, validation, flattening of values, splitting. Pure functions on messages."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

MAX_RECORD_BYTES = 900_000
MAX_SPAN_BYTES = 8 * 1024 * 1024
FUTURE_S = 3_600
PAST_S = 400 * 86_400
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_COMPOSITE = ("array_value", "kvlist_value", "bytes_value")


class MalformedRequestError(ValueError):
    """The body is not an OTLP trace request; the message says what was expected."""


class Reason(Enum):
    """Why a span was rejected; the name is the label of the metric, the value what the sender reads."""

    NO_TRACE_ID = "trace_id must be 16 bytes that are not all zero (is this an OTLP logs request sent to /v1/traces?)"
    NO_SPAN_ID = "span_id must be 8 bytes that are not all zero"
    BAD_PARENT_ID = "parent_span_id must be 8 bytes, or empty for a root"
    TOO_LARGE = f"a span may have {MAX_SPAN_BYTES} bytes at most: shorten its attributes"


class Concern(Enum):
    """What is wrong with a span that was kept."""

    NO_START = "start_time_unix_nano is zero: the span is shown at its arrival time; set it in the sender"
    ABSURD_START = (
        "start_time_unix_nano is over an hour ahead or over 400 days ago: the span is shown at its arrival time; "
        "check the sender's clock"
    )
    ENDS_EARLY = "end_time_unix_nano is before the start: the duration is unknown"


@dataclass
class Validation:
    """What became of the spans of one request.

    Attributes:
        accepted: how many were kept.
        rejected: why the others were not, and how many.
        warnings: what was kept although something is wrong with it.
    """

    accepted: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    warnings: Counter[Concern] = field(default_factory=Counter)

    @property
    def message(self) -> str:
        """One line for the sender; empty when all is well."""
        parts = [f"{count} span(s) rejected: {reason.value}" for reason, count in self.rejected.items()]
        parts += [f"{count} span(s) accepted with a warning: {concern.value}" for concern, count in self.warnings.items()]
        return "; ".join(parts)


def decode_protobuf(body: bytes) -> ExportTraceServiceRequest:
    """Parse a protobuf body.

    Raises:
        MalformedRequestError: it is not a trace request.
    """
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedRequestError(
            f"the body is not a protobuf ExportTraceServiceRequest ({error}): check the exporter's protocol and path"
        ) from error


def decode_json(body: bytes) -> ExportTraceServiceRequest:
    """Parse a JSON body of OTLP's own mapping: ids in hexadecimal, enums as integers, unknown fields ignored.

    Raises:
        MalformedRequestError: it is not a trace request.
    """
    try:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise MalformedRequestError('the JSON body must be an object with "resourceSpans"')
        _ids_to_base64(document)
        return ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True, max_recursion_depth=100)
    except (orjson.JSONDecodeError, ParseError, RecursionError, AttributeError, TypeError) as error:
        raise MalformedRequestError(f"the body is not OTLP/JSON of an ExportTraceServiceRequest: {error}") from error


def validate(request: ExportTraceServiceRequest, now_ns: int) -> Validation:
    """Drop the spans that cannot be stored and turn every value into a scalar, in place."""
    result = Validation()
    for resource_spans in request.resource_spans:
        _flatten(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            _validate_scope(scope_spans, now_ns, result)
    return result


def split(request: ExportTraceServiceRequest, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[tuple[int, bytes]]:
    """The request as (span count, bytes) of at most `max_bytes` each, cut between spans, the same way every time.

    A span that is larger by itself makes a record of its own.
    """
    whole = request.SerializeToString(deterministic=True)
    if len(whole) <= max_bytes:
        yield sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans), whole
        return
    part = ExportTraceServiceRequest()
    size = count = 0
    for resource, scope, spans in _runs(request, max_bytes):
        weight = resource.ByteSize() + sum(span.ByteSize() + 8 for span in spans) + 64
        if count and size + weight > max_bytes:
            yield count, part.SerializeToString(deterministic=True)
            part, size, count = ExportTraceServiceRequest(), 0, 0
        target = part.resource_spans.add(resource=resource.resource, schema_url=resource.schema_url)
        target.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url).spans.extend(spans)
        size, count = size + weight, count + len(spans)
    yield count, part.SerializeToString(deterministic=True)


def _runs(request: ExportTraceServiceRequest, max_bytes: int) -> Iterator[tuple[ResourceSpans, ScopeSpans, list[Span]]]:
    """Spans of one scope in runs that are each well below `max_bytes`."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            run: list[Span] = []
            size = 0
            for span in scope.spans:
                if run and size + span.ByteSize() > max_bytes // 4:
                    yield _bare(resource), scope, run
                    run, size = [], 0
                run.append(span)
                size += span.ByteSize()
            if run:
                yield _bare(resource), scope, run


def _bare(resource: ResourceSpans) -> ResourceSpans:
    return ResourceSpans(resource=resource.resource, schema_url=resource.schema_url)


def _validate_scope(scope: ScopeSpans, now_ns: int, result: Validation) -> None:
    bad = []
    for index, span in enumerate(scope.spans):
        reason = _refusal(span)
        if reason:
            result.rejected[reason] += 1
            bad.append(index)
            continue
        result.accepted += 1
        warning = _warning(span, now_ns)
        if warning:
            result.warnings[warning] += 1
        _flatten(span.attributes)
        for event in span.events:
            _flatten(event.attributes)
    for index in reversed(bad):
        del scope.spans[index]


def _refusal(span: Span) -> Reason | None:
    if len(span.trace_id) != 16 or span.trace_id == _NO_TRACE:
        return Reason.NO_TRACE_ID
    if len(span.span_id) != 8 or span.span_id == _NO_SPAN:
        return Reason.NO_SPAN_ID
    if len(span.parent_span_id) not in (0, 8):
        return Reason.BAD_PARENT_ID
    return Reason.TOO_LARGE if span.ByteSize() > MAX_SPAN_BYTES else None


def _warning(span: Span, now_ns: int) -> Concern | None:
    start = span.start_time_unix_nano
    if not start:
        return Concern.NO_START
    if not now_ns - PAST_S * 10**9 <= start <= now_ns + FUTURE_S * 10**9:
        return Concern.ABSURD_START
    return Concern.ENDS_EARLY if span.end_time_unix_nano < start else None


def _flatten(attributes: Iterable[KeyValue]) -> None:
    """Arrays, key-value lists and bytes become JSON text (bytes in base64): ClickHouse reads scalars."""
    for attribute in attributes:
        value = attribute.value
        kind = value.WhichOneof("value")
        if kind in _COMPOSITE:
            plain = _plain(value)
            value.string_value = plain if isinstance(plain, str) else orjson.dumps(plain, default=str).decode()


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None


def _ids_to_base64(document: dict[str, Any]) -> None:
    """OTLP/JSON writes ids in hexadecimal where protobuf's JSON mapping expects base64."""
    for span in _json_spans(document):
        for item in (span, *_items(span, "links")):
            for name in ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"):
                if name in item:
                    item[name] = _hex_to_base64(item[name])


def _json_spans(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in _items(document, "resourceSpans", "resource_spans"):
        for scope in _items(resource, "scopeSpans", "scope_spans"):
            yield from _items(scope, "spans")


def _items(parent: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    for name in names:
        if parent.get(name):
            return [item for item in parent[name] if isinstance(item, dict)]
    return []


def _hex_to_base64(value: object) -> str:
    """An id that is not hexadecimal becomes empty, so that its span alone is rejected."""
    try:
        return base64.b64encode(binascii.unhexlify(str(value))).decode()
    except (binascii.Error, ValueError):
        return ""
