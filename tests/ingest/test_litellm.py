"""Events of LiteLLM's callback as spans, attribute by attribute."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.litellm import REDACTED, decode
from ingest.otlp import MAX_SPAN_BYTES, validate
from tests.ingest.litellm_events import FORMS, STARTED, TRACE, as_array, as_lines, attributes, event
from tests.ingest.requests import attributes_of, resources_of, spans_of

USAGE = "gen_ai.usage."


def usage(found: dict[str, Any], prefix: str = USAGE) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}


def test_a_call_becomes_a_span() -> None:
    conversion = decode(as_array(event()))
    [span] = spans_of(conversion)
    found = attributes_of(span)
    assert (conversion.accepted, conversion.refused) == (1, ())
    assert resources_of(conversion) == [{"service.name": "litellm"}]
    assert (span.name, span.kind, span.status.code) == ("chat gpt-4o", 3, 0)
    assert span.trace_id == UUID(TRACE).bytes
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (STARTED * 10**9, STARTED * 10**9 + 1_500_000_000)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-parcel-1",
        "gen_ai.response.finish_reasons": '["stop"]',
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 500,
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": "talk-9",
        "user.id": "ann",
        "tracewarden.target": "support",
        "tracewarden.release": "v7",
        "litellm.response_cost": 0.0042,
        "litellm.model_group": "assistant",
        "litellm.user_api_key_alias": "shop",
        "litellm.model_parameters": '{"response_format":{"type":"text"}}',
        "gen_ai.input.messages": [["system", "Be short."], ["user", "Where is my parcel?", {"type": "image_url"}]],
        "gen_ai.output.messages": [["assistant", "It left on Monday."]],
    }
    assert {key: found.get(key) for key in expected} == expected
    assert usage(found) == {
        "input_tokens": 1000,
        "output_tokens": 200,
        "cache_read.input_tokens": 400,
        "cache_creation.input_tokens": 100,
        "reasoning.output_tokens": 50,
    }


def test_addresses_of_people_and_machines_do_not_travel() -> None:
    requested = {"topic": "parcels", "headers": {"user-agent": "shop/1.2"}}
    metadata = event()["metadata"] | {"requester_metadata": requested}
    sent = decode(as_array(event(metadata=metadata))).request.SerializeToString()
    assert b"parcels" in sent
    assert b"shop/1.2" not in sent
    assert b"192.0.2.7" not in sent
    assert b"owner@shop.example" not in sent


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_of_a_batch_give_the_same_request(form: Any) -> None:
    events = [event(), event(id="chatcmpl-2"), event(id="chatcmpl-3", metadata={"service.name": "checkout"})]
    conversion = decode(form(*events))
    assert conversion == decode(form(*events)) == decode(as_array(*events))
    assert conversion.accepted == 3
    assert resources_of(conversion) == [{"service.name": "litellm"}, {"service.name": "checkout"}]
    assert len({span.span_id for span in spans_of(conversion)}) == 3


def test_one_object_is_one_event() -> None:
    assert decode(json.dumps(event(), indent=1).encode()) == decode(as_lines(event()))


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, {"input_tokens": 9, "output_tokens": 2}),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
            {"input_tokens": 9, "output_tokens": 2, "cache_read.input_tokens": 4},
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3},
                "cache_read_input_tokens": 0,
            },
            {"input_tokens": 9, "output_tokens": 2, "cache_read.input_tokens": 4, "cache_creation.input_tokens": 3},
        ),
        # The Responses API: cached tokens within the input.
        (
            {
                "input_tokens": 9,
                "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            {"input_tokens": 9, "output_tokens": 5, "cache_read.input_tokens": 4, "reasoning.output_tokens": 3},
        ),
        # Anthropic's own form: cached tokens beside the input.
        (
            {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 3},
            {"input_tokens": 52, "output_tokens": 5, "cache_read.input_tokens": 40, "cache_creation.input_tokens": 3},
        ),
        (
            {"input_tokens": 90, "output_tokens": 5, "cache_read_input_tokens": 40},
            {"input_tokens": 130, "output_tokens": 5, "cache_read.input_tokens": 40},
        ),
        # What cannot be read travels as it is: the store leaves its column NULL and says so.
        ({"prompt_tokens": -4, "completion_tokens": "many"}, {"input_tokens": -4, "output_tokens": "many"}),
    ],
)
def test_token_buckets(given: dict[str, Any], counts: dict[str, Any]) -> None:
    assert usage(attributes(response={"usage": given})) == counts


def test_usage_beside_a_response_without_one() -> None:
    redacted = {"text": REDACTED}
    in_metadata = {"usage_object": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}}
    counts = {"input_tokens": 7, "output_tokens": 3, "cache_read.input_tokens": 5}
    assert usage(attributes(response=redacted, metadata=in_metadata)) == counts
    sums = usage(attributes(response=redacted, metadata={}, prompt_tokens=7, completion_tokens=3))
    assert sums == {"input_tokens": 7, "output_tokens": 3}


def test_usage_that_litellm_does_not_know_is_not_zero() -> None:
    unknown = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert usage(attributes(response={"usage": unknown}, metadata={}, **unknown)) == {}


def test_a_hit_of_the_gateways_cache_is_not_billed_and_is_no_second_response() -> None:
    found = attributes(cache_hit=True, id="chatcmpl-parcel-1_cache_hit1769860800.5", saved_cache_cost=0.0042)
    assert usage(found) == {}
    assert usage(found, "litellm.usage.")["input_tokens"] == 1000
    assert "gen_ai.response.id" not in found
    assert (found["litellm.response_id"], found["litellm.cache_hit"]) == ("chatcmpl-parcel-1", True)
    assert found["gen_ai.output.messages"] == [["assistant", "It left on Monday."]]


def test_a_failure_is_an_error_with_its_class_and_message() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    why = {"error_code": "429", "error_class": "RateLimitError", "error_message": "slow down", "traceback": "File …"}
    failed = event(status="failure", response={}, error_str="litellm.RateLimitError: slow down", error_information=why, **zeros)
    [span] = spans_of(decode(as_array(failed)))
    found = attributes_of(span)
    assert (span.status.code, span.status.message) == (2, "slow down")
    assert (found["error.type"], found["litellm.error_code"], usage(found)) == ("RateLimitError", "429", {})
    assert "File …" not in str(span)

    bare = spans_of(decode(as_array(event(status="failure", error_str="no answer", error_information=None))))[0]
    assert (bare.status.message, attributes_of(bare)["error.type"]) == ("no answer", "_OTHER")


def test_attempts_that_failed_are_told_apart_and_a_retry_of_the_callback_is_not() -> None:
    first, second = event(status="failure"), event(status="failure", startTime=STARTED + 2.0)
    one, again, other = (span.span_id for span in spans_of(decode(as_array(first, first, second))))
    assert one == again != other
    answered = spans_of(decode(as_array(event(), event(endTime=STARTED + 9.0))))
    assert answered[0].span_id == answered[1].span_id


@pytest.mark.parametrize(
    ("call_type", "operation"),
    [
        ("completion", "chat"),
        ("acompletion", "chat"),
        ("aresponses", "chat"),
        ("anthropic_messages", "chat"),
        ("atext_completion", "text_completion"),
        ("aembedding", "embeddings"),
        ("agenerate_content_stream", "generate_content"),
        ("arerank", "rerank"),
        ("amoderation", "moderation"),
        ("_arealtime", "realtime"),
        ("call_mcp_tool", "execute_tool"),
        ("acreate_file", "acreate_file"),
        ("pass_through_endpoint", None),
        ("", None),
    ],
)
def test_operations(call_type: str, operation: str | None) -> None:
    assert attributes(call_type=call_type).get("gen_ai.operation.name") == operation


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        (
            "bedrock",
            "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
            ("bedrock", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ),
        ("text-completion-openai", "gpt-3.5-turbo-instruct", ("openai", "gpt-3.5-turbo-instruct")),
        ("azure_ai", "grok-3", ("azure.ai.inference", "grok-3")),
        ("openrouter", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
    ],
)
def test_providers_and_models(provider: str, model: str, expected: tuple[str, str]) -> None:
    found = attributes(custom_llm_provider=provider, model=model)
    assert (found["gen_ai.provider.name"], found["gen_ai.request.model"]) == expected


@pytest.mark.parametrize(
    ("answered", "mapped", "model"),
    [
        ("gpt-4o-2024-08-06", {"model_map_key": "openai/gpt-4o", "model_map_value": {"key": "gpt-4o"}}, "gpt-4o-2024-08-06"),
        # The proxy writes the name of the group that was asked for.
        ("assistant", {"model_map_key": "openai/gpt-4o", "model_map_value": {"key": "gpt-4o"}}, "gpt-4o"),
        ("assistant", {"model_map_key": "assistant", "model_map_value": None}, None),
        ("assistant", None, None),
    ],
)
def test_the_name_of_a_group_is_no_model(answered: str, mapped: Any, model: str | None) -> None:
    found = attributes(response={"model": answered}, model_map_information=mapped)
    assert (found.get("gen_ai.response.model"), found["gen_ai.request.model"]) == (model, "gpt-4o")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"metadata": {"spend_logs_metadata": {"tracewarden.target": "t", "tracewarden.release": 3}}}, ("t", "3", "litellm")),
        (
            {"metadata": {"user_api_key_auth_metadata": {"service.name": "shop", "tracewarden.target": "t"}}},
            ("t", "v7", "shop"),
        ),
        ({"request_tags": ["tracewarden.target: a:b", "service.name:shop", 7]}, ("support", None, "shop")),
        ({"metadata": None, "request_tags": None}, (None, None, "litellm")),
    ],
)
def test_target_release_and_service_come_from_metadata_or_tags(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    conversion = decode(as_array(event(**changes)))
    found = attributes_of(spans_of(conversion)[0])
    given = (found.get("tracewarden.target"), found.get("tracewarden.release"), resources_of(conversion)[0]["service.name"])
    assert given == expected


def test_users_and_conversations_fall_back() -> None:
    assert attributes(end_user="")["user.id"] == "owner"
    assert attributes(metadata={})["gen_ai.conversation.id"] == TRACE
    assert "user.id" not in attributes(end_user=None, metadata={})
    assert "user.id" not in attributes(end_user="", metadata={"user_api_key_user_id": "default_user_id"})


@pytest.mark.parametrize("changes", [{"session_id": "talk"}, {"metadata": {"requester_metadata": {"session_id": "talk"}}}])
def test_the_calls_of_a_session_are_one_conversation_and_not_one_trace(changes: dict[str, Any]) -> None:
    calls = [event(trace_id="talk", **changes), event(trace_id="talk", id="another", **changes)]
    first, second = spans_of(decode(as_array(*calls)))
    assert first.trace_id != second.trace_id
    assert {attributes_of(span)["gen_ai.conversation.id"] for span in (first, second)} == {"talk"}


@pytest.mark.parametrize("trace_id", ["session 7", "00000000-0000-0000-0000-000000000000", "", None])
def test_a_trace_id_that_is_none_is_made_of_it_or_of_the_id(trace_id: str | None) -> None:
    calls = [event(trace_id=trace_id), event(trace_id=trace_id, id="another")]
    first, second = (span.trace_id for span in spans_of(decode(as_array(*calls))))
    assert len(first) == 16
    assert (first == second) == bool(trace_id)


def test_events_without_an_id_of_the_provider_are_told_apart_by_what_they_say() -> None:
    calls = [event(id="None"), event(id="None"), event(id="None", end_user="eve")]
    one, again, other = (span.span_id for span in spans_of(decode(as_array(*calls))))
    assert one == again != other


@pytest.mark.parametrize(
    ("time", "nanoseconds"),
    [
        ("2026-01-31 12:00:00.5", 1769860800500000000),
        ("2026-01-31T13:00:00.5+01:00", 1769860800500000000),
        ("1769860800.5", 1769860800500000000),
        (1769860800, 1769860800000000000),
        (1e30, 2**63 - 1),
        (-5, 0),
        (True, 0),
        (None, 0),
        ("yesterday", 0),
        ("NaN", 0),
    ],
)
def test_times(time: Any, nanoseconds: int) -> None:
    [span] = spans_of(decode(as_array(event(startTime=time))))
    assert span.start_time_unix_nano == nanoseconds


@pytest.mark.parametrize("changes", [{"stream": None}, {"completionStartTime": STARTED - 1.0}, {"completionStartTime": None}])
def test_no_time_to_first_token_without_a_first_token(changes: dict[str, Any]) -> None:
    assert "gen_ai.response.time_to_first_chunk" not in attributes(**changes)


def test_what_cannot_be_an_event_is_refused_and_its_neighbours_are_kept() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    events = [None, 7, event(), event(id=""), event(id="deep", metadata={"requester_metadata": {"a": deep}}), event(id="last")]
    large = event(id="large", messages="x" * (MAX_SPAN_BYTES + 1))
    conversion = decode(as_array(*events, large))  # type: ignore[arg-type]
    assert conversion.accepted == 2
    refused = {one.index: one.detail for one in conversion.refused}
    assert refused.keys() == {0, 1, 3, 4, 6}
    assert refused[0] == "must be an object, not null"
    assert refused[1] == "must be an object, not a number"
    assert "id is required" in refused[3]
    assert "nest it less deeply" in refused[4]
    assert "shorten its attributes" in refused[6]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "type", "usage"]), inner),
)


@given(st.dictionaries(st.sampled_from(sorted(event())), ANY))
def test_any_event_is_stored_or_refused(changes: dict[str, Any]) -> None:
    conversion = decode(json.dumps([event(**changes), event()]).encode())
    assert conversion.accepted + len(conversion.refused) == 2
    assert conversion.accepted >= 1
    assert validate(conversion.request, STARTED * 10**9).accepted == conversion.accepted
