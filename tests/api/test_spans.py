"""Span search: filters, text, pages."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from api.cursor import decode, encode
from api.problem import Problem
from storage.spans import Position
from tests.api.read_fixtures import NOW, Front
from tests.ingest.spans import ingest_spans, make_span

MESSAGES = '[{"role":"user","parts":[{"type":"text","content":"%s"}]}]'


def span(second: float, name: str = "", **more: Any) -> ResourceSpans:
    """A span that started some seconds before the tests' now."""
    return make_span(name=name or f"at {second}", start=NOW - timedelta(seconds=second), **more)


async def store_spans(front: Front, *spans: ResourceSpans) -> None:
    await ingest_spans(front.services.store, "ours", spans, received_at=NOW)


async def names(front: Front, **parameters: Any) -> list[str]:
    """The names of the spans of all pages."""
    found: list[str] = []
    while True:
        page = await front.get("/v1/spans", **parameters)
        found += [one["name"] for one in page["spans"]]
        if page["next_cursor"] is None:
            return found
        parameters["cursor"] = page["next_cursor"]


async def test_newest_first_within_the_range(front: Front) -> None:
    await store_spans(front, span(3), span(1), span(2), span(90_000))
    assert await names(front) == ["at 1", "at 2", "at 3"]
    start, end = NOW - timedelta(seconds=3), NOW - timedelta(seconds=1)
    assert await names(front, from_=start.isoformat(), to=int(end.timestamp() * 1000)) == ["at 2", "at 3"]
    assert await names(front, from_=(NOW - timedelta(days=2)).isoformat()) == ["at 1", "at 2", "at 3", "at 90000"]


async def test_a_clock_ahead_of_ours_hides_nothing(front: Front) -> None:
    await store_spans(front, span(-30, "ahead"))
    assert await names(front) == ["ahead"]


async def test_filters(front: Front) -> None:
    trace = b"t" * 16
    await store_spans(
        front,
        span(1, "root", trace_id=trace, attributes={"tracewarden.target": "bot", "tracewarden.release": "v2"}),
        span(2, "child", trace_id=trace, attributes={"gen_ai.request.model": "gpt-4o", "user.id": "ann"}),
        span(3, "broken", status=2, resource={"service.name": "billing"}),
        span(4, "typed", attributes={"error.type": "timeout"}),
    )
    assert await names(front, service="billing") == ["broken"]
    assert await names(front, model="gpt-4o") == ["child"]
    assert await names(front, target="bot", release="v2") == ["root", "child"]
    assert await names(front, target="bot", release="v1") == []
    assert await names(front, user="ann", status="unset") == ["root", "child"]
    assert await names(front, status="error") == ["broken", "typed"]
    assert await names(front, release="") == ["broken", "typed"]


async def test_text_is_found_in_messages_in_any_case(front: Front) -> None:
    long = "x" * 3000
    await store_spans(
        front,
        span(1, "in", attributes={"gen_ai.input.messages": MESSAGES % f"{long} Where is my REFUND 100%?"}),
        span(2, "out", attributes={"gen_ai.output.messages": MESSAGES % "Ihre Rückerstattung, refund_1"}),
        span(3, "none", attributes={"gen_ai.input.messages": MESSAGES % "hello"}),
    )
    assert await names(front, text="refund") == ["in", "out"]
    assert await names(front, text="RÜCKERSTATTUNG") == ["out"]
    assert await names(front, text="100%?") == ["in"]
    assert await names(front, text="d_1") == ["out"]
    assert await names(front, text="refund", limit=1) == ["in", "out"]
    assert await names(front, text="') OR 1=1 --") == []


async def test_a_list_shows_previews_and_no_texts(front: Front) -> None:
    await store_spans(front, span(1, attributes={"gen_ai.input.messages": MESSAGES % ("long " * 100)}))
    [found] = (await front.get("/v1/spans"))["spans"]
    assert 150 <= len(found["input_preview"]) <= 200
    assert "attributes" not in found
    assert "input_messages" not in found


async def test_pages_hold_each_span_once_while_spans_arrive(front: Front) -> None:
    await store_spans(front, *(span(second // 2, f"s{second}") for second in range(20)))
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    for page_number in range(20):
        page = await front.get("/v1/spans", limit=3, from_=(NOW - timedelta(hours=1)).isoformat(), **cursor)
        seen += [one["name"] for one in page["spans"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        await store_spans(front, span(0.01 * page_number, f"new {page_number}"))
    assert len(seen) == len(set(seen)) == 20


async def test_spans_that_arrive_twice_are_listed_once(front: Front) -> None:
    spans = [span(second, trace_id=b"t" * 16, span_id=bytes([second] * 8)) for second in range(1, 8)]
    for _ in range(5):
        await store_spans(front, *spans)
    for limit in (1, 2, 3, 50):
        assert await names(front, limit=limit) == [f"at {second}" for second in range(1, 8)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 9), copies=st.integers(1, 3))
async def test_pages_of_any_size_are_the_whole_list(front: Front, limit: int, copies: int) -> None:
    if not (await front.get("/v1/spans"))["spans"]:
        ids = {number: number.to_bytes(8, "big") for number in range(1, 20)}
        spans = [span(number // 4, f"s{number}", span_id=ids[number], trace_id=b"t" * 16) for number in ids]
        for _ in range(copies):
            await store_spans(front, *spans)
    whole = await names(front, limit=500)
    assert sorted(whole) == sorted(f"s{number}" for number in range(1, 20))
    assert await names(front, limit=limit) == whole


@given(st.integers(0, (1 << 43) - 1), st.integers(0, (1 << 64) - 1), st.dictionaries(st.text(), st.text()))
def test_a_cursor_is_read_back_with_the_same_filters(time_ms: int, span_key: int, filters: dict[str, str]) -> None:
    position = Position(time_ms, span_key)
    assert decode(encode(position, filters), filters) == position
    with pytest.raises(Problem, match="other filters"):
        decode(encode(position, filters), {**filters, "more": "x"})


@pytest.mark.parametrize("cursor", ["", "x", "....", "é" * 8, base64.urlsafe_b64encode(bytes(24)).decode(), "A" * 1000])
async def test_bad_cursors_are_refused(front: Front, cursor: str) -> None:
    problem = await front.refused(400, "/v1/spans", cursor=cursor)
    assert problem["type"] == "urn:tracewarden:bad-cursor"


async def test_a_cursor_of_other_filters_is_refused(front: Front) -> None:
    await store_spans(front, span(1), span(2))
    page = await front.get("/v1/spans", limit=1)
    problem = await front.refused(400, "/v1/spans", cursor=page["next_cursor"], service="assistant")
    assert "same" in problem["detail"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": "many"},
        {"status": "bad"},
        {"text": "x" * 1001},
        {"project": "theirs"},
        {"q": "x"},
    ],
)
async def test_bad_parameters_are_refused(front: Front, parameters: dict[str, Any]) -> None:
    problem = await front.refused(422, "/v1/spans", **parameters)
    assert problem["errors"]
