"""`POST /v1/litellm` and `POST /v1/batch` on a real store: what is accepted is stored once, what is refused says why."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status

from analyzers.cost.pricing import sync_prices
from ingest.routes import JSON, PROBLEM, PROTOBUF
from schemas.settings import CostSettings
from storage.keys import create_key
from tests.api.read_fixtures import Front
from tests.ingest.fixtures import PEPPER, Ingest
from tests.ingest.litellm_events import FORMS, STARTED, as_array, event

LITELLM, BATCH = "/v1/litellm", "/v1/batch"
START = datetime.fromtimestamp(STARTED, UTC).isoformat()


async def post(ingest: Ingest, path: str, content: bytes, kind: str = JSON, **headers: str) -> httpx.Response:
    async with ingest.client() as client:
        names = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await client.post(path, content=content, headers=names)


def plain(**changes: Any) -> dict[str, Any]:
    return {"started_at": START, "duration_ms": 900, "operation": "chat", "provider": "openai", "model": "gpt-4o"} | changes


async def count(ingest: Ingest) -> int:
    rows = await ingest.store.query("SELECT count() AS n FROM spans")
    return int(rows[0]["n"])


@pytest.mark.parametrize("form", FORMS)
async def test_a_batch_of_the_callback_sent_twice_counts_each_call_once_at_its_price(ingest: Ingest, form: Any) -> None:
    await sync_prices(ingest.store, CostSettings(), datetime.now(UTC))
    cached = event(id="chatcmpl-parcel-1_cache_hit1", cache_hit=True, response_cost=0.0)
    body = form(event(), cached)
    for content, headers in ((body, {}), (body, {}), (gzip.compress(body), {"content_encoding": "gzip"})):
        answer = await post(ingest, LITELLM, content, **headers)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "rejected": 0, "errors": []})
    columns = (
        "operation, provider, model, request_model, target, release, service, user_id, conversation_id, input_tokens,"
        " input_uncached_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_convention,"
        " time_to_first_token_ms, duration_ms, toFloat64(cost_usd) AS cost, invalid_attributes, finish_reasons"
    )
    billed, free = await ingest.store.query(f"SELECT {columns} FROM spans ORDER BY isNull(input_tokens)")
    assert billed == {
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "request_model": "gpt-4o",
        "target": "support",
        "release": "v7",
        "service": "litellm",
        "user_id": "ann",
        "conversation_id": "talk-9",
        "input_tokens": 1000,
        "input_uncached_tokens": 500,
        "cache_read_tokens": 400,
        "cache_write_tokens": 100,
        "output_tokens": 200,
        "reasoning_tokens": 50,
        "usage_convention": "inclusive",
        "time_to_first_token_ms": 250,
        "duration_ms": 1500,
        "cost": pytest.approx((500 * 2.5 + 400 * 1.25 + 100 * 2.5 + 200 * 10) / 1e6),
        "invalid_attributes": [],
        "finish_reasons": ["stop"],
    }
    assert (free["model"], free["input_tokens"], free["output_tokens"], free["cost"]) == ("gpt-4o-2024-08-06", None, None, None)


async def test_what_is_sent_is_read_in_the_api(ingest: Ingest, front: Front) -> None:
    key = await ingest.control.write(lambda c: create_key(c, "ours", ["ingest"], "gateway", PEPPER, datetime.now(UTC)))
    authorization = f"Bearer {key.key}"
    assert (await post(ingest, LITELLM, as_array(event()), authorization=authorization)).status_code == 200
    tool = plain(
        trace_id="ab" * 16, span_id="cd" * 8, parent_span_id="ef" * 8, operation="execute_tool", tool="find", input="x"
    )
    root = plain(trace_id="ab" * 16, span_id="ef" * 8, user_id="eve", input="Where?", output="Here.", documents=["It is here."])
    answer = await post(ingest, BATCH, json.dumps({"spans": [root, tool]}).encode(), x_api_key=key.key)
    assert answer.json() == {"accepted": 2, "rejected": 0, "errors": []}

    window = {"from_": START, "to": str((STARTED + 60) * 1000)}
    page = await front.get("/v1/spans", **window, user="ann")
    [found] = page["spans"]
    assert (found["model"], found["target"], found["release"], found["input_preview"], found["output_preview"]) == (
        *("gpt-4o-2024-08-06", "support", "v7"),
        "Where is my parcel?\n[image_url]",
        "It left on Monday.",
    )
    trace = await front.get(f"/v1/traces/{'ab' * 16}")
    [top] = trace["spans"]
    assert (top["user"], [child["tool"] for child in top["children"]]) == ("eve", ["find"])
    assert [(one["role"], one["text"]) for one in top["input_messages"]] == [("document", "It is here."), ("user", "Where?")]


async def test_a_failure_and_a_redacted_call_as_columns(ingest: Ingest) -> None:
    why = {"error_code": "429", "error_class": "RateLimitError", "error_message": "slow down"}
    redacted = [{"role": "user", "content": "redacted-by-litellm"}]
    failed = event(
        status="failure", response={}, messages=redacted, error_information=why, prompt_tokens=0, completion_tokens=0
    )
    assert (await post(ingest, LITELLM, as_array(failed))).status_code == 200
    columns = "status, status_message, error_type, is_error, input_tokens, length(input_messages) AS texts"
    assert await ingest.store.query(f"SELECT {columns} FROM spans") == [
        {
            "status": "error",
            "status_message": "slow down",
            "error_type": "RateLimitError",
            "is_error": 1,
            "input_tokens": None,
            "texts": 0,
        }
    ]


async def test_a_bad_item_is_named_and_its_neighbours_are_stored(ingest: Ingest) -> None:
    items = [plain(id="1"), plain(modle="x"), None, plain(id="2", started_at="1999-01-01T00:00:00Z")]
    answer = await post(ingest, BATCH, json.dumps(items).encode())
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert (found["accepted"], found["rejected"], [one["index"] for one in found["errors"]]) == (2, 2, [1, 2])
    assert "did you mean model?" in found["errors"][0]["detail"]
    assert "check the sender's clock" in found["warning"]
    assert await count(ingest) == 2
    read = ingest.instruments.registry.get_sample_value
    assert read("tracewarden_spans_accepted_total", {"transport": "batch"}) == 2
    assert read("tracewarden_requests_accepted_total", {"transport": "batch"}) == 1
    assert read("tracewarden_spans_rejected_total", {"reason": "INVALID_ITEM"}) == 2
    assert (ingest.receiver.accepted_spans, ingest.receiver.rejected_spans) == (2, 2)


@pytest.mark.parametrize("path", [LITELLM, BATCH])
async def test_where_no_item_can_be_stored_the_request_is_refused(ingest: Ingest, path: str) -> None:
    answer = await post(ingest, path, json.dumps([{}] * 300).encode())
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert (problem["type"], problem["accepted"], problem["rejected"]) == ("urn:tracewarden:invalid-request", 0, 300)
    assert [one["index"] for one in problem["errors"]] == list(range(100))
    assert "is required" in problem["detail"]
    assert await count(ingest) == 0


@pytest.mark.parametrize("path", [LITELLM, BATCH])
@pytest.mark.parametrize(
    ("content", "kind", "headers", "status", "words"),
    [
        (b'[{"id": "1"}, {', JSON, {}, 400, "line 1 column"),
        (b"", JSON, {}, 400, "the body is empty"),
        (b'"text"', JSON, {}, 400, "must be a JSON list or an object"),
        (b"[]", "text/plain", {}, 415, "Content-Type must be application/json"),
        (b"[]", PROTOBUF, {}, 415, "Content-Type must be application/json"),
        (b"[]", JSON, {"content_encoding": "br"}, 415, "use gzip or none"),
        (b"no gzip", JSON, {"content_encoding": "gzip"}, 400, "check Content-Encoding"),
        (b"x" * 200_001, JSON, {}, 413, "ingest.max_body_bytes"),
        (b"[]", JSON, {"authorization": "Bearer tw_unknown"}, 401, "tracewarden keys create"),
        (b"[]", JSON, {"host": "evil.example"}, 403, "only this machine"),
    ],
)
async def test_bad_requests_get_a_problem_that_names_the_fix(
    ingest: Ingest, path: str, content: bytes, kind: str, headers: dict[str, str], status: int, words: str
) -> None:
    answer = await post(ingest, path, content, kind, **headers)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert (problem["status"], problem["instance"]) == (status, path)
    assert words in problem["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert await count(ingest) == 0


@pytest.mark.parametrize("path", [LITELLM, BATCH])
async def test_other_methods_and_too_much_in_flight(ingest: Ingest, path: str) -> None:
    async with ingest.client() as client:
        wrong = await client.get(path)
    assert (wrong.status_code, wrong.headers["allow"], wrong.json()["title"]) == (405, "POST", "Method Not Allowed")
    with ingest.admission.request() as held:
        held.grow(3_000_000 - 100)
        full = await post(ingest, path, as_array(event()))
    assert (full.status_code, full.headers["retry-after"], full.json()["type"]) == (429, "2", "urn:tracewarden:overloaded")
    read = ingest.instruments.registry.get_sample_value
    refused = {"transport": path.rpartition("/")[2], "reason": "overloaded"}
    assert read("tracewarden_requests_rejected_total", refused) == 1


@pytest.mark.parametrize("kind", ["application/x-ndjson", JSON + "; charset=utf-8"])
async def test_lines_of_json_under_either_name(ingest: Ingest, kind: str) -> None:
    lines = "\n".join(json.dumps(plain(id=str(number))) for number in range(3)).encode()
    assert (await post(ingest, BATCH + "/", lines, kind)).json()["accepted"] == 3
    assert await count(ingest) == 3


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/logs", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"),
        ("/v1/logs", "OTEL_LOGS_EXPORTER=none"),
        ("/v1/metrics", "OTEL_METRICS_EXPORTER=none"),
        ("/v1/trace", "plain JSON to /v1/batch"),
    ],
)
async def test_what_is_not_received_says_what_to_do_instead(ingest: Ingest, path: str, words: str) -> None:
    answer = await post(ingest, path, b"", PROTOBUF)
    assert answer.status_code == 404
    assert words in Status.FromString(answer.content).message
    assert words in (await post(ingest, path, b"{}")).json()["message"]


async def test_a_span_without_an_end_has_no_duration(ingest: Ingest) -> None:
    answer = await post(ingest, BATCH, json.dumps(plain(duration_ms=None)).encode())
    assert answer.json()["warning"].endswith("there is no end (end_time_unix_nano is zero): the duration is unknown")
    assert await ingest.store.query("SELECT duration_ms FROM spans") == [{"duration_ms": None}]
