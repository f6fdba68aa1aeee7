"""Who may ask for what, and what a page of another site cannot do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, Depends, FastAPI

from api.app import MAX_BODY_BYTES, BodyCap, create_app
from api.auth import authorise, host_name
from api.problem import install_problems, store_problem
from api.services import Services
from schemas.sections import AuthSettings
from schemas.settings import Settings, is_loopback
from storage.clickhouse import ClickHouseStore, StoreBusyError
from storage.control import ControlDatabase
from storage.key_cache import CACHE_FOR
from storage.keys import Principal, list_keys, revoke_key
from tests.api.read_fixtures import NOW, Front, client_of, new_key


@pytest.fixture
def keyless(services: Services) -> Services:
    """Services on loopback that need no key."""
    return replace(services, settings=services.settings.model_copy(update={"auth": AuthSettings(required=False)}))


def writing_app(services: Services) -> FastAPI:
    """An application with one route that writes."""
    app = create_app(services)

    @app.post("/v1/write")
    async def write(
        caller: Annotated[Principal, Depends(authorise("control"))], body: Annotated[dict[str, Any] | None, Body()] = None
    ) -> dict[str, Any]:
        return {"project": caller.project, "body": body}

    return app


def writing_client(services: Services, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(writing_app(services))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080", headers=headers)


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
async def test_a_key_opens_its_project(services: Services, header: str) -> None:
    key = await new_key(services, "ours")
    async with client_of(services) as client:
        value = f"Bearer {key}" if header == "Authorization" else key
        assert (await client.get("/v1/metrics", headers={header: value})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer tw_unknown"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dHc6dHc="},
        {"x-api-key": "tw_unknown"},
        {"x-api-key": ""},
        {"x-api-key": "' OR 1=1 --"},
        {"X-Project": "ours"},
    ],
)
async def test_without_a_valid_key_there_is_nothing(services: Services, headers: dict[str, str]) -> None:
    async with client_of(services) as client:
        for path in ("/v1/metrics", "/v1/spans", "/v1/status", f"/v1/traces/{'ab' * 16}", "/v1/compare"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_key_is_refused_where_none_is_needed(keyless: Services) -> None:
    async with client_of(keyless) as client:
        for headers in ({"Authorization": "Bearer tw_wrong"}, {"x-api-key": "tw_wrong"}, {"Authorization": "Basic eDp5"}):
            assert (await client.get("/v1/metrics", headers=headers)).status_code == 401


async def test_scopes(services: Services) -> None:
    reader, ingester = await new_key(services, "ours", "read"), await new_key(services, "ours", "ingest")
    admin = await new_key(services, "ours", "admin")
    async with writing_client(services) as client:
        for key, path, method, status in (
            (reader, "/v1/metrics", "GET", 200),
            (ingester, "/v1/metrics", "GET", 403),
            (reader, "/v1/write", "POST", 403),
            (admin, "/v1/write", "POST", 200),
            (admin, "/v1/metrics", "GET", 200),
        ):
            answer = await client.request(
                method, path, headers={"Authorization": f"Bearer {key}"}, json={} if method == "POST" else None
            )
            assert answer.status_code == status
        refused = await client.post("/v1/write", headers={"x-api-key": reader}, json={})
        assert "control" in refused.json()["detail"]


async def test_a_revoked_key_ends_within_five_seconds(services: Services) -> None:
    assert timedelta(seconds=5) >= CACHE_FOR
    now = [NOW]
    parts = replace(services, clock=lambda: now[0])
    key = await new_key(parts, "ours")
    async with client_of(parts, key) as client:
        assert (await client.get("/v1/metrics")).status_code == 200
        [info] = await parts.control.read(list_keys)
        await parts.control.write(lambda connection: revoke_key(connection, info.id, now[0]))
        now[0] += CACHE_FOR
        assert (await client.get("/v1/metrics")).status_code == 401


HERE = ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"]
ELSEWHERE = ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "[::2]", "", "[::1", "127.0.0.1@evil"]


@pytest.mark.parametrize("host", HERE)
async def test_this_machine_needs_no_key(keyless: Services, host: str) -> None:
    async with client_of(keyless) as client:
        assert (await client.get("/v1/metrics", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "[::2]", "", "[::1", "127.0.0.1@evil.example"],
)
async def test_a_name_that_was_rebound_to_this_machine_is_refused(keyless: Services, host: str) -> None:
    async with client_of(keyless) as client:
        answer = await client.get("/v1/metrics", headers={"Host": host})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracewarden:foreign-host")


async def test_a_foreign_origin_is_refused(keyless: Services) -> None:
    async with writing_client(keyless) as client:
        for origin, status in (("http://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)):
            assert (await client.post("/v1/write", headers={"Origin": origin}, json={})).status_code == status


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_forms_of_other_sites_cannot_write(keyless: Services, kind: str | None) -> None:
    async with writing_client(keyless) as client:
        for content in (b"", b"{}"):
            headers = {"Content-Type": kind} if kind else {}
            answer = await client.post("/v1/write", content=content, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (415, "urn:tracewarden:not-json")
        assert (await client.post("/v1/write", json={"a": 1})).json() == {"project": "default", "body": {"a": 1}}


async def test_errors_are_problems(front: Front) -> None:
    for method, path, status in (("GET", "/v2/nothing", 404), ("POST", "/v1/metrics", 405), ("DELETE", "/v1/spans", 405)):
        answer = await front.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        body = answer.json()
        assert (body["status"], body["instance"]) == (status, path)
    assert "use GET" in body["detail"]


async def test_a_path_says_which_methods_it_takes(front: Front) -> None:
    for path, allowed in (
        ("/v1/rules", "GET, HEAD, POST"),
        ("/v1/rules/slow", "GET, HEAD, PUT, DELETE"),
        ("/v1/targets/support:promote", "POST"),
        ("/openapi.json", "GET, HEAD"),
    ):
        options = await front.client.options(path)
        assert (options.status_code, options.headers["allow"], options.content) == (204, allowed, b"")
        refused = await front.client.request("PATCH", path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
        assert refused.headers["content-type"] == "application/problem+json"
    for method in ("POST", "OPTIONS"):
        unknown = await front.client.request(method, "/v1/targets/support:rolback")
        assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")


async def test_head_is_get_without_the_body(front: Front) -> None:
    whole = await front.client.get("/v1/metrics")
    head = await front.client.head("/v1/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
    assert (await front.client.head("/v1/nothing")).status_code == 404
    assert (await front.client.head("/v1/rules:test")).status_code == 405


async def test_a_malformed_body_is_a_problem(services: Services) -> None:
    key = await new_key(services, "ours", "control")
    async with writing_client(services, Authorization=f"Bearer {key}") as client:
        broken = await client.post("/v1/write", content=b'{"a":', headers={"Content-Type": "application/json"})
        assert (broken.status_code, broken.json()["type"]) == (400, "urn:tracewarden:malformed-json")
        wrong = await client.post("/v1/write", json=[1])
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#")


async def test_a_body_above_the_cap_is_refused_by_its_length_and_while_it_arrives(services: Services) -> None:
    key = await new_key(services, "ours", "control")
    size = MAX_BODY_BYTES + 1

    async def parts() -> Any:
        for _ in range(size // 1000 + 1):
            yield b" " * 1000

    async with writing_client(services, Authorization=f"Bearer {key}") as client:
        for content in (b" " * size, parts()):
            answer = await client.post("/v1/write", content=content, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["type"]) == (413, "urn:tracewarden:body-too-large")


async def test_a_body_at_the_cap_passes() -> None:
    app = FastAPI()
    install_problems(app)
    app.add_middleware(BodyCap, max_bytes=4)

    @app.post("/")
    async def echo(body: Annotated[str, Body()]) -> str:
        return body

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.post("/", content=b'"ab"', headers={"Content-Type": "application/json"})).json() == "ab"
        assert (await client.post("/", content=b'"abc"', headers={"Content-Type": "application/json"})).status_code == 413


async def test_a_store_that_cannot_be_used_is_a_problem_without_its_words(services: Services) -> None:
    elsewhere = ClickHouseStore(services.store.url, database="never_made", threads=1)
    key = await new_key(services, "ours")
    async with client_of(replace(services, store=elsewhere), key) as client:
        answer = await client.get("/v1/spans")
    await elsewhere.close()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tracewarden:store-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "never_made" not in answer.text


def test_a_store_that_another_process_holds_names_the_fix() -> None:
    problem = store_problem(StoreBusyError("another tracewarden process uses it. Stop that process"))
    assert (problem.status_code, problem.type) == (503, "urn:tracewarden:store-busy")
    assert "Stop that process" in problem.detail


async def test_a_query_that_takes_too_long_is_stopped(services: Services) -> None:
    settings = services.settings.model_copy(update={"query": services.settings.query.model_copy(update={"timeout_s": 0.001})})
    slow = replace(services, settings=settings)
    await services.store.command(
        "INSERT INTO spans (project, time, received_at, started_at, trace_id, span_key, name)"
        " SELECT 'ours', now(), now(), now(), toString(number % 100), number, 'x' FROM numbers(300000)"
    )
    async with client_of(replace(slow, clock=_now), await new_key(slow, "ours")) as client:
        answer = await client.get("/v1/metrics/latency.p95", params={"group_by": "release,user,model"})
    assert (answer.status_code, answer.json()["type"]) == (504, "urn:tracewarden:query-timeout")
    assert "query.timeout_s" in answer.json()["detail"]


def _now() -> Any:
    return NOW + timedelta(days=2)


async def test_a_control_database_that_cannot_be_used_is_a_problem(services: Services, tmp_path: Path) -> None:
    broken = ControlDatabase(f"sqlite:///{tmp_path}/missing/folder/x.db")
    async with client_of(replace(services, control=broken), "tw_any") as client:
        answer = await client.get("/v1/metrics")
    await broken.close()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tracewarden:control-unavailable")


async def test_an_unexpected_fault_says_nothing_about_itself(services: Services) -> None:
    async def failing() -> None:
        raise RuntimeError("a secret of the inside")

    app = create_app(replace(services, watermark=failing))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"x-api-key": await new_key(services, "ours")}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        answer = await client.get("/v1/status")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:tracewarden:internal-error")
    assert "secret" not in answer.text


def test_host_names() -> None:
    assert host_name("http://Localhost:80/x") == "localhost"
    assert host_name("null") == ""
    assert host_name("http://[::1") == ""
    assert not is_loopback("")
    assert not Settings(data_dir=Path("x")).keys_required
