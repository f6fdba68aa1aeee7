"""Rules, alerts, silences and deliveries over HTTP, on a real store and control database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, insert

from alerting.outbox import claim_message, settle
from api.app import create_app
from api.services import Services
from schemas.control.core import projects
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.keys import create_key
from tests.alerting.engine_world import GUARD, World, world_settings

PEPPER = SecretStr("pepper")
SLOW: dict[str, Any] = {
    "kind": "threshold",
    "name": "slow",
    "metric": "latency.p50",
    "threshold": 100,
    "for": "0s",
    "window": "1m",
}


class Api:
    """The application on a world, with a client."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = create_app(
            Services(
                settings=world.settings,
                store=world.store,
                control=world.control,
                rollbacks=world.rollbacks,
                pepper=PEPPER,
                watermark=world.watermark,
                clock=world.clock,
                version="test",
            )
        )

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        headers = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 40000))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers)

    async def key(self, project: str, *scopes: str) -> str:
        def create(connection: Connection) -> str:
            return create_key(connection, project, scopes, "k", PEPPER, self.world.now).key

        return await self.world.control.write(create)


@pytest.fixture
async def api(store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[Api]:
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    world = World(store, control, world_settings(tmp_path, GUARD))
    await world.prepare()
    yield Api(world)
    await control.close()


async def regression(api: Api) -> None:
    """v2 is worse than v1 and was found."""
    world = api.world
    await world.release("v1")
    await world.traffic("v1", 30)
    await world.release("v2")
    await world.traffic("v2", 20, tokens=320)
    world.now += timedelta(seconds=3)


async def test_rules_are_created_changed_and_deleted(api: Api) -> None:
    async with api.client() as client:
        created = await client.post("/v1/rules", json=SLOW)
        assert (created.status_code, created.headers["location"]) == (201, "/v1/rules/slow")
        assert (await client.post("/v1/rules", json=SLOW)).status_code == 409
        changed = await client.put("/v1/rules/slow", json={**SLOW, "threshold": 200})
        assert changed.json()["revision"] != created.json()["revision"]
        assert changed.json()["rule"]["threshold"] == 200
        assert (await client.put("/v1/rules/slow", json={**SLOW, "name": "other"})).status_code == 422
        names = [entry["rule"]["name"] for entry in (await client.get("/v1/rules")).json()["rules"]]
        assert names == ["guard", "slow"]
        assert (await client.delete("/v1/rules/slow")).status_code == 204
        assert (await client.get("/v1/rules/slow")).status_code == 404
        lines = (await client.get("/v1/audit?subject=rule:slow")).json()["lines"]
        assert [line["action"] for line in lines] == ["rule.delete", "rule.update", "rule.create"]


async def test_rules_of_the_file_are_read_only(api: Api) -> None:
    async with api.client() as client:
        shown = (await client.get("/v1/rules/guard")).json()
        assert (shown["origin"], shown["rule"]["alpha"]) == ("file", 0.001)
        assert (await client.put("/v1/rules/guard", json=shown["rule"])).status_code == 409
        refused = await client.delete("/v1/rules/guard")
        assert refused.status_code == 409
        assert "rules file" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"metric": "latency.p51"}, "did you mean"),
        ({"channels": ["pager"]}, "alerting.channels"),
        ({"windw": "5m"}, "windw"),
        ({"kind": "sometimes"}, "kind"),
        ({"for": "5"}, "duration"),
    ],
)
async def test_bad_rules_are_refused_with_the_fix(api: Api, change: dict[str, Any], fix: str) -> None:
    async with api.client() as client:
        answer = await client.post("/v1/rules", json={**SLOW, **change})
    assert answer.status_code == 422
    assert fix in answer.text


async def test_each_mistake_of_a_rule_is_pointed_at(api: Api) -> None:
    wrong = {"name": "slow", "kind": "threshold", "metric": "cost.us", "threshold": "high", "chanels": ["ops"]}
    async with api.client() as client:
        posted = (await client.post("/v1/rules", json=wrong)).json()
        tested = (await client.post("/v1/rules:test", json={"rule": wrong})).json()
        channel = (await client.post("/v1/rules:test", json={"rule": {**SLOW, "channels": ["pager"]}})).json()
        nameless = (await client.post("/v1/rules", json={"name": "slow"})).json()
        typo = (await client.post("/v1/rules:test", json={"rul": SLOW})).json()
        bodiless = (await client.post("/v1/rules:test")).json()
    assert posted["errors"] == [
        {"pointer": "#/metric", "detail": "there is no metric 'cost.us': did you mean cost.usd or cost.unpriced?"},
        {"pointer": "#/threshold", "detail": "must be a number"},
        {"pointer": "#/chanels", "detail": "no such setting: did you mean channels?"},
    ]
    assert [entry["pointer"] for entry in tested["errors"]] == ["#/rule/metric", "#/rule/threshold", "#/rule/chanels"]
    assert [entry["pointer"] for entry in channel["errors"]] == ["#/rule/channels/0"]
    assert nameless["detail"] == "kind: kind must be threshold or regression"
    assert bodiless["errors"] == [{"pointer": "#", "detail": "is required: send a JSON object"}]
    assert typo["errors"] == [{"pointer": "#/rul", "detail": "there is no member 'rul': did you mean rule?"}]


