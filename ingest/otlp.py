"""OTLP trace requests: decoding, validation, flattening of values, splitting. Pure functions on messages."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import Enum
from typing import Any, NamedTuple

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from ingest.wire import field, head, message

MAX_RECORD_BYTES = 900_000
MAX_SPAN_BYTES = 8 * 1024 * 1024
FUTURE_S = 3_600
PAST_S = 400 * 86_400
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_COMPOSITE = ("array_value", "kvlist_value", "bytes_value")
# The `value` of a KeyValue whose first byte is the tag of an array, a key-value list or bytes. Serialised spans have no
# other form for them; a few random bytes look alike, which costs a closer look.
_MAY_BE_COMPOSITE = re.compile(rb"\x12(?:[\x01-\x7f]|[\x80-\xff]{1,4}[\x00-\x7f])[\x2a\x32\x3a]").search
_RESOURCE_SPANS, _SOURCE, _SCOPE_SPANS, _SPANS, _SCHEMA_URL = 1, 1, 2, 2, 3
_DETAIL_CHARACTERS = 500
"""Of what the parser says, which quotes the value that it could not read, however large."""
_SPAN_HEAD_BYTES = 6
_HEADS_BYTES = 32


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
    NO_END = "there is no end (end_time_unix_nano is zero): the duration is unknown"
    ENDS_EARLY = "end_time_unix_nano is before the start: the duration is unknown"


class EncodedScope(NamedTuple):
    """The bytes of the spans of one scope; `resource` and `scope` are what stands before and after their repeated field."""

    resource: tuple[bytes, bytes]
    scope: tuple[bytes, bytes]
    spans: list[bytes]

    @property
    def weight(self) -> int:
        """Bytes that a record grows by with the first of the spans, beside the span itself, at most."""
        return sum(map(len, (*self.resource, *self.scope))) + _HEADS_BYTES


@dataclass
class Validation:
    """What became of the spans of one request.

    Attributes:
        accepted: how many were kept.
        rejected: why the others were not, and how many.
        warnings: what was kept although something is wrong with it.
        scopes: the bytes of what was kept.
    """

    accepted: int = 0
    rejected: Counter[Reason] = dataclass_field(default_factory=Counter)
    warnings: Counter[Concern] = dataclass_field(default_factory=Counter)
    scopes: list[EncodedScope] = dataclass_field(default_factory=list)

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
        detail = str(error)[:_DETAIL_CHARACTERS]
        raise MalformedRequestError(f"the body is not OTLP/JSON of an ExportTraceServiceRequest: {detail}") from error


def validate(request: ExportTraceServiceRequest, now_ns: int) -> Validation:
    """Drop the spans that cannot be stored and turn every value into a scalar, in place."""
    result = Validation()
    for resource_spans in request.resource_spans:
        _flatten(resource_spans.resource.attributes)
        resource = resource_spans.resource if resource_spans.HasField("resource") else None
        around = _around(resource, resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            kept = _validate_scope(scope_spans, now_ns, result)
            scope = scope_spans.scope if scope_spans.HasField("scope") else None
            result.scopes.append(EncodedScope(around, _around(scope, scope_spans.schema_url), kept))
    return result


def split(validation: Validation, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[tuple[int, bytes]]:
    """The request as (span count, bytes) of at most `max_bytes` each, cut between spans, the same way every time.

    A span that is larger by itself makes a record of its own.
    """
    record: list[EncodedScope] = []
    size = count = 0
    for scope in validation.scopes:
        weight = scope.weight
        record.append(scope._replace(spans=[]))
        for span in scope.spans:
            if count and size + weight + len(span) > max_bytes:
                yield count, _assembled(record)
                record, size, count, weight = [scope._replace(spans=[])], 0, 0, scope.weight
            record[-1].spans.append(span)
            size, count, weight = size + weight + len(span), count + 1, _SPAN_HEAD_BYTES
    if count:
        yield count, _assembled(record)


def _assembled(scopes: Iterable[EncodedScope]) -> bytes:
    """An ExportTraceServiceRequest, byte for byte as its own serialisation, with each span's bytes as they are."""
    parts: list[bytes] = []
    for _, group in itertools.groupby((scope for scope in scopes if scope.spans), key=lambda scope: id(scope.resource)):
        members = list(group)
        before, after = members[0].resource
        inner = [before, *itertools.chain.from_iterable(_scope_parts(scope) for scope in members), after]
        parts += message(_RESOURCE_SPANS, inner)
    return b"".join(parts)


