"""The trimmed envelope.proto: OpenTelemetry's field numbers and types, and the bytes that `Envelope.encode` writes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import cramjam
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from grpc_tools import protoc  # type: ignore[import-untyped]  # ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from ingest.envelope import Envelope, frame_records
from tests.ingest.spans import make_span

PACKAGE = "tracewarden.v1"
ORIGINALS: dict[str, Descriptor] = {
    "AnyValue": AnyValue.DESCRIPTOR,
    "KeyValue": KeyValue.DESCRIPTOR,
    "Resource": Resource.DESCRIPTOR,
    "InstrumentationScope": InstrumentationScope.DESCRIPTOR,
    "Status": Status.DESCRIPTOR,
    "Event": Span.Event.DESCRIPTOR,
    "Link": Span.Link.DESCRIPTOR,
    "Span": Span.DESCRIPTOR,
    "ScopeSpans": ScopeSpans.DESCRIPTOR,
    "ResourceSpans": ResourceSpans.DESCRIPTOR,
    "ExportTraceServiceRequest": ExportTraceServiceRequest.DESCRIPTOR,
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> descriptor_pool.DescriptorPool:
    """envelope.proto as protoc understands it."""
    out = tmp_path_factory.mktemp("proto") / "envelope.bin"
    folder = Path(str(files("schemas")))
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={out}", "envelope.proto"]) == 0
    found = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        found.Add(file)
    return found


def _message(pool: descriptor_pool.DescriptorPool, name: str) -> Any:
    """The class; its fields are known at run time only."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _wire_type(field: FieldDescriptor) -> tuple[int, bool]:
    """The type on the wire; an enum is a 32-bit integer there."""
    enum, integer = FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_INT32
    return (integer if field.type == enum else field.type, bool(field.is_repeated))


@pytest.mark.parametrize("name", ORIGINALS)
def test_fields_agree_with_opentelemetry(pool: descriptor_pool.DescriptorPool, name: str) -> None:
    original = ORIGINALS[name].fields_by_name
    for field in pool.FindMessageTypeByName(f"{PACKAGE}.{name}").fields:
        assert field.number == original[field.name].number, field.name
        assert _wire_type(field) == _wire_type(original[field.name]), field.name
        assert bool(field.containing_oneof) == bool(original[field.name].containing_oneof), field.name


def test_every_other_message_is_ours(pool: descriptor_pool.DescriptorPool) -> None:
    names = set(pool.FindFileByName("envelope.proto").message_types_by_name)
    assert names == {*ORIGINALS, "Envelope", "Record", "Batch"}


def _request() -> ExportTraceServiceRequest:
    spans = [make_span(attributes={"a": "x", "b": 1, "c": 1.5, "d": True}), make_span(name="second")]
    return ExportTraceServiceRequest(resource_spans=spans)


def test_an_encoded_envelope_is_a_message_of_the_schema(pool: descriptor_pool.DescriptorPool) -> None:
    request = _request()
    envelope = Envelope("p\u00e9", 1_700_000_000_123_456_789, 2, request.SerializeToString())
    found = _message(pool, "Envelope").FromString(envelope.encode())
    assert found.project == "p\u00e9"
    assert found.received_at_unix_nano == 1_700_000_000_123_456_789
    assert found.span_count == 2
    assert found.body_hash == envelope.body_hash
    decoded = ExportTraceServiceRequest.FromString(found.request.SerializeToString())
    assert decoded == request
    assert Envelope.decode(found.SerializeToString()) == envelope


def test_a_packed_envelope_is_a_message_of_the_schema(pool: descriptor_pool.DescriptorPool) -> None:
    packed = Envelope("p", 1, 2, bytes(100_000)).packed()
    found = _message(pool, "Envelope").FromString(packed.encode())
    assert bytes(cramjam.zstd.decompress(found.request_zstd)) == bytes(100_000)
    assert found.request_bytes == 100_000
    assert not found.HasField("request")
    assert Envelope.decode(found.SerializeToString()) == packed


def test_frames_are_records_of_the_schema(pool: descriptor_pool.DescriptorPool) -> None:
    envelopes = [Envelope("p", number, 2, _request().SerializeToString()) for number in (1, 2**63)]
    data = frame_records([(3, 2**40 + index, envelope) for index, envelope in enumerate(envelopes)])
    records = [_message(pool, "Record").FromString(frame) for frame in _frames(data)]
    assert [record.log_partition for record in records] == [3, 3]
    assert [record.log_offset for record in records] == [2**40, 2**40 + 1]
    assert [record.envelope.received_at_unix_nano for record in records] == [1, 2**63]


def _frames(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        length = shift = 0
        while True:
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield data[position : position + length]
        position += length
