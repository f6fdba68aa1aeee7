"""GET /v1/status."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from api.services import IngestStatus
from storage.analysis import Progress, read_analysis
from tests.analyzers.runner_world import TOPIC, LengthAnalyzer, chat, log_end, run_rounds, runner_of
from tests.api.read_fixtures import NOW, Front, client_of, new_key
from tests.ingest.spans import ingest_spans


async def test_status_of_a_process_that_receives_traces(front: Front) -> None:
    ingest = IngestStatus(accepted_spans=10, written_spans=8, rejected_spans=1, bytes_in_flight=2_000, oldest_unwritten_s=0.5)
    parts = replace(front.services, ingest=lambda: ingest)
    async with client_of(parts, await new_key(parts, "ours")) as client:
        found = (await client.get("/v1/status")).json()
    assert (found["accepted"], found["written"], found["rejected"], found["oldest_unwritten_s"]) == (10, 8, 1, 0.5)
    assert found["lag_s"] == 5
    assert found["watermark"].endswith("T11:59:55.000Z")


async def test_status_of_the_api_by_itself(front: Front) -> None:
    found = await front.get("/v1/status")
    assert found["accepted"] is None
    assert found["version"] == "test"


async def test_an_unknown_watermark_is_null(front: Front) -> None:
    async def unknown() -> None:
        return None

    parts = replace(front.services, watermark=unknown)
    async with client_of(parts, await new_key(parts, "ours")) as client:
        found = (await client.get("/v1/status")).json()
    assert (found["watermark"], found["lag_s"]) == (None, None)


async def test_status_of_the_analyzers(front: Front) -> None:
    store, control = front.services.store, front.services.control
    spans = [chat("a", "b"), chat("c", "?")]
    await ingest_spans(store, "ours", spans, received_at=NOW - timedelta(minutes=5))
    await ingest_spans(store, "theirs", [chat("e", "f")], received_at=NOW - timedelta(minutes=4))
    await run_rounds(runner_of(LengthAnalyzer(), store, control, lambda: NOW), 1)
    committed = await log_end(store)

    async def analysis() -> list[Progress]:
        return await control.read(lambda connection: read_analysis(connection, TOPIC, committed, NOW))

    parts = replace(front.services, analysis=analysis)
    async with client_of(parts, await new_key(parts, "ours")) as client:
        (found,) = (await client.get("/v1/status")).json()["analyzers"]
    assert (found["name"], found["behind"], found["lag_s"], found["last_error"]) == ("length", 0, 0, None)
    assert found["coverage"] == {
        "wanted": 2,
        "looked_at": 2,
        "failed": 0,
        "share": 1.0,
        "abstained": {"length: too-short": 1},
        "scorers": ["length@1"],
    }
