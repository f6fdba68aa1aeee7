"""Spans for tests, and the straight way from them into a store."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from ingest.envelope import Envelope
from ingest.otlp import validate
from ingest.writer import insert_records
from storage.clickhouse import ClickHouseStore

_offsets = itertools.count()


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP writes it."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    if isinstance(value, (list, tuple)):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    return AnyValue(string_value=str(value))


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as OTLP writes them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def make_span(
    *,
    trace_id: bytes | None = None,
    span_id: bytes | None = None,
    parent_span_id: bytes = b"",
    name: str = "chat gpt-4o",
    kind: int = 3,
    start: datetime | None = None,
    duration_s: float = 1.0,
    status: int = 0,
    status_message: str = "",
    attributes: Mapping[str, Any] | None = None,
    resource: Mapping[str, Any] | None = None,
    events: Iterable[Span.Event] = (),
) -> ResourceSpans:
    """One span inside its resource; ids are random and the start is a second ago unless given."""
    started = time.time_ns() - 10**9 if start is None else round(start.timestamp() * 1e6) * 1000
    found = ResourceSpans()
    found.resource.attributes.extend(key_values({"service.name": "assistant"} if resource is None else resource))
    span = found.scope_spans.add().spans.add(
        trace_id=trace_id or os.urandom(16),
        span_id=span_id or os.urandom(8),
        parent_span_id=parent_span_id,
        name=name,
        kind=Span.SpanKind.ValueType(kind),
        start_time_unix_nano=started,
        end_time_unix_nano=started + round(duration_s * 1e9),
        status=Status(code=Status.StatusCode.ValueType(status), message=status_message),
        events=events,
    )
    span.attributes.extend(key_values(attributes or {}))
    return found


async def ingest_spans(
    store: ClickHouseStore,
    project: str,
    spans: Iterable[ResourceSpans],
    *,
    received_at: datetime | None = None,
    partition: int = 0,
) -> None:
    """Store spans as the embedded log would: one envelope, one insert."""
    offset = next(_offsets)
    await insert_records(store, [(partition, offset, make_envelope(project, spans, received_at))], token=f"test-{offset}")


def make_envelope(project: str, spans: Iterable[ResourceSpans], received_at: datetime | None = None) -> Envelope:
    """What the receiver makes of a request."""
    request = ExportTraceServiceRequest(resource_spans=spans)
    received = received_at or datetime.now(UTC)
    received_ns = round(received.timestamp() * 1e6) * 1000
    count = validate(request, received_ns).accepted
    return Envelope(project, received_ns, count, request.SerializeToString())
