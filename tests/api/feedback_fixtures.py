"""Clients that give feedback, and spans and scores to give it on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from api.services import Services
from storage.clickhouse import ClickHouseStore
from storage.scores import insert_scores
from tests.api.read_fixtures import NOW, client_of, new_key
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.scores import score

HOUR = timedelta(hours=1)


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def said(role: str, *texts: str) -> str:
    return json.dumps([{"role": role, "content": text} for text in texts])


def chat(number: int, minute: float = 0.0, **given: Any) -> ResourceSpans:
    """A model call of one second, with the ids `number`."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": said("user", f"question {number}"),
        "gen_ai.output.messages": said("assistant", f"answer {number}"),
        **given.pop("attributes", {}),
    }
    ids = {"trace_id": trace(number), "span_id": span_id(number), **given}
    return make_span(start=NOW - HOUR + timedelta(minutes=minute), attributes=attributes, **ids)


class Giver:
    """A client that may send and read feedback of the project `ours`."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self.services = services
        self.client = client

    @property
    def store(self) -> ClickHouseStore:
        return self.services.store

    async def spans(self, *spans: ResourceSpans, project: str = "ours") -> None:
        await ingest_spans(self.store, project, spans, received_at=NOW)

    async def send(self, *bodies: dict[str, Any], status: int = 201, key: str | None = None) -> Any:
        body = bodies[0] if len(bodies) == 1 else list(bodies)
        answer = await self.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": key} if key else {})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = await self.client.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def all(self, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/v1/feedback", **parameters))["feedback"]
        return found


@pytest.fixture
async def giver(services: Services) -> AsyncIterator[Giver]:
    key = await new_key(services, "ours", "feedback", "read")
    async with client_of(services, key) as client:
        yield Giver(services, client)


def about(number: int, **given: Any) -> dict[str, Any]:
    return {"trace_id": trace(number).hex(), **given}


async def scored(giver: Giver, values: Sequence[float], **given: Any) -> None:
    """Spans 1, 2, … with a toxicity each."""
    spans = [chat(number, number / 60) for number in range(1, len(values) + 1)]
    await giver.spans(*spans)
    rows = [
        score(
            trace_id=trace(number),
            span_id=span_id(number),
            value=value,
            flagged=int(value >= 0.5),
            time=NOW - HOUR + timedelta(minutes=number / 60),
            received_at=NOW,
            evidence='[{"start": 0, "end": 6}]',
            **given,
        )
        for number, value in enumerate(values, 1)
    ]
    await insert_scores(giver.store, rows)
