"""Decoding, validation and splitting as pure functions."""

from __future__ import annotations

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.envelope import Envelope, MalformedEnvelopeError, frame_records
from ingest.otlp import MAX_SPAN_BYTES, MalformedRequestError, Reason, decode_json, split, validate
from tests.ingest.spans import make_span


def request_of(spans: int, text_bytes: int = 200) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for index in range(spans):
        attributes = {"text": "x" * text_bytes, "n": index}
        one = make_span(attributes=attributes, resource={"service.name": f"service-{index % 3}"})
        request.resource_spans.append(one)
    return request


def names(request: ExportTraceServiceRequest) -> list[tuple[str, bytes, int]]:
    return [
        (resource.resource.attributes[0].value.string_value, span.span_id, span.attributes[1].value.int_value)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@given(st.integers(1, 60), st.integers(0, 3_000), st.integers(2_000, 20_000))
def test_a_split_keeps_every_span_once_in_order_and_under_the_bound(spans: int, text_bytes: int, max_bytes: int) -> None:
    request = request_of(spans, text_bytes)
    parts = list(split(request, max_bytes))
    again = list(split(request, max_bytes))
    whole = [ExportTraceServiceRequest.FromString(body) for _, body in parts]
    assert parts == again
    assert [name for part in whole for name in names(part)] == names(request)
    assert [count for count, _ in parts] == [len(names(part)) for part in whole]
    assert all(len(body) <= max(max_bytes, text_bytes + 300) for _, body in parts)


def test_one_large_span_makes_a_record_of_its_own() -> None:
    request = request_of(1, 50_000)
    request.resource_spans.extend(request_of(2, 10).resource_spans)
    assert [count for count, _ in split(request, 10_000)] == [1, 2]


def test_a_span_over_the_cap_is_rejected_alone() -> None:
    request = request_of(1, MAX_SPAN_BYTES)
    request.resource_spans.extend(request_of(1, 10).resource_spans)
    validation = validate(request, time.time_ns())
    assert (validation.accepted, dict(validation.rejected)) == (1, {Reason.TOO_LARGE: 1})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_is_a_request_or_a_clear_refusal(document: object) -> None:
    try:
        decode_json(orjson.dumps({"resourceSpans": document}, option=orjson.OPT_NON_STR_KEYS))
    except MalformedRequestError as error:
        assert "OTLP/JSON" in str(error) or "resourceSpans" in str(error)  # noqa: PT017 - either way is an answer


@given(st.text(max_size=50), st.integers(1, 2**62 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_an_envelope_survives_the_log(project: str, received_at_ns: int, spans: int, request: bytes) -> None:
    envelope = Envelope(project, received_at_ns, spans, request)
    assert Envelope.decode(envelope.encode()) == envelope


@given(st.binary(max_size=200))
def test_what_is_no_envelope_is_said_to_be_none(data: bytes) -> None:
    try:
        Envelope.decode(data)
    except (MalformedEnvelopeError, UnicodeDecodeError):
        return
    assert data


@pytest.mark.parametrize(("received_at_ns", "spans"), [(0, 1), (2**63, 1), (1, 2**32)])
def test_an_envelope_with_absurd_numbers_is_none(received_at_ns: int, spans: int) -> None:
    with pytest.raises(MalformedEnvelopeError, match="out of range"):
        Envelope.decode(Envelope("p", received_at_ns, spans, b"").encode())


def test_frames_are_length_delimited() -> None:
    envelope = Envelope("p", 1, 1, b"abc")
    one = frame_records([(1, 2, envelope)])
    assert one[0] == len(one) - 1
    assert frame_records([(1, 2, envelope), (1, 2, envelope)]) == one * 2
