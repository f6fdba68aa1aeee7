"""Traces as trees, and single spans."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from api.services import Services
from api.tree import CYCLE, MAX_DEPTH, MISSING_PARENT, TOO_DEEP, Node, roots_of
from tests.api.read_fixtures import NOW, Front, client_of, narrowed, new_key
from tests.ingest.spans import ingest_spans, key_values, make_span

TRACE = b"\x01" * 16
HEX = TRACE.hex()
USAGE = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}


def span(number: int, parent: int = 0, **more: Any) -> ResourceSpans:
    """A span of the trace, a second after its predecessor."""
    return make_span(
        trace_id=TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=f"span {number}",
        start=NOW - timedelta(hours=1) + timedelta(seconds=number),
        **more,
    )


async def stored(front: Front, *spans: ResourceSpans) -> Any:
    """The trace, once its spans are stored."""
    await ingest_spans(front.services.store, "ours", spans, received_at=NOW)
    return await front.get(f"/v1/traces/{HEX}")


def shape(span: Any) -> Any:
    """The names of a tree."""
    return {span["name"]: [shape(child) for child in span["children"]]} if span["children"] else span["name"]


async def test_children_are_nested_in_the_order_of_their_start(front: Front) -> None:
    trace = await stored(front, span(4, 2), span(1, duration_s=8), span(3, 1), span(2, 1), span(5, 1))
    assert [shape(root) for root in trace["spans"]] == [{"span 1": [{"span 2": ["span 4"]}, "span 3", "span 5"]}]
    assert (trace["trace_id"], trace["duration_ms"], trace["status"]) == (HEX, 8000, "ok")
    assert trace["complete"]
    assert trace["detail"]


async def test_orphans_and_circles_are_shown_with_a_note(front: Front) -> None:
    trace = await stored(front, span(1), span(2, 9), span(3, 2), span(4, 5), span(5, 4), span(6, 6))
    assert [(shape(root), root["note"]) for root in trace["spans"]] == [
        ("span 1", None),
        ({"span 2": ["span 3"]}, MISSING_PARENT),
        ({"span 4": ["span 5"]}, CYCLE),
        ("span 6", CYCLE),
    ]


async def test_totals_count_each_response_once(front: Front) -> None:
    once = {**USAGE, "gen_ai.response.id": "r1"}
    trace = await stored(
        front,
        span(1, attributes={**once, "gen_ai.operation.name": "invoke_agent"}),
        span(2, 1, attributes=once),
        span(3, 2, attributes=once, status=2),
        span(3, 2, attributes=once, status=2),
        span(4, 1, attributes={**USAGE, "gen_ai.response.id": "r2"}),
    )
    totals = trace["totals"]
    assert (totals["spans"], totals["errors"], totals["responses"], totals["unpriced"]) == (4, 1, 2, 2)
    assert (totals["input_tokens"], totals["output_tokens"]) == (200, 40)
    assert totals["cost_usd"] is None
    assert totals["reasoning_tokens"] is None
    assert trace["status"] == "error"


async def test_a_deep_trace_is_cut_flat_and_loses_nothing(front: Front) -> None:
    trace = await stored(front, *(span(number, number - 1) for number in range(1, 301)))
    depth, count, [node] = 1, 1, trace["spans"]
    while node["children"]:
        depth, count = depth + 1, count + len(node["children"])
        node = node["children"][0]
    assert depth == MAX_DEPTH + 1
    assert count == 300
    assert trace["totals"]["spans"] == 300


async def test_a_span_comes_back_as_it_was_sent(front: Front) -> None:
    event = Span.Event(time_unix_nano=1_700_000_000_123_456_789, name="cache.miss", attributes=key_values({"key": "k"}))
    sent = span(
        7,
        kind=2,
        status=2,
        status_message="it broke",
        events=[event],
        attributes={
            **USAGE,
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.provider.name": "openai",
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Where is my parcel?"}]}]',
            "user.id": "ann",
            "error.type": "timeout",
            "app.tier": "gold",
        },
        resource={"service.name": "assistant", "service.version": "1.4", "cloud.region": "eu"},
    )
    await stored(front, sent)
    found = await front.get(f"/v1/spans/{HEX.upper()}/{7:016x}")
    assert found["attributes"]["app.tier"] == "gold"
    assert found["resource_attributes"]["cloud.region"] == "eu"
    assert found["events"] == [{"time": "2023-11-14T22:13:20.123456789Z", "name": "cache.miss", "attributes": {"key": "k"}}]
    assert found["input_messages"] == [{"role": "user", "text": "Where is my parcel?"}]
    expected = {
        "trace_id": HEX,
        "span_id": f"{7:016x}",
        "parent_span_id": None,
        "kind": "server",
        "status": "error",
        "status_message": "it broke",
        "error_type": "timeout",
        "service": "assistant",
        "service_version": "1.4",
        "model": "gpt-4o",
        "user": "ann",
        "conversation": None,
        "input_tokens": 100,
        "output_tokens": 20,
        "reasoning_tokens": None,
        "duration_ms": 1000,
        "start": f"{NOW - timedelta(hours=1) + timedelta(seconds=7):%Y-%m-%dT%H:%M:%S}.000000000Z",
    }
    assert {name: found[name] for name in expected} == expected


async def test_a_large_trace_leaves_out_bodies_and_says_so(services: Services) -> None:
    narrow = narrowed(services, max_rows=600)
    async with client_of(narrow, await new_key(narrow, "ours")) as client:
        front = Front(narrow, client)
        trace = await stored(front, *(span(number, attributes={"a": 1}) for number in range(1, 551)))
        assert (trace["detail"], trace["complete"], trace["totals"]["spans"]) == (False, True, 550)
        assert trace["spans"][0]["attributes"] is None
        await ingest_spans(narrow.store, "ours", [span(number) for number in range(551, 651)], received_at=NOW)
        trace = await front.get(f"/v1/traces/{HEX}")
        assert (trace["complete"], len(trace["spans"])) == (False, 600)


async def test_unknown_and_malformed_ids(front: Front) -> None:
    assert (await front.refused(404, f"/v1/traces/{'ab' * 16}"))["type"] == "urn:tracewarden:unknown-trace"
    assert (await front.refused(404, f"/v1/spans/{'ab' * 16}/{'cd' * 8}"))["type"] == "urn:tracewarden:unknown-span"
    for bad in ("xyz", "ab" * 15, "ab" * 17, "g" * 32, "%00" * 32):
        problem = await front.refused(422, f"/v1/traces/{bad}")
        assert problem["errors"][0]["parameter"] == "trace_id"


@pytest.mark.parametrize("count", [1, 30])
def test_deep_nodes_say_whose_children_they_are(count: int) -> None:
    rows = [_row(number, number - 1) for number in range(1, MAX_DEPTH + count + 2)]
    [node] = roots_of(rows)
    while node.children:
        last, node = node, node.children[0]
    assert [child.note for child in last.children] == [None] + [TOO_DEEP] * count


@given(st.lists(st.integers(0, 12), max_size=12))
def test_every_span_appears_exactly_once_whatever_the_parents(parents: list[int]) -> None:
    rows = [_row(number, parent) for number, parent in enumerate(parents, 1)]
    waiting, seen = list(roots_of(rows)), []
    while waiting:
        node: Node = waiting.pop()
        seen.append(node.row["span_id"])
        waiting += node.children
    assert sorted(seen) == sorted(row["span_id"] for row in rows)


def _row(number: int, parent: int) -> dict[str, Any]:
    return {"span_id": number.to_bytes(8, "big"), "parent_span_id": parent.to_bytes(8, "big"), "span_key": number}
