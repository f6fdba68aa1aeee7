"""Reports in the outbox and on the channels: golden payloads, a message of their own, once, signed, held by silences."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert
from standardwebhooks.webhooks import Webhook

from alerting.dispatch import Dispatcher
from alerting.http import GuardedClient
from alerting.notifiers import Envelope, build_endpoints, slack, webhook
from alerting.outbox import claim_message
from alerting.reports import ReportNotice, announce_report
from schemas.control.core import projects
from schemas.sections import Channel, SlackChannel, WebhookChannel
from storage.control import ControlDatabase, sqlite_url
from storage.deliveries import list_deliveries, sync_channels
from storage.silences import insert_silence, new_silence
from tests.alerting.receiver import receiver

GOLDEN = Path(__file__).parent / "golden"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PUBLIC = "https://tracewarden.example"
NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)


def notice(number: int = 1, **changed: Any) -> ReportNotice:
    """A report of one week."""
    report = f"rp_{number:020x}"
    given: dict[str, Any] = {
        "id": report,
        "project": "default",
        "start": NOW - timedelta(days=7, hours=8),
        "end": NOW - timedelta(hours=8),
        "created_at": NOW,
        "title": "default: 2 Mar to 8 Mar 2026",
        "headline": "Error rate rose from 1 % to 3.2 % – and 1 more matter to look at.",
        "alarming": True,
        "lines": ["Look: Error rate rose from 1 % to 3.2 %.", "Note: <!channel> *bold* & <https://evil.example|x>"],
        "figures": {"Requests": "12,345 (+4 %, 95 %: −2 to +9 %)", "Cost": "$12.30 (+3 %)"},
        "links": {"report": f"/v1/reports/{report}.html", "json": f"/v1/reports/{report}.json"},
        **changed,
    }
    return ReportNotice(**given)


def envelope(report: ReportNotice) -> Envelope:
    return Envelope("msg_1", "ops", "default/report", NOW, (), report)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlDatabase]:
    found = ControlDatabase(sqlite_url(tmp_path))
    await found.migrate()
    await found.write(lambda connection: sync_channels(connection, {"ops": ("webhook", "a"), "team": ("slack", "b")}))
    yield found
    await found.close()


@pytest.mark.parametrize(("kind", "payload"), [("slack", slack.payload), ("webhook", webhook.payload)])
def test_payloads_are_the_golden_ones(kind: str, payload: Any) -> None:
    golden = GOLDEN / f"{kind}_report.json"
    assert payload(envelope(notice()), PUBLIC) == json.loads(golden.read_text())


def test_slack_keeps_its_limits_and_takes_no_orders() -> None:
    long = notice(lines=["<!here> " + "x" * 900] * 6, title="t" * 400, figures={f"f{n}": "y" * 900 for n in range(20)})
    body = slack.payload(envelope(long), None)
    text = json.dumps(body)
    assert "<!" not in text
    assert len(body["blocks"]) <= slack.MAX_BLOCKS
    assert len(text) <= slack.MAX_CHARACTERS
    for block in body["blocks"]:
        assert len(block.get("text", {}).get("text", "")) <= slack.MAX_SECTION
        assert len(block.get("fields", [])) <= 10


async def test_a_report_has_a_message_to_itself_on_each_channel(control: ControlDatabase) -> None:
    def announce(connection: Any) -> list[int]:
        return [announce_report(connection, notice(number), ("ops", "team", "ops"), NOW) for number in (1, 2, 1)]

    assert await control.write(announce) == [2, 2, 0]
    first = await control.write(lambda connection: claim_message(connection, NOW, "w", ["ops"]))
    assert first is not None
    assert (first.report, first.notices, len(first.rows)) == (notice(1), (), 1)
    second = await control.write(lambda connection: claim_message(connection, NOW, "w", ["ops"]))
    assert second is not None
    assert second.report == notice(2)


async def test_it_arrives_signed_and_once(control: ControlDatabase) -> None:
    async with receiver() as found, GuardedClient([ip_network("127.0.0.0/8")], timeout_s=5) as client:
        channels: list[Channel] = [
            WebhookChannel(name="ops", url=found.url, secret=SecretStr(SECRET)),
            SlackChannel(name="team", url=SecretStr(found.url)),
        ]
        now = datetime.now(UTC)
        dispatcher = Dispatcher(control, build_endpoints(channels, client, PUBLIC), lambda: now)
        await dispatcher.prepare()
        await control.write(lambda connection: announce_report(connection, notice(), ("ops", "team"), now))
        assert [await dispatcher.run_once() for _ in range(3)] == [True, True, False]
    signed = next(request for request in found.received if "webhook-signature" in request.headers)
    body = Webhook(SECRET).verify(signed.body, dict(signed.headers))
    assert body["type"] == "report.created"
    assert body["data"]["links"]["report"] == f"{PUBLIC}/v1/reports/{notice().id}.html"
    assert len(found.received) == 2
    listed = await control.read(lambda connection: list_deliveries(connection, "default"))
    assert {delivery.state for delivery in listed} == {"delivered"}


async def test_a_silence_holds_it_back(control: ControlDatabase) -> None:
    silence = new_silence("default", {"alertname": "report"}, NOW, NOW + timedelta(hours=1), "holidays", "ann", NOW)

    def prepare(connection: Any) -> None:
        if connection.execute(projects.select().where(projects.c.name == "default")).first() is None:
            connection.execute(insert(projects).values(name="default", created_at=NOW))
        insert_silence(connection, silence)
        announce_report(connection, notice(), ("ops",), NOW)

    await control.write(prepare)
    assert await control.write(lambda connection: claim_message(connection, NOW, "w", ["ops"])) is None
    later = NOW + timedelta(hours=2)
    assert await control.write(lambda connection: claim_message(connection, later, "w", ["ops"])) is not None
