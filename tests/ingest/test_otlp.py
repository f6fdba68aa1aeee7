"""Decoding, validation and splitting as pure functions."""

from __future__ import annotations

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

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
    validation = validate(request, time.time_ns())
    parts = list(split(validation, max_bytes))
    again = list(split(validation, max_bytes))
    whole = [ExportTraceServiceRequest.FromString(body) for _, body in parts]
    assert parts == again
    assert [name for part in whole for name in names(part)] == names(request)
    assert [count for count, _ in parts] == [len(names(part)) for part in whole]
    assert all(len(body) <= max(max_bytes, text_bytes + 300) for _, body in parts)


def test_one_large_span_makes_a_record_of_its_own() -> None:
    request = request_of(1, 50_000)
    request.resource_spans.extend(request_of(2, 10).resource_spans)
    assert [count for count, _ in split(validate(request, time.time_ns()), 10_000)] == [1, 2]


def test_a_request_in_one_record_is_its_own_serialisation() -> None:
    request = ExportTraceServiceRequest(resource_spans=[make_span(span_id=bytes([i]) * 8) for i in range(1, 4)])
    request.resource_spans[0].schema_url = "https://opentelemetry.io/schemas/1.37.0"
    request.resource_spans[1].ClearField("resource")
    request.resource_spans[1].scope_spans[0].schema_url = "https://opentelemetry.io/schemas/1.36.0"
    request.resource_spans[1].scope_spans.add(scope={"name": "two"}, spans=request.resource_spans[0].scope_spans[0].spans)
    assert list(split(validate(request, time.time_ns()))) == [(4, request.SerializeToString(deterministic=True))]


_COMPOSITES = st.sampled_from(
    [
        AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a")])),
        AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a" * 20_000)])),
        AnyValue(array_value=ArrayValue()),
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(int_value=1))])),
        AnyValue(kvlist_value=KeyValueList()),
        AnyValue(bytes_value=b"ab"),
        AnyValue(bytes_value=b""),
    ]
)
_SCALARS = st.sampled_from([AnyValue(), AnyValue(string_value="x" * 300), AnyValue(int_value=-1), AnyValue(double_value=0.5)])


@given(st.lists(st.tuples(st.lists(_SCALARS | _COMPOSITES, max_size=4), st.booleans()), min_size=1, max_size=5))
def test_no_composite_value_reaches_the_store(spans: list[tuple[list[AnyValue], bool]]) -> None:
    request = ExportTraceServiceRequest()
    for values, on_event in spans:
        one = make_span()
        span = one.scope_spans[0].spans[0]
        attributes = [KeyValue(key=f"key-{index}", value=value) for index, value in enumerate(values)]
        place = span.events.add().attributes if on_event else span.attributes
        place.extend(attributes)
        request.resource_spans.append(one)
    [(count, record)] = split(validate(request, time.time_ns()))
    stored = ExportTraceServiceRequest.FromString(record)
    assert count == len(spans)
    assert stored == request
    for resource in stored.resource_spans:
        span = resource.scope_spans[0].spans[0]
        attributes = [*span.attributes, *(one for event in span.events for one in event.attributes)]
        kinds = [one.value.WhichOneof("value") for one in attributes]
        assert not {"array_value", "kvlist_value", "bytes_value"}.intersection(kinds)


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


@pytest.mark.parametrize("value", [7, "text", {"traceId": "x" * 10_000}])
def test_a_refusal_names_the_field_and_is_short(value: object) -> None:
    with pytest.raises(MalformedRequestError, match="scopeSpans field: repeated field scopeSpans must be in") as refusal:
        decode_json(orjson.dumps({"resourceSpans": [{"scopeSpans": value}]}))
    assert len(str(refusal.value)) < 600
