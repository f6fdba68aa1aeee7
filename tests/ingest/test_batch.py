"""Plain JSON as spans."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import decode
from ingest.otlp import MalformedRequestError, validate
from schemas.plain_span import PlainSpan, PlainUsage
from tests.ingest.requests import attributes_of, resources_of, spans_of

INSTRUMENT = Path(__file__).parents[2] / "docs" / "instrument.md"
TRACE, SPAN, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "00f067aa0ba902b7"
STARTED = "2026-01-31T12:00:00.250Z"
STARTED_NS = 1769860800250000000


def plain(**changes: Any) -> dict[str, Any]:
    return {"started_at": STARTED, "operation": "chat", "model": "gpt-4o"} | changes


def refusal(item: Any) -> str:
    conversion = decode(json.dumps([item, plain()]).encode())
    assert conversion.accepted == 1
    [refused] = conversion.refused
    assert refused.index == 0
    return refused.detail


def made(item: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    conversion = decode(json.dumps(item).encode())
    assert conversion.refused == ()
    [span] = spans_of(conversion)
    return span, attributes_of(span)


def test_every_member_has_its_place() -> None:
    item = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": PARENT,
        "name": "answer",
        "operation": "chat",
        "service": "support",
        "service_version": "1.4",
        "environment": "production",
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "request_model": "gpt-4o",
        "response_id": "r1",
        "finish_reasons": ["stop"],
        "target": "assistant",
        "release": "v7",
        "prompt": "greeting",
        "prompt_version": "3",
        "agent": "clerk",
        "tool": "search",
        "user_id": "ann",
        "conversation_id": "talk",
        "started_at": STARTED,
        "duration_ms": 1500.5,
        "time_to_first_token_ms": 250,
        "input": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where is it?"}],
        "output": "It left.",
        "documents": ["Parcels leave on Mondays.", {"id": "faq-7", "content": "Ask at the counter."}],
        "usage": {
            "input_tokens": 100,
            "output_tokens": 20,
            "cache_read_tokens": 40,
            "cache_write_tokens": 10,
            "reasoning_tokens": 5,
        },
        "status": "error",
        "error_type": "timeout",
        "error_message": "gave up",
        "attributes": {"shop.branch": 7, "shop.tags": ["a"], "shop.open": True, "shop.none": None},
    }
    conversion = decode(json.dumps({"spans": [item]}).encode())
    [span] = spans_of(conversion)
    resource = {"service.name": "support", "service.version": "1.4", "deployment.environment.name": "production"}
    assert resources_of(conversion) == [resource]
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN, PARENT)
    assert (span.name, span.kind, span.status.code, span.status.message) == ("answer", 3, 2, "gave up")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (STARTED_NS, STARTED_NS + 1_500_500_000)
    assert attributes_of(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "r1",
        "gen_ai.response.finish_reasons": '["stop"]',
        "gen_ai.response.time_to_first_chunk": 0.25,
        "tracewarden.target": "assistant",
        "tracewarden.release": "v7",
        "gen_ai.prompt.name": "greeting",
        "gen_ai.prompt.version": "3",
        "gen_ai.agent.name": "clerk",
        "gen_ai.tool.name": "search",
        "user.id": "ann",
        "gen_ai.conversation.id": "talk",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "error.type": "timeout",
        "gen_ai.input.messages": [
            ["system", "Be short."],
            ["document", "Parcels leave on Mondays."],
            ["document", "Ask at the counter."],
            ["user", "Where is it?"],
        ],
        "gen_ai.output.messages": [["assistant", "It left."]],
        "shop.branch": 7,
        "shop.tags": '["a"]',
        "shop.open": True,
    }
    assert set(item) == set(PlainSpan.model_fields) - {"id", "ended_at"}


def test_every_member_is_in_the_documentation() -> None:
    text = INSTRUMENT.read_text()
    for name in (*PlainSpan.model_fields, *PlainUsage.model_fields):
        assert f"`{name}`" in text, name


def test_the_least_that_is_a_span() -> None:
    span, found = made({"started_at": 1769860800250})
    assert (span.name, span.kind, span.status.code, found) == ("span", 1, 0, {})
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (STARTED_NS, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"spans": [plain(), plain(id="b")]},
        [plain(), plain(id="b")],
    ],
)
def test_the_forms_of_a_body(body: Any) -> None:
    lines = "\n".join(map(json.dumps, [plain(), plain(id="b")])).encode()
    assert decode(json.dumps(body).encode()) == decode(lines)
    assert decode(lines).accepted == 2


@pytest.mark.parametrize("body", [{"spans": []}, []])
def test_nothing_is_nothing(body: Any) -> None:
    assert decode(json.dumps(body).encode()).accepted == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"spans": {}}, "spans must be a list, not an object"),
        ({"spans": [], "service": "shop"}, "there is service: put it on each span"),
    ],
)
def test_an_outer_object_that_is_none(body: Any, words: str) -> None:
    with pytest.raises(MalformedRequestError, match=words):
        decode(json.dumps(body).encode())


def test_names_as_the_api_gives_them_out_are_taken_too() -> None:
    _, found = made(plain(user="ann", conversation="talk"))
    assert (found["user.id"], found["gen_ai.conversation.id"]) == ("ann", "talk")
    span, _ = made({"start": STARTED, "status_message": "gave up", "parent_span_id": None})
    assert (span.start_time_unix_nano, span.status.code, span.status.message) == (STARTED_NS, 2, "gave up")
    assert "there is no member 'user'" in refusal(plain(user="ann", user_id="eve"))


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ({"started_at": STARTED}, STARTED_NS, 0),
        ({"started_at": 1769860800250, "duration_ms": 0.5}, STARTED_NS, STARTED_NS + 500_000),
        ({"started_at": "1769860800250", "ended_at": "2026-01-31T13:00:01.25+01:00"}, STARTED_NS, STARTED_NS + 10**9),
        ({"ended_at": "2026-01-31T12:00:01.25Z", "duration_ms": 1000}, STARTED_NS, STARTED_NS + 10**9),
    ],
)
def test_times(times: dict[str, Any], start: int, end: int) -> None:
    span, _ = made(times)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (start, end)


def test_ids_are_made_of_the_id_or_of_all_that_a_span_says() -> None:
    items = [plain(), dict(reversed(plain().items())), plain(release="v8"), plain(id="7"), plain(id="7", release="v8")]
    spans = spans_of(decode(json.dumps(items).encode()))
    same, again, other, named, renamed = ((span.trace_id, span.span_id) for span in spans)
    assert same == again
    assert len({same, other, named}) == 3
    assert named == renamed
    in_trace = [plain(trace_id=TRACE, input="a"), plain(trace_id=TRACE, input="b")]
    first, second = spans_of(decode(json.dumps(in_trace).encode()))
    assert first.trace_id == second.trace_id == bytes.fromhex(TRACE)
    assert first.span_id != second.span_id


def test_a_uuid_is_a_trace_id() -> None:
    span, _ = made(plain(trace_id="5B8EFFF7-9803-8103-d269-b633813fc60c"))
    assert span.trace_id.hex() == TRACE


def test_documents_of_a_retriever_are_what_it_found() -> None:
    _, found = made(
        plain(operation="retrieval", input="parcels", documents=["one", {"id": "2", "content": "two", "score": 0.5}])
    )
    assert json.loads(found["gen_ai.retrieval.documents"]) == [{"content": "one"}, {"id": "2", "content": "two", "score": 0.5}]
    assert found["gen_ai.input.messages"] == [["user", "parcels"]]


@pytest.mark.parametrize("operation", ["execute_tool", "tool"])
def test_a_tool_has_values_and_no_messages(operation: str) -> None:
    _, found = made(plain(operation=operation, tool="weather", input='{"city":"Rome"}', output="9 °C"))
    assert (found["gen_ai.tool.call.arguments"], found["gen_ai.tool.call.result"]) == ('{"city":"Rome"}', "9 °C")
    assert "gen_ai.input.messages" not in found


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (None, "must be an object, not null"),
        ("text", "must be an object, not text"),
        ({}, "started_at is required (RFC 3339 or epoch milliseconds)"),
        ({"duration_ms": 5}, "started_at is required"),
        (plain(modle="x"), "there is no member 'modle': did you mean model?"),
        (plain(prompt_tokens=3, zzz=1), "there is no member 'zzz': use id, trace_id,"),
        (plain(usage={"prompt_tokens": 3}), "usage.prompt_tokens: there is no member 'prompt_tokens': did you mean"),
        (plain(usage={"input_tokens": "many"}), "usage.input_tokens: must be a whole number"),
        (plain(usage={"input_tokens": -1}), "usage.input_tokens: must be at least 0"),
        (plain(usage={"output_tokens": float("nan")}), "usage.output_tokens: must be a whole number"),
        (plain(usage={"input_tokens": 5, "cache_read_tokens": 9}), "add them to it"),
        (plain(usage={"output_tokens": 5, "reasoning_tokens": 9}), "must include reasoning_tokens"),
        (plain(duration_ms=float("inf")), "duration_ms: must be a"),
        (plain(duration_ms=-1), "duration_ms: must be at least 0"),
        (plain(started_at="yesterday"), "write 2026-01-31T12:00:00Z or epoch milliseconds"),
        (plain(started_at="2026-01-31 12:00"), "is no time"),
        (plain(started_at=-5), "lies outside 1970 to 2261"),
        (plain(ended_at="2026-01-31T11:00:00Z"), "ended_at is before started_at"),
        (plain(ended_at=STARTED, duration_ms=1), "say the same twice"),
        (plain(trace_id="req-7"), "trace_id: must be 32 hexadecimal digits, or a UUID"),
        (plain(trace_id="0" * 32), "trace_id: must not be zero"),
        (plain(span_id=7), "span_id: must be text"),
        (plain(parent_span_id=PARENT), "needs the trace_id of its parent"),
        (plain(status="failed"), "status: must be 'unset', 'ok' or 'error', not 'failed'"),
        (plain(status="ok", error_type="timeout"), "contradict the status ok"),
        (plain(input=7), "input: must be text, or a list of messages"),
        (plain(input=[{"role": "user"}]), "input: a message says nothing"),
        (plain(output=[{"role": 1, "content": "x"}]), "output: the role of a message must be text"),
        (plain(documents=[{"id": "1"}]), "documents: must be a list of texts, or of objects"),
        (plain(attributes=[1]), "attributes: must be an object"),
        (plain(attributes={"gen_ai.response.model": "x"}), "gen_ai.response.model is said by a member of the span already"),
    ],
)
def test_what_is_no_span_is_refused_with_the_fix_and_its_neighbour_is_kept(item: Any, words: str) -> None:
    assert words in refusal(item)


def test_attributes_may_be_nested_but_not_without_end() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": deep}
    assert "less deeply" in refusal(plain(attributes={"deep": deep}))


def test_halves_of_characters_and_huge_numbers_do_no_harm() -> None:
    body = json.dumps(plain(input="\ud83d!", attributes={"n": 2**70, "zero": "\x00"})).encode()
    [span] = spans_of(decode(body))
    found = attributes_of(span)
    assert found["gen_ai.input.messages"] == [["user", "\ufffd!"]]
    assert float(found["n"]) == 2.0**70


def test_ten_thousand_spans_take_seconds_at_most() -> None:
    items = [plain(id=str(number), input="Where is my parcel?", usage={"input_tokens": number}) for number in range(10_000)]
    body = json.dumps(items).encode()
    started = time.monotonic()
    assert decode(body).accepted == 10_000
    assert time.monotonic() - started < 10


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "id", "input_tokens"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from([*PlainSpan.model_fields, "user", "unknown"]), ANY))
def test_any_object_is_stored_or_refused(changes: dict[str, Any]) -> None:
    conversion = decode(json.dumps([plain(**changes), plain()]).encode())
    assert conversion.accepted + len(conversion.refused) == 2
    assert conversion.accepted >= 1
    assert validate(conversion.request, STARTED_NS).accepted == conversion.accepted
