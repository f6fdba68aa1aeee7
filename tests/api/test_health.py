"""Alive, ready with reasons, counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from api.assembly import low_disk
from api.health import Dependency, health_app, reason
from api.intake import stalled
from api.observability.timing import QueryTiming
from schemas.instruments import Instruments


async def fine() -> str | None:
    return None


async def low() -> str | None:
    return "12 MiB free"


async def broken() -> str | None:
    raise ConnectionRefusedError("postgresql://u:hunter2@db refused")


async def hanging() -> str | None:
    await asyncio.Event().wait()
    return None


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.fixture
async def unready() -> AsyncIterator[httpx.AsyncClient]:
    dependencies = [Dependency("store", fine), Dependency("disk", low), Dependency("control", broken)]
    async with client(health_app(dependencies, Instruments())) as http:
        yield http


async def test_a_process_that_is_not_ready_is_alive_and_says_why(unready: httpx.AsyncClient) -> None:
    assert (await unready.get("/healthz")).json() == {"status": "alive"}
    answer = await unready.get("/readyz")
    assert answer.status_code == 503
    body = answer.json()
    assert body["ready"] is False
    assert body["dependencies"]["store"] == "ok"
    assert body["dependencies"]["disk"] == "12 MiB free"
    assert body["dependencies"]["control"].startswith("failed (ConnectionRefusedError)")
    assert "hunter2" not in answer.text


async def test_errors_of_a_role_without_an_api_are_problems_too(unready: httpx.AsyncClient) -> None:
    for method, path, status in (("GET", "/v1/spans", 404), ("POST", "/readyz", 405)):
        answer = await unready.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert "openapi" not in answer.text


async def test_a_ready_process_answers_200() -> None:
    async with client(health_app([Dependency("store", fine)], Instruments())) as http:
        answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "dependencies": {"store": "ok"}}


async def test_a_probe_that_hangs_is_a_reason() -> None:
    assert await reason(Dependency("store", hanging), timeout_s=0.01) == "no answer within 0.01 s"


@pytest.mark.parametrize(("oldest_s", "blocked"), [(0.0, False), (59.0, False), (75.0, True)])
def test_a_log_that_stands_still_is_a_reason(oldest_s: float, blocked: bool) -> None:
    instruments = Instruments()
    instruments.oldest_unwritten_seconds.set(oldest_s)
    why = stalled(instruments)
    assert bool(why) is blocked
    assert why is None or why.startswith("the oldest record waits for 75 s")


def test_a_full_disk_is_a_reason_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert low_disk(tmp_path) is None
    monkeypatch.setattr("api.assembly.LOW_DISK_BYTES", 2**80)
    why = low_disk(tmp_path)
    assert why is not None
    assert why.endswith("free some space or shorten ingest.retention_days")


async def test_metrics_are_those_of_the_instruments() -> None:
    instruments = Instruments()
    instruments.spans_accepted.labels("http").inc(7)
    async with client(health_app([], instruments)) as http:
        answer = await http.get("/metrics")
    assert 'tracewarden_spans_accepted_total{transport="http"} 7.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain")


async def test_the_time_of_a_request_is_kept_under_its_pattern_not_its_path() -> None:
    instruments, app, router = Instruments(), FastAPI(), APIRouter(prefix="/v1")

    @router.get("/traces/{trace_id}")
    async def trace(trace_id: str) -> str:
        return trace_id

    app.include_router(router)
    app.add_middleware(QueryTiming, instruments=instruments)
    async with client(app) as http:
        await http.get("/v1/traces/abc")
        await http.get("/v1/traces/def")
        await http.get("/nowhere")
    count = instruments.registry.get_sample_value
    assert count("tracewarden_query_seconds_count", {"route": "/v1/traces/{trace_id}", "status": "200"}) == 2
    assert count("tracewarden_query_seconds_count", {"route": "other", "status": "404"}) == 1
