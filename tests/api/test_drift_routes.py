"""The routes of embedding drift, on looks that were really made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.services import Services
from storage.audit import read_audit
from tests.analyzers.drift_world import MINUTE, SETTINGS, START, DriftWorld
from tests.api.read_fixtures import client_of, new_key

JSON = {"Content-Type": "application/json"}


class Front:
    """A watched stream of fifteen minutes that drifts in the last three, and a client with every right."""

    def __init__(self, world: DriftWorld, client: httpx.AsyncClient, reader: httpx.AsyncClient) -> None:
        self.world = world
        self.client = client
        self.reader = reader

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = await self.reader.get(path, params={name.rstrip("_"): value for name, value in parameters.items()})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, status: int, **body: Any) -> Any:
        sent = {name.rstrip("_"): value for name, value in body.items()}
        answer = await self.client.post("/v1/drift/references", json=sent)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def drift(services: Services) -> AsyncIterator[Front]:
    world = DriftWorld(services.store, services.control)
    await world.minutes(0, 12, release="v1")
    await world.minutes(12, 3, share_new=0.4, release="v2")
    await world.look_at(15)
    analysis = services.settings.analysis.model_copy(update={"drift": SETTINGS})
    parts = replace(
        services,
        settings=services.settings.model_copy(update={"analysis": analysis}),
        clock=lambda: world.now,
        watermark=world._watermark,
    )
    control, reader = await new_key(parts, "ours", "read", "control"), await new_key(parts, "ours", "read")
    async with client_of(parts, control) as client, client_of(parts, reader) as reading:
        yield Front(world, client, reading)
    await world.close()


def at(minute: float) -> str:
    return (START + minute * MINUTE).isoformat().replace("+00:00", "Z")


STREAM: dict[str, Any] = {"part": "prompt", "service": "assistant", "target": "bot"}


async def test_the_state_of_every_stream(drift: Front) -> None:
    answer = await drift.get("/v1/drift")
    first = next(one for one in answer["streams"] if not one["stream"]["release"])
    assert first["stream"] == {**STREAM, "release": "", "model": ""}
    assert (first["verdict"], first["scale"], first["stale"]) == ("drift", "1m", False)
    assert first["interval"][0] < first["effect"] < first["interval"][1]
    assert first["score"] > first["threshold"]
    assert first["differences"]["exemplars"][0]["text"].startswith("new:")
    assert first["differences"]["novel"][0]["likeness"] < first["novelty"]["likeness"] < first["novelty"]["likeness_then"]
    assert first["novelty"]["score"] > first["novelty"]["threshold"]
    assert first["novelty"]["units"] in (1, 2, 4)
    assert first["differences"]["clusters"][0]["share_now"] > 0.1
    assert {one["verdict"] for one in answer["streams"]} == {"drift", "no-data"}
    assert [one["stream"]["release"] for one in (await drift.get("/v1/drift", release="v1"))["streams"]] == ["v1"]
    assert (await drift.get("/v1/drift", part="query"))["streams"] == []
    drift.world.now += 2 * MINUTE
    assert (await drift.get("/v1/drift", release=""))["streams"][0]["stale"], "the looks have not followed yet"
    drift.world.now += 12 * 60 * MINUTE
    silent = (await drift.get("/v1/drift", release=""))["streams"][0]
    assert (silent["verdict"], silent["stale"]) == ("drift", True), "what was found is there for a day, however short the units"


async def test_the_metrics_read_the_same_looks(drift: Front) -> None:
    state = (await drift.get("/v1/drift", release=""))["streams"][0]
    for name in ("effect", "score"):
        found = await drift.get(f"/v1/metrics/drift.{name}", from_=at(14.5), to=at(15.5), release="", part="prompt")
        assert found["series"][0]["points"][0][1] == pytest.approx(state[name])


async def test_pin_list_and_retire_a_reference(drift: Front) -> None:
    (made,) = (await drift.post(201, **STREAM, from_=at(11), to=at(15)))["references"]
    assert (made["mode"], made["n"], made["from"], made["to"]) == ("pinned", 240, at(11)[:-1] + ".000Z", at(15)[:-1] + ".000Z")
    listed = (await drift.get("/v1/drift/references"))["references"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert len((await drift.get("/v1/drift/references", retired=True))["references"]) == 2
    await drift.world.minutes(15, 3, share_new=0.4)
    await drift.world.look_at(18)
    state = (await drift.get("/v1/drift", release=""))["streams"][0]
    assert (state["verdict"], state["reference"]) == ("no-drift", made["id"]), "the new mix is the reference now"
    gone = await drift.client.delete(f"/v1/drift/references/{made['id']}", headers=JSON)
    assert gone.status_code == 204
    assert (await drift.client.delete(f"/v1/drift/references/{made['id']}", headers=JSON)).status_code == 404
    await drift.world.minutes(18, 1, share_new=0.4)
    await drift.world.look_at(19)
    state = (await drift.get("/v1/drift", release=""))["streams"][0]
    assert state["verdict"] == "drift", "its initial reference counts again"
    entries = await drift.world.control.read(lambda connection: read_audit(connection, "ours", subject=made["id"]))
    assert {entry.action for entry in entries} == {"drift.reference.created", "drift.reference.retired"}


async def test_a_rolling_reference_is_made_of_the_latest_units_and_rolls(drift: Front) -> None:
    await drift.world.minutes(15, 6, share_new=0.4)
    await drift.world.look_at(21)
    (made,) = (await drift.post(201, **STREAM, mode="rolling"))["references"]
    assert (made["from"], made["to"]) == (at(15)[:-1] + ".000Z", at(21)[:-1] + ".000Z")
    await drift.world.minutes(21, 29, share_new=0.4)
    await drift.world.look_at(50)
    listed = [one for one in (await drift.get("/v1/drift/references"))["references"] if not one["stream"]["release"]]
    assert [(one["mode"], one["from"]) for one in listed] == [("rolling", at(43)[:-1] + ".000Z")]


async def test_compare_two_stretches_releases_and_a_reference(drift: Front) -> None:
    last: dict[str, Any] = {"from_": at(12), "to": at(15), **STREAM}
    differs = await drift.get("/v1/drift/compare", **last, baseline_from=at(1), baseline_to=at(12))
    assert (differs["verdict"], differs["n"], differs["n_baseline"]) == ("drift", 180, 660)
    assert differs["differences"]["exemplars"][0]["text"].startswith("new:")
    same = await drift.get("/v1/drift/compare", **STREAM, from_=at(7), to=at(12), baseline_from=at(1), baseline_to=at(7))
    assert same["verdict"] == "no-drift"
    assert same["effect"] < differs["effect"]
    release = await drift.get("/v1/drift/compare", **STREAM, from_=at(0), to=at(15), release="v2", baseline_release="v1")
    assert (release["verdict"], release["n"], release["n_baseline"]) == ("drift", 180, 720)
    known = (await drift.get("/v1/drift/references"))["references"][0]["id"]
    from_known = await drift.get("/v1/drift/compare", **last, reference=known)
    assert from_known["verdict"] == "drift"
    assert from_known["differences"]["novel"]
    assert differs["differences"]["novel"] == [], "two stretches have no topics to be unlike"


async def test_what_is_refused_names_the_fix(drift: Front) -> None:
    short = await drift.post(422, **STREAM, from_=at(1), to=at(3))
    assert "has 120 texts and needs 200" in short["detail"]
    assert "needs `from` and `to`" in (await drift.post(422, **STREAM))["errors"][0]["detail"]
    assert "no texts" in (await drift.post(422, **{**STREAM, "service": "other"}, from_=at(1), to=at(9)))["detail"]
    assert "use 1m" in (await drift.post(400, **STREAM, scale="1d", from_=at(1), to=at(9)))["detail"]
    compare = "/v1/drift/compare"
    assert "baseline_from" in (await drift.get(compare, 400, **STREAM, from_=at(1), to=at(9)))["detail"]
    empty = await drift.get(compare, 422, **STREAM, from_=at(100), to=at(109), baseline_from=at(1), baseline_to=at(9))
    assert empty["type"] == "urn:tracewarden:reference-too-small"
    assert (await drift.get(compare, 404, **STREAM, from_=at(1), to=at(9), reference="0" * 32))["detail"]
    drift.world.model.name = "topics@2/float32"
    await drift.world.minutes(15, 2)
    await drift.world.look_at(17)
    mixed = await drift.get(compare, 422, **STREAM, from_=at(15), to=at(17), baseline_from=at(1), baseline_to=at(9))
    assert mixed["type"] == "urn:tracewarden:embedders-differ"


async def test_rights_and_projects(drift: Front, services: Services) -> None:
    body = {**STREAM, "from": at(1), "to": at(9)}
    assert (await drift.reader.post("/v1/drift/references", json=body)).status_code == 403
    known = (await drift.get("/v1/drift/references"))["references"][0]["id"]
    async with client_of(services, await new_key(services, "theirs", "read", "control")) as theirs:
        assert (await theirs.get("/v1/drift")).json()["streams"] == []
        assert (await theirs.get("/v1/drift/references")).json()["references"] == []
        assert (await theirs.delete(f"/v1/drift/references/{known}", headers=JSON)).status_code == 404
        span = {"from": at(1), "to": at(9), **STREAM, "reference": known}
        assert (await theirs.get("/v1/drift/compare", params=span)).status_code == 404
