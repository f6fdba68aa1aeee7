"""Whatever a client sends is stored: every cast of the view is total, and every span is one row."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from schemas.attributes import CONVERSATIONS, EVENT_TEXT_KEYS, MESSAGE_EVENTS, RESOURCE_COLUMNS, SPAN_COLUMNS
from storage.clickhouse import ClickHouseStore
from tests.ingest.spans import any_value, ingest_spans, key_values, make_span

KNOWN_KEYS = sorted(
    {key for column in (*SPAN_COLUMNS, *RESOURCE_COLUMNS) for key in column.keys}
    | {key for side in CONVERSATIONS for key in side.keys}
    | {
        f"{prefix}.{rest}"
        for side in CONVERSATIONS
        for prefix in side.numbered
        for rest in (
            "0.message.role",
            "0.message.content",
            "7.message.contents.1.message_content.text",
            "0.message.tool_calls.99999999999999999999.tool_call.function.name",
            "0.role",
            "999999.content",
            "99999999999999999999.content",
            "-1.content",
            "0",
            "",
        )
    }
)
JSON_KEYS = st.sampled_from(
    [
        "role",
        "content",
        "parts",
        "type",
        "text",
        "messages",
        "choices",
        "message",
        "tool_calls",
        "function",
        "name",
        "arguments",
    ]
) | st.sampled_from(["system", "prompt", "output", "finish_reason", "input", "args", "toolName", "additional_kwargs", "\u00e9"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "text", "[{", '"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_KEYS, inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(width=64)
    | TEXTS
    | st.binary(max_size=8)
    | JSON.map(json.dumps)
    | JSON.map(lambda value: json.dumps(value)[:-1])
    | st.sampled_from(["1e309", "-0", "0x10", "1_000", "nan", "18446744073709551616", "[", "{", '"', "\\", "\x00"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
)
ATTRIBUTES = st.lists(st.tuples(st.sampled_from(KNOWN_KEYS) | TEXTS, VALUES), max_size=12)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([*MESSAGE_EVENTS, "exception", "gen_ai.evaluation.result", ""]) | TEXTS,
        st.lists(
            st.tuples(st.sampled_from([*EVENT_TEXT_KEYS, "tool_calls", "exception.type", *KNOWN_KEYS]), VALUES), max_size=4
        ),
        st.integers(0, 2**64 - 1),
    ),
    max_size=3,
)
NANOSECONDS = st.integers(0, 2**64 - 1)


def _pairs(pairs: list[tuple[str, Any]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in pairs]


@st.composite
def spans(draw: st.DrawFn) -> ResourceSpans:
    """A span that a client could send, sane or not; duplicates of keys included."""
    found = make_span(name=draw(TEXTS), kind=draw(st.integers(0, 5)), status=draw(st.integers(0, 2)), resource={})
    found.resource.attributes.extend(_pairs(draw(ATTRIBUTES)))
    span = found.scope_spans[0].spans[0]
    span.attributes.extend(_pairs(draw(ATTRIBUTES)))
    span.start_time_unix_nano, span.end_time_unix_nano = draw(NANOSECONDS), draw(NANOSECONDS)
    for name, attributes, at in draw(EVENTS):
        span.events.append(Span.Event(name=name, attributes=_pairs(attributes), time_unix_nano=at))
    span.links.add(trace_id=draw(st.binary(max_size=20)), span_id=draw(st.binary(max_size=20)))
    return found


_projects = itertools.count()
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture, HealthCheck.large_base_example)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(batch=st.lists(spans(), min_size=1, max_size=8))
async def test_anything_is_stored_as_one_row_a_span(store: ClickHouseStore, batch: list[ResourceSpans]) -> None:
    project = f"fuzz{next(_projects)}"
    await ingest_spans(store, project, batch)
    rows = await _rows(store, "SELECT hex(span_id) AS id FROM spans WHERE project = {project:String}", project)
    sent = [resource.scope_spans[0].spans[0].span_id.hex().upper() for resource in batch]
    assert sorted(row["id"] for row in rows) == sorted(sent)


UNKNOWN = st.dictionaries(TEXTS.filter(lambda key: key not in KNOWN_KEYS), TEXTS | st.integers(-(2**63), 2**63 - 1), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(attributes=st.lists(UNKNOWN, min_size=1, max_size=8))
async def test_unknown_attributes_come_back(store: ClickHouseStore, attributes: list[dict[str, str | int]]) -> None:
    project = f"round{next(_projects)}"
    sent = [make_span(span_id=number.to_bytes(8, "big"), attributes=given) for number, given in enumerate(attributes, 1)]
    await ingest_spans(store, project, sent)
    rows = await _rows(store, "SELECT attributes FROM spans WHERE project = {project:String} ORDER BY span_id", project)
    assert [row["attributes"] for row in rows] == [{key: str(value) for key, value in given.items()} for given in attributes]


async def _rows(store: ClickHouseStore, sql: str, project: str) -> list[dict[str, Any]]:
    return await store.query(sql, {"project": project})


async def _stored(store: ClickHouseStore, span: ResourceSpans, received_at: datetime | None = None) -> dict[str, Any]:
    await ingest_spans(store, "p", [span], received_at=received_at)
    (row,) = await store.query("SELECT * FROM spans")
    return row


async def test_a_text_of_a_megabyte_is_kept_whole_and_once(store: ClickHouseStore) -> None:
    text = "\u00e9\U0001f600" * 200_000
    given = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    row = await _stored(store, make_span(attributes={"gen_ai.input.messages": given, "output.value": text}))
    assert row["input_messages"] == [{"role": "user", "text": text}]
    assert row["output_messages"] == [{"role": "assistant", "text": text}]
    assert row["attributes"] == {}
    assert row["input_preview"] == text[:200]


async def test_thousands_of_messages_keep_their_order(store: ClickHouseStore) -> None:
    """In time that grows with the text, not with its square: these would take minutes."""
    count = 3_000
    texts = [f"{number} " + "x" * 1_000 for number in range(count)]
    numbered: dict[str, Any] = {}
    for number in reversed(range(count)):
        numbered[f"llm.input_messages.{number}.message.content"] = texts[number]
        numbered[f"llm.input_messages.{number}.message.role"] = "user" if number % 2 else "assistant"
    given = json.dumps([{"role": "tool", "content": text} for text in texts])
    row = await _stored(store, make_span(attributes=numbered | {"gen_ai.output.messages": given}))
    roles = ["user" if number % 2 else "assistant" for number in range(count)]
    assert [(m["role"], m["text"]) for m in row["input_messages"]] == list(zip(roles, texts, strict=True))
    assert [(m["role"], m["text"]) for m in row["output_messages"]] == [("tool", text) for text in texts]
    assert row["attributes"] == {}


async def test_of_a_duplicate_key_a_value_that_is_not_empty_counts(store: ClickHouseStore) -> None:
    span = make_span(attributes={"gen_ai.provider.name": ""})
    span.scope_spans[0].spans[0].attributes.extend(key_values({"gen_ai.provider.name": "openai"}))
    span.scope_spans[0].spans[0].attributes.extend(key_values({"x": "1"}) * 2)
    row = await _stored(store, span)
    assert row["provider"] == "openai"
    assert row["attributes"]["x"] == "1"


RECEIVED = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=123_000) - timedelta(days=1)
"""Recent, since old rows do not outlive the retention."""


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        (RECEIVED - timedelta(minutes=1), RECEIVED - timedelta(minutes=1)),
        (RECEIVED + timedelta(minutes=59), RECEIVED + timedelta(minutes=59)),
        (RECEIVED - timedelta(days=399), RECEIVED - timedelta(days=399)),
        (RECEIVED + timedelta(hours=2), RECEIVED),
        (RECEIVED - timedelta(days=401), RECEIVED),
        (datetime(1970, 1, 1, tzinfo=UTC), RECEIVED),
    ],
)
async def test_an_absurd_start_is_shown_at_arrival(store: ClickHouseStore, start: datetime, shown: datetime) -> None:
    row = await _stored(store, make_span(start=start, duration_s=1.5), RECEIVED)
    assert row["time"] == shown
    assert row["received_at"] == RECEIVED
    assert row["duration_ms"] == (None if start.year == 1970 else 1500.0)


async def test_the_end_of_time_is_no_end_of_the_insert(store: ClickHouseStore) -> None:
    span = make_span(events=[Span.Event(name="e", time_unix_nano=2**64 - 1)])
    span.scope_spans[0].spans[0].start_time_unix_nano = 2**64 - 1
    span.scope_spans[0].spans[0].end_time_unix_nano = 5
    row = await _stored(store, span, RECEIVED)
    assert row["time"] == RECEIVED
    assert row["duration_ms"] is None
    assert row["started_at"].year == 2262


async def test_a_span_of_another_day_joins_the_partition_of_its_arrival(store: ClickHouseStore) -> None:
    await ingest_spans(store, "p", [make_span(start=RECEIVED - timedelta(days=3))], received_at=RECEIVED)
    (row,) = await store.query("SELECT DISTINCT _partition_id AS id FROM spans")
    assert row["id"] == f"{RECEIVED:%Y%m%d}"
