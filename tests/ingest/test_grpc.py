"""The OTLP/gRPC receiver: the same path into the log, with gRPC's status codes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from ingest.grpc import OtlpGrpcReceiver
from storage.keys import create_key
from tests.ingest.fixtures import PEPPER, Ingest
from tests.ingest.spans import make_span

Stub = TraceServiceStub

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
async def stub(ingest: Ingest) -> AsyncIterator[Stub]:
    """A client of a started receiver."""
    receiver = OtlpGrpcReceiver(
        ingest.receiver, ingest.authenticator, ingest.admission, ingest.settings, ingest.instruments, "127.0.0.1:0"
    )
    await receiver.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
        yield TraceServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    await receiver.stop()
    await receiver.stop()


async def export(stub: Stub, *metadata: tuple[str, str], spans: int = 2) -> ExportTraceServiceResponse:
    request = ExportTraceServiceRequest(resource_spans=[make_span() for _ in range(spans)])
    answer: ExportTraceServiceResponse = await stub.Export(request, metadata=metadata)
    return answer


def retry_delay_s(error: grpc.aio.AioRpcError) -> int:
    """When the server asks to be tried again; without it OTLP's clients drop what is refused for lack of resources."""
    info = RetryInfo()
    trailing = dict(cast("Iterable[tuple[str, bytes]]", error.trailing_metadata()))
    assert Status.FromString(trailing["grpc-status-details-bin"]).details[0].Unpack(info)
    return int(info.retry_delay.seconds)


async def test_an_acknowledged_span_is_stored(stub: Stub, ingest: Ingest) -> None:
    assert not (await export(stub)).HasField("partial_success")
    assert await ingest.store.query("SELECT count() AS n FROM spans") == [{"n": 2}]


async def test_what_does_not_parse_is_refused_with_the_fix_after_the_sender_is_known(ingest: Ingest) -> None:
    receiver = OtlpGrpcReceiver(
        ingest.receiver, ingest.authenticator, ingest.admission, ingest.settings, ingest.instruments, "127.0.0.1:0"
    )
    await receiver.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
        send = channel.unary_unary(EXPORT, request_serializer=bytes, response_deserializer=bytes)
        for required, code, words in (
            (False, grpc.StatusCode.INVALID_ARGUMENT, "check the exporter's protocol"),
            (True, grpc.StatusCode.UNAUTHENTICATED, "send an API key"),
        ):
            ingest.keys_required = required
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await send(b"\xff\xff\xff")
            assert refused.value.code() == code
            assert words in (refused.value.details() or "")
    await receiver.stop()


async def test_rejected_spans_are_a_partial_success(stub: Stub) -> None:
    request = ExportTraceServiceRequest(resource_spans=[make_span(trace_id=bytes(16)), make_span()])
    answer = await stub.Export(request)
    assert answer.partial_success.rejected_spans == 1
    assert "trace_id must be 16 bytes" in answer.partial_success.error_message


async def test_the_key_is_in_the_metadata(stub: Stub, ingest: Ingest) -> None:
    ingest.keys_required = True
    now = datetime.now(UTC)
    key = await ingest.control.write(lambda c: create_key(c, "shop", ["ingest"], "gateway", PEPPER, now))
    reader = await ingest.control.write(lambda c: create_key(c, "shop", ["read"], "dashboard", PEPPER, now))
    await export(stub, ("authorization", f"Bearer {key.key}"))
    assert await ingest.store.query("SELECT DISTINCT project FROM spans") == [{"project": "shop"}]
    for metadata, code in (
        ((), grpc.StatusCode.UNAUTHENTICATED),
        ((("x-api-key", "tw_unknown"),), grpc.StatusCode.UNAUTHENTICATED),
        ((("x-api-key", reader.key),), grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await export(stub, *metadata)
        assert refused.value.code() == code


async def test_too_much_in_flight_is_resource_exhausted(stub: Stub, ingest: Ingest) -> None:
    with ingest.admission.request() as held:
        held.grow(3_000_000 - 10)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await export(stub)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "ingest.max_in_flight_bytes" in (refused.value.details() or "")
    assert retry_delay_s(refused.value) == 2


async def test_a_stopping_server_is_unavailable(stub: Stub, ingest: Ingest) -> None:
    await ingest.log.stop()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await export(stub)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert retry_delay_s(refused.value) == 5


async def test_a_port_in_use_names_the_flag(ingest: Ingest) -> None:
    def receiver(port: int) -> OtlpGrpcReceiver:
        return OtlpGrpcReceiver(
            ingest.receiver, ingest.authenticator, ingest.admission, ingest.settings, ingest.instruments, f"127.0.0.1:{port}"
        )

    first = receiver(0)
    await first.start()
    second = receiver(first.port)
    with pytest.raises(OSError, match="--otlp-grpc-port"):
        await second.start()
    await second.stop()
    await first.stop()