async def test_a_rule_is_tested_without_storing_anything(api: Api) -> None:
    await regression(api)
    async with api.client() as client:
        guard = (await client.post("/v1/rules:test", json={"name": "guard"})).json()
        slow = (await client.post("/v1/rules:test", json={"rule": SLOW})).json()
        assert (await client.post("/v1/rules:test", json={})).status_code == 422
        assert (await client.post("/v1/rules:test", json={"name": "none"})).status_code == 404
        api.world.blind = True
        blind = (await client.post("/v1/rules:test", json={"rule": SLOW})).json()
    (finding,) = guard["findings"]
    assert (finding["signal"], finding["would"], finding["rollback"]) == ("breach", "firing", True)
    assert finding["evidence"][0]["metric"] == "tokens.output"
    assert slow["findings"][0]["would"] == "firing"
    assert (blind["at"], blind["findings"]) == (None, [])
    assert await api.world.alerts() == []


async def test_a_rule_is_replayed_over_history(api: Api) -> None:
    start = api.world.now
    await regression(api)
    span = {"from": start.isoformat(), "to": api.world.now.isoformat()}
    async with api.client() as client:
        guard = (await client.post("/v1/rules:backtest", json={"name": "guard", **span})).json()
        quiet = (await client.post("/v1/rules:backtest", json={"rule": {**SLOW, "threshold": 1e6}, **span})).json()
        reverse = await client.post("/v1/rules:backtest", json={"rule": SLOW, "from": span["to"], "to": span["from"]})
    assert guard["fired"] == 1
    assert guard["firings"][0]["labels"]["release"] == "v2"
    assert 10 <= guard["evaluations"] <= 40
    assert (quiet["fired"], quiet["evaluations"] > 1) == (0, True)
    assert reverse.status_code == 400


async def test_alerts_show_history_evidence_and_deliveries(api: Api) -> None:
    await regression(api)
    await api.world.engine.run_once()
    async with api.client() as client:
        (alert,) = (await client.get("/v1/alerts?state=firing")).json()["alerts"]
        detail = (await client.get(f"/v1/alerts/{alert['id']}")).json()
        assert (await client.get("/v1/alerts?state=resolved")).json()["alerts"] == []
        assert (await client.get("/v1/alerts/al_0")).status_code == 404
        page = (await client.get(f"/v1/alerts?before={alert['id']}")).json()
    assert (alert["rule"], alert["kind"], alert["rollback"]) == ("guard", "regression", "proposed")
    assert alert["evidence"][0]["n_candidate"] >= 30
    assert detail["standing"]["state"] == "firing"
    assert [step["transition"] for step in detail["transitions"]] == ["firing"]
    assert [delivery["transition"] for delivery in detail["deliveries"]] == ["firing"]
    assert page["alerts"] == []


async def test_dead_letters_are_listed_and_sent_again(api: Api) -> None:
    await regression(api)
    await api.world.engine.run_once()
    now = api.world.now

    def kill(connection: Connection) -> None:
        message = claim_message(connection, now, "w", ["ops"])
        assert message is not None
        settle(connection, message, "dead", "refused", now=now, again_at=None)

    await api.world.control.write(kill)
    async with api.client() as client:
        (dead,) = (await client.get("/v1/deliveries?state=dead")).json()["deliveries"]
        assert dead["reason"] == "refused"
        again = await client.post(f"/v1/deliveries/{dead['id']}:resend")
        assert [row["state"] for row in again.json()["deliveries"]] == ["pending"]
        assert (await client.post(f"/v1/deliveries/{dead['id']}:resend")).status_code == 409
        assert (await client.post("/v1/deliveries/999:resend")).status_code == 404
        assert (await client.get("/v1/channels")).json()["channels"][0]["name"] == "ops"
        assert (await client.post("/v1/channels/ops:enable")).status_code == 200
        assert (await client.post("/v1/channels/none:enable")).status_code == 404


async def test_silences_are_made_and_ended(api: Api) -> None:
    until = (api.world.now + timedelta(hours=1)).isoformat()
    async with api.client() as client:
        made = await client.post("/v1/silences", json={"matchers": {"target": "assistant"}, "until": until})
        assert (made.status_code, made.json()["active"]) == (201, True)
        assert len((await client.get("/v1/silences")).json()["silences"]) == 1
        assert (await client.delete(f"/v1/silences/{made.json()['id']}")).status_code == 204
        assert (await client.get("/v1/silences")).json()["silences"] == []
        assert (await client.delete("/v1/silences/si_0")).status_code == 404
        past = {"matchers": {"a": "b"}, "until": "2020-01-01T00:00:00Z"}
        assert (await client.post("/v1/silences", json=past)).status_code == 422
        assert (await client.post("/v1/silences", json={"matchers": {}, "until": until})).status_code == 422


async def test_nothing_crosses_projects_and_scopes_hold(api: Api) -> None:
    await regression(api)
    await api.world.engine.run_once()
    await api.world.control.write(lambda c: c.execute(insert(projects).values(name="other", created_at=api.world.now)) and None)
    reader, stranger = await api.key("default", "read"), await api.key("other", "read", "control")
    async with api.client(reader) as own, api.client(stranger) as other:
        (alert,) = (await own.get("/v1/alerts")).json()["alerts"]
        (delivery, *_) = (await own.get("/v1/deliveries")).json()["deliveries"]
        assert (await own.post("/v1/rules", json=SLOW)).status_code == 403
        assert (await other.get("/v1/alerts")).json()["alerts"] == []
        assert (await other.get(f"/v1/alerts/{alert['id']}")).status_code == 404
        assert (await other.get("/v1/deliveries")).json()["deliveries"] == []
        assert (await other.post(f"/v1/deliveries/{delivery['id']}:resend")).status_code == 404
        assert (await other.post("/v1/rules", json=SLOW)).status_code == 201
        assert (await own.get("/v1/rules/slow")).status_code == 404
        assert (await other.post("/v1/rules:test", json={"name": "guard"})).json()["findings"] == []
