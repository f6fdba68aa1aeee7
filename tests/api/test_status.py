"""GET /v1/status."""

from __future__ import annotations

from dataclasses import replace

from api.services import IngestStatus
from tests.api.read_fixtures import Front, client_of, new_key


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
