"""The OTLP/HTTP receiver on a real store: what is accepted is stored, what is refused says why."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from datetime import UTC, datetime

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from ingest.routes import JSON, PROTOBUF
from storage.keys import create_key, revoke_key
from tests.ingest.fixtures import PEPPER, Ingest
from tests.ingest.spans import make_span

START = str(time.time_ns())
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def body(*spans: ResourceSpans) -> bytes:
    return ExportTraceServiceRequest(resource_spans=spans).SerializeToString()


def json_body(**span: object) -> bytes:
    fields = {"traceId": TRACE, "spanId": SPAN, "name": "chat", "startTimeUnixNano": START, "endTimeUnixNano": START, **span}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()


async def post(ingest: Ingest, content: bytes, kind: str = PROTOBUF, **headers: str) -> httpx.Response:
    async with ingest.client() as client:
        names = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await client.post("/v1/traces", content=content, headers=names)


async def count(ingest: Ingest) -> int:
    rows = await ingest.store.query("SELECT count() AS n FROM spans")
    return int(rows[0]["n"])


async def test_an_acknowledged_span_is_queryable(ingest: Ingest) -> None:
    answer = await post(ingest, body(make_span(trace_id=bytes.fromhex(TRACE), attributes={"gen_ai.operation.name": "chat"})))
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, PROTOBUF, b"")
    rows = await ingest.store.query("SELECT lower(hex(trace_id)) AS id, project, operation FROM spans")
    assert rows == [{"id": TRACE, "project": "default", "operation": "chat"}]


async def test_json_has_hexadecimal_ids_and_is_answered_in_json(ingest: Ingest) -> None:
    attributes = [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}}]
    answer = await post(ingest, json_body(kind=3, attributes=attributes, unknownField=1), JSON + "; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, JSON, {})
    rows = await ingest.store.query("SELECT lower(hex(trace_id)) AS t, lower(hex(span_id)) AS s, kind, input_tokens FROM spans")
    assert rows == [{"t": TRACE, "s": SPAN, "kind": "client", "input_tokens": 12}]


@pytest.mark.parametrize("members", [1, 3])
async def test_gzip_also_of_several_members(ingest: Ingest, members: int) -> None:
    whole = body(*(make_span() for _ in range(6)))
    step = -(-len(whole) // members)
    packed = b"".join(gzip.compress(whole[i : i + step]) for i in range(0, len(whole), step))
    assert (await post(ingest, packed, content_encoding="gzip")).status_code == 200
    assert await count(ingest) == 6


async def test_spans_without_ids_are_rejected_and_their_neighbours_kept(ingest: Ingest) -> None:
    spans = (make_span(trace_id=bytes(16)), make_span(span_id=bytes(7)), make_span(parent_span_id=b"xy"), make_span())
    answer = await post(ingest, body(*spans))
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200
    assert partial.rejected_spans == 3
    for words in ("trace_id must be 16 bytes", "span_id must be 8 bytes", "parent_span_id must be 8 bytes"):
        assert words in partial.error_message
    assert await count(ingest) == 1


async def test_logs_sent_to_the_traces_path_are_not_stored(ingest: Ingest) -> None:
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(body=AnyValue(string_value="a line"))
    record.time_unix_nano = 1
    answer = await post(ingest, logs.SerializeToString())
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    assert await count(ingest) == 0


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "start_time_unix_nano is zero"),
        (datetime(2199, 1, 1, tzinfo=UTC), "check the sender's clock"),
        (datetime(1999, 1, 1, tzinfo=UTC), "check the sender's clock"),
    ],
)
async def test_absurd_times_are_kept_shown_at_arrival_and_warned_about(ingest: Ingest, start: datetime, words: str) -> None:
    answer = await post(ingest, body(make_span(start=start)))
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 0)
    assert words in partial.error_message
    rows = await ingest.store.query("SELECT time = received_at AS shown, toYear(started_at) AS year FROM spans")
    assert rows == [{"shown": 1, "year": start.year}]


@pytest.mark.parametrize(
    ("content", "kind", "headers", "status", "words"),
    [
        (b"\xff\xff\xff", PROTOBUF, {}, 400, "not a protobuf ExportTraceServiceRequest"),
        (b"{", JSON, {}, 400, "not OTLP/JSON"),
        (b"[]", JSON, {}, 400, '"resourceSpans"'),
        (b'{"resourceSpans": [{"scopeSpans": 7}]}', JSON, {}, 400, "not OTLP/JSON"),
        (b"", "text/plain", {}, 415, "Content-Type must be"),
        (b"", PROTOBUF, {"content_encoding": "br"}, 415, "use gzip or none"),
        (b"no gzip", PROTOBUF, {"content_encoding": "gzip"}, 400, "check Content-Encoding"),
        (gzip.compress(b"x" * 99, mtime=0)[:-4], PROTOBUF, {"content_encoding": "gzip"}, 400, "ends in the middle"),
        (b"x" * 200_001, PROTOBUF, {}, 413, "ingest.max_body_bytes"),
        (gzip.compress(bytes(2_000_001), mtime=0), PROTOBUF, {"content_encoding": "gzip"}, 413, "ingest.max_expanded_bytes"),
        (b"", PROTOBUF, {"authorization": "Bearer tw_unknown"}, 401, "tracewarden keys create"),
        (b"", PROTOBUF, {"host": "evil.example"}, 403, "only this machine"),
    ],
)
async def test_bad_requests_get_an_error_that_names_the_fix(
    ingest: Ingest, content: bytes, kind: str, headers: dict[str, str], status: int, words: str
) -> None:
    answer = await post(ingest, content, kind, **headers)
    assert answer.status_code == status
    message = Status.FromString(answer.content).message if kind == PROTOBUF else answer.json()["message"]
    assert words in message
    assert await count(ingest) == 0


async def test_other_paths_and_methods(ingest: Ingest) -> None:
    async with ingest.client() as client:
        assert (await client.post("/v1/metrics")).status_code == 404
        wrong = await client.get("/v1/traces")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_the_key_chooses_the_project(ingest: Ingest) -> None:
    now = datetime.now(UTC)
    ingest.keys_required = True
    key = await ingest.control.write(lambda c: create_key(c, "shop", ["ingest"], "gateway", PEPPER, now))
    reader = await ingest.control.write(lambda c: create_key(c, "shop", ["read"], "dashboard", PEPPER, now))
    assert (await post(ingest, body(make_span()))).status_code == 401
    assert (await post(ingest, body(make_span()), authorization=f"Bearer {reader.key}")).status_code == 403
    assert (await post(ingest, body(make_span()), authorization=f"Bearer {key.key}")).status_code == 200
    assert (await post(ingest, body(make_span()), x_api_key=key.key)).status_code == 200
    assert await ingest.store.query("SELECT project, count() AS n FROM spans GROUP BY project") == [{"project": "shop", "n": 2}]


async def test_a_revoked_key_is_refused(ingest: Ingest) -> None:
    now = datetime.now(UTC)
    key = await ingest.control.write(lambda c: create_key(c, "shop", ["ingest"], "gateway", PEPPER, now))
    await ingest.control.write(lambda c: revoke_key(c, key.id, now))
    answer = await post(ingest, body(make_span()), authorization=f"Bearer {key.key}")
    assert answer.status_code == 401
    assert "unknown or revoked" in Status.FromString(answer.content).message


async def test_a_client_cannot_choose_its_project(ingest: Ingest) -> None:
    """The envelope's own field numbers inside the client's request, at every level, reach nothing."""
    forged = body(make_span(attributes={"project": "victim", "tracewarden.project": "victim"}))
    project_field = b"\x0a\x06victim"  # field 1, as Envelope.project
    for content in (forged + b"\x22\x06victim", forged + b"\x2a\x06victim\x10\x01", forged):
        assert (await post(ingest, content, x_project="victim")).status_code == 200
    assert (await post(ingest, project_field)).status_code in (200, 400)
    assert await ingest.store.query("SELECT DISTINCT project FROM spans") == [{"project": "default"}]


async def test_too_much_in_flight_is_429_with_retry_after(ingest: Ingest) -> None:
    with ingest.admission.request() as held:
        held.grow(3_000_000 - 100)
        answer = await post(ingest, body(*(make_span() for _ in range(3))))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "ingest.max_in_flight_bytes" in Status.FromString(answer.content).message
    assert ingest.admission.bytes == 0
    assert (await post(ingest, body(make_span()))).status_code == 200


async def test_a_sender_that_hangs_up_frees_what_it_took(ingest: Ingest) -> None:
    messages: list[dict[str, object]] = [{"type": "http.disconnect"}]
    messages.append({"type": "http.request", "body": b"x" * 1000, "more_body": True})
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return messages.pop()

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/traces", "headers": [(b"content-type", PROTOBUF.encode())]}
    await ingest.http(scope, receive, send)
    assert (sent, ingest.admission.bytes) == ([], 0)


async def test_an_identical_retry_counts_once(ingest: Ingest) -> None:
    content = body(make_span(), make_span())
    answers = await asyncio.gather(*(post(ingest, content) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await post(ingest, content)).status_code == 200
    assert await count(ingest) == 2


async def test_values_of_every_type_arrive(ingest: Ingest) -> None:
    attributes = {"s": "é", "i": -3, "d": 0.5, "b": True, "a": [1, "x", [2.5]], "m": {"k": [True]}, "y": b"\x00\x01", "e": ""}
    assert (await post(ingest, body(make_span(attributes=attributes)))).status_code == 200
    rows = await ingest.store.query("SELECT attributes FROM spans")
    expected = {"s": "é", "i": "-3", "d": "0.5", "b": "true", "a": '[1,"x",[2.5]]', "m": '{"k":[true]}', "y": "AAE=", "e": ""}
    assert rows[0]["attributes"] == expected