def _scope_parts(scope: EncodedScope) -> list[bytes]:
    before, after = scope.scope
    spans = itertools.chain.from_iterable((head(_SPANS, len(span)), span) for span in scope.spans)
    return message(_SCOPE_SPANS, [before, *spans, after])


def _around(source: Message | None, schema_url: str) -> tuple[bytes, bytes]:
    """The fields before and after the repeated one: resource or scope, and the URL of the schema."""
    before = b"" if source is None else field(_SOURCE, source.SerializeToString())
    return before, field(_SCHEMA_URL, schema_url.encode()) if schema_url else b""


def _validate_scope(scope: ScopeSpans, now_ns: int, result: Validation) -> list[bytes]:
    """The bytes of the spans that are kept."""
    bad, kept = [], []
    composites = False
    for index, span in enumerate(scope.spans):
        reason = _refusal(span)
        if not reason:
            data, composites = _encoded(span, composites)
            reason = Reason.TOO_LARGE if len(data) > MAX_SPAN_BYTES else None
        if reason:
            result.rejected[reason] += 1
            bad.append(index)
            continue
        kept.append(data)
        result.accepted += 1
        warning = _warning(span, now_ns)
        if warning:
            result.warnings[warning] += 1
    for index in reversed(bad):
        del scope.spans[index]
    return kept


def _encoded(span: Span, composites: bool) -> tuple[bytes, bool]:
    """The bytes of a span with scalars only, and whether it had other values.

    Looking at each attribute in Python takes longer than serialising the span and searching its bytes for a composite
    value. So that comes first, unless the span before had one (`composites`).
    """
    if not composites:
        data = span.SerializeToString()
        if not _MAY_BE_COMPOSITE(data):
            return data, False
    found = _flatten(span.attributes)
    for event in span.events:
        found = _flatten(event.attributes) or found
    return span.SerializeToString() if found or composites else data, found


def _refusal(span: Span) -> Reason | None:
    if len(span.trace_id) != 16 or span.trace_id == _NO_TRACE:
        return Reason.NO_TRACE_ID
    if len(span.span_id) != 8 or span.span_id == _NO_SPAN:
        return Reason.NO_SPAN_ID
    return Reason.BAD_PARENT_ID if len(span.parent_span_id) not in (0, 8) else None


def _warning(span: Span, now_ns: int) -> Concern | None:
    start = span.start_time_unix_nano
    if not start:
        return Concern.NO_START
    if not now_ns - PAST_S * 10**9 <= start <= now_ns + FUTURE_S * 10**9:
        return Concern.ABSURD_START
    if not span.end_time_unix_nano:
        return Concern.NO_END
    return Concern.ENDS_EARLY if span.end_time_unix_nano < start else None


def _flatten(attributes: Iterable[KeyValue]) -> bool:
    """Arrays, key-value lists and bytes become JSON text (bytes in base64): ClickHouse reads scalars. Whether any did."""
    found = False
    for attribute in attributes:
        value = attribute.value
        kind = value.WhichOneof("value")
        if kind in _COMPOSITE:
            plain = _plain(value)
            value.string_value = plain if isinstance(plain, str) else orjson.dumps(plain, default=str).decode()
            found = True
    return found


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
    """The objects of a list. What is no list is left to the parser, which says where it stands."""
    for name in names:
        found = parent.get(name)
        if found and isinstance(found, list):
            return [item for item in found if isinstance(item, dict)]
    return []


def _hex_to_base64(value: object) -> str:
    """An id that is not hexadecimal becomes empty, so that its span alone is rejected."""
    try:
        return base64.b64encode(binascii.unhexlify(str(value))).decode()
    except (binascii.Error, ValueError):
        return ""
