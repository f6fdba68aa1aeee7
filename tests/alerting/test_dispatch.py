"""The dispatcher from the outbox to a real receiver, on both control databases."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import ip_network

from pydantic import SecretStr
from sqlalchemy import Connection

from alerting.dispatch import Dispatcher
from alerting.http import GuardedClient
from alerting.notifiers import build_endpoints
from alerting.outbox import AT_ONCE, enqueue
from schemas.sections import Channel, SlackChannel, WebhookChannel
from storage.alerts import Place
from storage.control import ControlDatabase
from storage.deliveries import list_channels, list_deliveries
from tests.alerting.notices import NOW, notice
from tests.alerting.receiver import Receiver, receiver
from tests.alerting.test_notifiers import SECRET


class Office:
    """A dispatcher with a clock, a webhook and a Slack channel at one receiver."""

    def __init__(self, control: ControlDatabase, client: GuardedClient, found: Receiver) -> None:
        self.now = NOW
        self.control = control
        self.counted: list[tuple[str, str]] = []
        channels: list[Channel] = [
            WebhookChannel(name="hook", url=found.url, secret=SecretStr(SECRET)),
            SlackChannel(name="slack", url=SecretStr(found.url)),
        ]
        endpoints = build_endpoints(channels, client, None)
        self.dispatcher = Dispatcher(control, endpoints, lambda: self.now, lambda *seen: self.counted.append(seen))

    async def put(self, fingerprint: str, *, firing: bool, channel: str, rule_id: str = "rule") -> None:
        def work(connection: Connection) -> None:
            told = notice(firing=firing, fingerprint=fingerprint)
            place = Place("default", rule_id, fingerprint)
            enqueue(connection, place, 1, told, channels=[channel], grouping=AT_ONCE, now=self.now)

        await self.control.write(work)

    async def drain(self) -> int:
        sent = 0
        while await self.dispatcher.run_once():
            sent += 1
        return sent

    async def states(self) -> list[str]:
        rows = await self.control.read(lambda connection: list_deliveries(connection, "default"))
        return [str(row.state) for row in rows][::-1]


def client() -> GuardedClient:
    return GuardedClient([ip_network("127.0.0.0/8")], timeout_s=5)


async def test_what_is_refused_now_arrives_later_in_order_under_one_id(control: ControlDatabase) -> None:
    async with receiver((500, {}), (429, {"retry-after": "60"})) as found, client() as http:
        office = Office(control, http, found)
        await office.dispatcher.prepare()
        await office.put("a", firing=True, channel="hook")
        await office.put("a", firing=False, channel="hook")
        assert await office.drain() == 1
        office.now += timedelta(seconds=5)
        assert await office.drain() == 1
        office.now += timedelta(seconds=59)
        assert await office.drain() == 0
        office.now += timedelta(seconds=1)
        assert await office.drain() == 2
    assert await office.states() == ["delivered", "delivered"]
    ids = [request.headers["webhook-id"] for request in found.received]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert [json.loads(request.body)["status"] for request in found.received] == ["firing"] * 3 + ["resolved"]
    assert [outcome for _, outcome in office.counted] == ["retried", "retried", "delivered", "delivered"]


async def test_slack_gets_one_message_a_second(control: ControlDatabase) -> None:
    async with receiver() as found, client() as http:
        office = Office(control, http, found)
        await office.dispatcher.prepare()
        await office.put("a", firing=True, channel="slack")
        await office.put("b", firing=True, channel="slack", rule_id="another")
        assert await office.drain() == 1
        office.now += timedelta(seconds=1)
        assert await office.drain() == 1


async def test_a_gone_endpoint_is_disabled_and_its_neighbours_go_on(control: ControlDatabase) -> None:
    async with receiver((410, {})) as found, client() as http:
        office = Office(control, http, found)
        await office.dispatcher.prepare()
        await office.put("a", firing=True, channel="hook")
        await office.drain()
        await office.put("b", firing=True, channel="hook")
        await office.put("b", firing=True, channel="slack")
        assert await office.drain() == 1
    assert await office.states() == ["dead", "pending", "delivered"]
    rows = {row.name: row for row in await control.read(list_channels)}
    assert "410" in (rows["hook"].disabled_reason or "")
    assert rows["slack"].disabled_at is None


async def test_two_dispatchers_share_the_work(control: ControlDatabase) -> None:
    async with receiver() as found, client() as http:
        one, two = Office(control, http, found), Office(control, http, found)
        await one.dispatcher.prepare()
        for name in "abcd":
            await one.put(name, firing=True, channel="hook", rule_id=name)
        claims = [await office.dispatcher.claim() for office in (one, two, one, two, one)]
        taken = [row.fingerprint for claim in claims if claim is not None for row in claim.rows]
        assert sorted(taken) == ["a", "b", "c", "d"]
        assert claims[-1] is None
