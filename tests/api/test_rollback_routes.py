"""Targets, desired state and rollbacks over HTTP, with no trace store behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.sections import RollbackSettings
from storage.control import ControlDatabase, sqlite_url
from storage.targets import read_pollers
from tests.alerting.rollback_world import START, evidence
from tests.api.control_app import ControlApi

T = "/v1/targets/chat"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ControlApi]:
    # What differs between the databases is tested below the API.
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    served = ControlApi(control, tmp_path)
    yield served
    await served.parts.store.close()
    await control.close()


@pytest.fixture
async def client(api: ControlApi) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client() as client:
        yield client


async def ship(client: httpx.AsyncClient, *releases: str, target: str = T) -> None:
    """Register and promote, one after the other."""
    for release in releases:
        registered = await client.post(f"{target}/releases", json={"release": release, "content": {"prompt": release}})
        assert registered.status_code == 201, registered.text
        promoted = await client.post(f"{target}:promote", json={"release": release})
        assert promoted.status_code == 200, promoted.text


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["type"].removeprefix("urn:tracewarden:")


async def test_the_whole_way_from_a_release_to_its_rollback(api: ControlApi, client: httpx.AsyncClient) -> None:
    await ship(client, "v1", "v2")
    shown = await client.get(T)
    assert shown.headers["etag"] == '"3"'
    assert shown.json() == {
        "target": "chat",
        "generation": 3,
        "weights": {"v2": 100.0},
        "current": "v2",
        "previous": "v1",
        "last_known_good": None,
        "changed_at": "2026-03-01T12:00:00.000Z",
        "kind": "promotion",
        "executor": "desired",
        "webhook": None,
        "mode": None,
        "created_at": "2026-03-01T12:00:00.000Z",
    }
    begun = await client.post(f"{T}:rollback", json={"reason": "dearer", "expected_generation": 3})
    assert begun.status_code == 202
    where = begun.headers["location"]
    assert where == f"/v1/rollbacks/{begun.json()['id']}"
    api.world.traffic.carries(v1=30)
    for _ in range(3):
        await api.world.step(1)
    detail = (await client.get(where)).json()
    assert detail["state"] == "succeeded"
    assert [step["to_state"] for step in detail["transitions"]] == [
        "proposed",
        "executing",
        "propagating",
        "verifying",
        "succeeded",
    ]
    assert (await client.get("/v1/desired/chat")).json()["weights"] == {"v1": 100.0}
    lines = (await client.get("/v1/audit", params={"subject": "target:chat"})).json()["lines"]
    assert [line["action"] for line in lines][:2] == ["target.rollback", "target.promote"]
    assert (await client.get(f"{where}/audit")).json()["lines"][0]["action"] == "rollback.end"


async def test_targets_are_made_changed_and_listed(client: httpx.AsyncClient) -> None:
    made = await client.put(T, json={})
    assert (made.status_code, made.json()["weights"], made.headers["etag"]) == (201, {}, '"1"')
    changed = await client.put(T, json={"executor": "webhook", "webhook": "gate", "mode": "approve"})
    assert (changed.status_code, changed.json()["mode"], changed.headers["etag"]) == (200, "approve", '"1"')
    assert problem(await client.put(T, json={"executor": "webhook", "webhook": "nope"})) == (422, "invalid-executor")
    assert problem(await client.put(T, json={"webhook": "gate"})) == (422, "invalid-executor")
    assert problem(await client.put(T, json={"colour": "red"})) == (422, "invalid-request")
    await client.put("/v1/targets/a.b-c_1", json={})
    assert [target["target"] for target in (await client.get("/v1/targets")).json()["targets"]] == ["a.b-c_1", "chat"]


async def test_a_release_never_changes(client: httpx.AsyncClient) -> None:
    body = {"release": "v1", "content": {"a": 1, "b": [1, 2]}}
    assert (await client.post(f"{T}/releases", json=body)).status_code == 201
    again = await client.post(f"{T}/releases", json={"release": "v1", "content": {"b": [1, 2], "a": 1}})
    assert again.status_code == 200
    assert again.json()["content"] == {"a": 1, "b": [1, 2]}
    other = await client.post(f"{T}/releases", json={"release": "v1", "content": {"a": 2}})
    assert problem(other) == (409, "release-differs")
    assert "register the new content under a new name" in other.json()["detail"]
    assert len((await client.get(f"{T}/releases")).json()["releases"]) == 1


async def test_a_canary_is_a_small_weight(client: httpx.AsyncClient) -> None:
    await ship(client, "v1")
    await client.post(f"{T}/releases", json={"release": "v2"})
    canary = await client.post(f"{T}:promote", json={"release": "v2", "weight": 5})
    assert canary.json()["weights"] == {"v1": 95.0, "v2": 5.0}
    wider = await client.post(f"{T}:promote", json={"release": "v2", "weight": 50}, headers={"If-Match": '"3"'})
    assert (wider.json()["weights"], wider.json()["previous"], wider.json()["generation"]) == ({"v1": 50, "v2": 50}, "v1", 4)
    late = await client.post(f"{T}:promote", json={"release": "v2"}, headers={"If-Match": '"3"'})
    assert problem(late) == (412, "generation-changed")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"release": "v9"}, (422, "unknown-release")),
        ({"release": "v1", "weight": 0}, (422, "invalid-request")),
        ({"release": "v1", "weight": 101}, (422, "invalid-request")),
        ({"release": "v1", "weight": 30}, (422, "invalid-weight")),
        ({"release": "../v1"}, (422, "invalid-request")),
        ({"weight": 30}, (422, "invalid-request")),
        ({"release": "v1", "expected_generation": 7}, (412, "generation-changed")),
    ],
)
async def test_a_promotion_that_cannot_be_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    await client.post(f"{T}/releases", json={"release": "v1"})
    assert problem(await client.post(f"{T}:promote", json=body)) == expected


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"reason": "r", "to": "v9"}, {}, (422, "unknown-release")),
        ({"reason": "r", "to": "v2"}, {}, (409, "already-current")),
        ({"reason": "r", "expected_generation": 2}, {}, (412, "generation-changed")),
        ({"reason": "r"}, {"If-Match": '"2"'}, (412, "generation-changed")),
        ({"reason": "r", "expected_generation": 3}, {"If-Match": '"2"'}, (422, "invalid-request")),
        ({"reason": "r"}, {"If-Match": "three"}, (400, "bad-if-match")),
        ({"reason": "r", "evidence_id": "al_0"}, {}, (422, "unknown-evidence")),
        ({}, {}, (422, "invalid-request")),
        ({"reason": "r", "force": True}, {}, (422, "invalid-request")),
        ({"reason": "a\x00b"}, {}, (422, "invalid-request")),
        ({"reason": ""}, {}, (422, "invalid-request")),
        ({"reason": "r" * 2001}, {}, (422, "invalid-request")),
    ],
)
async def test_a_rollback_that_must_not_be_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str], expected: tuple[int, str]
) -> None:
    await ship(client, "v1", "v2")
    assert problem(await client.post(f"{T}:rollback", json=body, headers=headers)) == expected
    assert (await client.get(T)).json()["generation"] == 3


async def test_an_idempotency_key_returns_the_same_rollback(client: httpx.AsyncClient) -> None:
    await ship(client, "v1", "v2")
    headers = {"Idempotency-Key": "deploy-17"}
    first = await client.post(f"{T}:rollback", json={"reason": "r", "expected_generation": 3}, headers=headers)
    again = await client.post(f"{T}:rollback", json={"reason": "r", "expected_generation": 3}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await client.post(f"{T}:rollback", json={"reason": "other"}, headers=headers)
    assert problem(other) == (422, "idempotency-conflict")


async def test_of_twenty_requests_one_wins(client: httpx.AsyncClient) -> None:
    await ship(client, "v1", "v2")
    answers = await asyncio.gather(
        *(client.post(f"{T}:rollback", json={"reason": f"no. {n}", "expected_generation": 3}) for n in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [202] + [412] * 19


async def test_a_dry_run_is_recorded_and_changes_nothing(client: httpx.AsyncClient) -> None:
    await ship(client, "v1", "v2")
    dry = await client.post(f"{T}:rollback", json={"reason": "r", "dry_run": True})
    assert (dry.status_code, dry.json()["state"]) == (200, "dry_run")
    assert (await client.get(T)).json()["generation"] == 3
    listed = (await client.get("/v1/rollbacks", params={"state": "dry_run", "target": "chat"})).json()
    assert [rollback["id"] for rollback in listed["rollbacks"]] == [dry.json()["id"]]
    assert listed["next"] is None


async def test_rollbacks_are_listed_by_page(client: httpx.AsyncClient) -> None:
    await ship(client, "v1", "v2")
    for number in range(5):
        await client.post(f"{T}:rollback", json={"reason": f"no. {number}", "dry_run": True})
    seen: list[str] = []
    following: str | None = None
    while True:
        page = (await client.get("/v1/rollbacks", params={"limit": 2} | ({"before": following} if following else {}))).json()
        seen += [rollback["id"] for rollback in page["rollbacks"]]
        following = page["next"]
        if following is None:
            break
    assert len(seen) == len(set(seen)) == 5


async def proposed(api: ControlApi) -> str:
    """A rollback that a rule asked for and that awaits approval."""
    await api.world.promoted("v1", "v2")
    strict = api.world.controller(RollbackSettings(mode="approve"))
    rollback = await strict.propose(
        "default",
        "chat",
        to=None,
        reason="58 % dearer",
        mode="auto",
        actor="rule:cost",
        evidence=evidence(),
        evidence_id="al_1",
        expected_generation=3,
        idempotency_key="cost/1",
    )
    return f"/v1/rollbacks/{rollback.id}"


async def test_a_person_approves(api: ControlApi, client: httpx.AsyncClient) -> None:
    where = await proposed(api)
    shown = (await client.get(where)).json()
    assert (shown["state"], shown["evidence"]["effect"], shown["automatic"]) == ("awaiting_approval", 0.58, True)
    approved = await client.post(f"{where}:approve")
    assert (approved.status_code, approved.json()["state"], approved.json()["approved_by"]) == (202, "executing", "anonymous")
    assert problem(await client.post(f"{where}:approve")) == (409, "not-awaiting-approval")
    assert problem(await client.post(f"{where}:abort", json={"reason": "late"})) == (409, "not-abortable")


async def test_a_person_aborts(api: ControlApi, client: httpx.AsyncClient) -> None:
    where = await proposed(api)
    assert problem(await client.post(f"{where}:abort", json={})) == (422, "invalid-request")
    aborted = await client.post(f"{where}:abort", json={"reason": "a load test"})
    assert (aborted.status_code, aborted.json()["state"]) == (200, "aborted")


async def test_gateways_poll_with_the_etag_they_serve(api: ControlApi, client: httpx.AsyncClient) -> None:
    await ship(client, "v1")
    first = await client.get("/v1/desired/chat")
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    same = await client.get("/v1/desired/chat", headers={"If-None-Match": '"2"', "X-Gateway-Id": "gw-1"})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"2"')
    found = await api.parts.control.read(lambda connection: read_pollers(connection, "default", "chat", START))
    assert [(poller.gateway, poller.generation) for poller in found] == [(":gw-1", 2)]
    assert (await client.get(T, headers={"If-None-Match": '"2"'})).status_code == 304


async def test_a_long_poll_is_woken_by_a_promotion(client: httpx.AsyncClient) -> None:
    await ship(client, "v1")
    waiting = asyncio.create_task(client.get("/v1/desired/chat?wait=60s", headers={"If-None-Match": '"2"'}))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await ship(client, "v2")
    answer = await asyncio.wait_for(waiting, 30)
    assert (answer.status_code, answer.headers["etag"], answer.json()["current"]) == (200, '"3"', "v2")


async def test_a_long_poll_ends_when_nothing_changes(client: httpx.AsyncClient) -> None:
    await ship(client, "v1")
    answer = await client.get("/v1/desired/chat?wait=50ms", headers={"If-None-Match": '"2"'})
    assert answer.status_code == 304
    assert problem(await client.get("/v1/desired/chat?wait=soon")) == (422, "invalid-request")


@pytest.mark.parametrize("name", ["a.b-c_1", "0", "A" * 128])
async def test_names_with_dots_and_dashes_work_before_a_colon(client: httpx.AsyncClient, name: str) -> None:
    await ship(client, "v1.0-rc.1", "v1.1", target=f"/v1/targets/{name}")
    begun = await client.post(f"/v1/targets/{name}:rollback", json={"reason": "r"})
    assert (begun.status_code, begun.json()["target"], begun.json()["to_release"]) == (202, name, "v1.0-rc.1")
    assert (await client.get(f"/v1/desired/{name}")).json()["current"] == "v1.0-rc.1"


@pytest.mark.parametrize("name", ["a%2Fb", "a%20b", "a:b", "A" * 129, "%C3%A4"])
async def test_other_names_are_refused(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.put(f"/v1/targets/{name}", json={})).status_code in (404, 405, 422)
    assert (await client.post(f"/v1/targets/{name}:promote", json={"release": "v1"})).status_code in (404, 405, 422)
    assert (await client.get(f"/v1/desired/{name}")).status_code in (404, 422)
    assert (await client.get("/v1/targets")).json() == {"targets": []}


async def test_what_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    for path in (T, f"{T}/releases", "/v1/desired/chat"):
        assert problem(await client.get(path)) == (404, "unknown-target")
    for path in ("/v1/rollbacks/rb_0", "/v1/rollbacks/rb_0/audit"):
        assert problem(await client.get(path)) == (404, "unknown-rollback")
    assert problem(await client.post(f"{T}:rollback", json={"reason": "r"})) == (404, "unknown-target")


async def test_a_project_sees_and_moves_only_its_own(api: ControlApi, client: httpx.AsyncClient) -> None:
    await ship(client, "v1", "v2")
    rollback = (await client.post(f"{T}:rollback", json={"reason": "r", "dry_run": True})).json()["id"]
    async with api.client(await api.key("desk", "read", "control")) as other:
        assert (await other.get("/v1/targets")).json() == {"targets": []}
        assert (await other.get("/v1/rollbacks")).json()["rollbacks"] == []
        assert (await other.get("/v1/audit")).json()["lines"] == []
        assert problem(await other.get(f"/v1/rollbacks/{rollback}")) == (404, "unknown-rollback")
        assert problem(await other.post(f"{T}:rollback", json={"reason": "r"})) == (404, "unknown-target")
        assert problem(await other.get("/v1/desired/chat")) == (404, "unknown-target")


async def test_writing_needs_the_scope_control(api: ControlApi) -> None:
    async with api.client(await api.key("desk", "read")) as reader:
        assert (await reader.get("/v1/targets")).status_code == 200
        assert (await reader.post(f"{T}:promote", json={"release": "v1"})).status_code == 403
        assert (await reader.post(f"{T}:rollback", json={"reason": "r"})).status_code == 403
        assert (await reader.post("/v1/rollbacks/rb_0:approve")).status_code == 403
    async with api.client(await api.key("desk", "ingest")) as sender:
        assert (await sender.get("/v1/desired/chat")).status_code == 403
