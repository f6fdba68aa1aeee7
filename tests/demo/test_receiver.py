"""What stands in for Slack and a signed webhook."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from demo.receiver import Receiver, slack_problem

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests").decode()


def client(file: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(Receiver(SECRET, file).app()), base_url="http://receiver")


def signed(body: str, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


async def test_a_signed_message_is_kept_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "received.jsonl"
    async with client(file) as http:
        answer = await http.post("/webhook", content='{"status":"firing"}', headers=signed('{"status":"firing"}'))
        shown = (await http.get("/received")).json()["received"]
    assert answer.status_code == 204
    assert [(one["channel"], one["verified"], one["problem"], one["body"]) for one in shown] == [
        ("webhook", True, None, {"status": "firing"})
    ]
    assert json.loads(file.read_text()) == shown[0]


async def test_a_message_signed_with_another_secret_is_refused_and_shown_as_such(tmp_path: Path) -> None:
    other = "whsec_" + base64.b64encode(b"somebody else's").decode()
    async with client(tmp_path / "received.jsonl") as http:
        answer = await http.post("/webhook", content="{}", headers=signed("{}", other))
        shown = (await http.get("/received")).json()["received"]
    assert answer.status_code == 401
    assert (shown[0]["verified"], shown[0]["problem"]) == (False, "No matching signature found")


async def test_slack_answers_as_slack_does(tmp_path: Path) -> None:
    async with client(tmp_path / "received.jsonl") as http:
        good = await http.post("/slack/services/T/B/x", json={"text": "hello"})
        bad = await http.post("/slack/services/T/B/x", json={})
    assert (good.status_code, good.text) == (200, "ok")
    assert (bad.status_code, bad.text) == (400, "no_text")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"not json", "invalid_payload"),
        (b"[]", "invalid_payload"),
        (json.dumps({"blocks": [{"type": "divider"}] * 51}).encode(), "invalid_blocks"),
        (json.dumps({"blocks": [{"type": "section", "text": {"text": "x" * 3_001}}]}).encode(), "invalid_blocks"),
        (json.dumps({"blocks": [{"type": "divider"}]}).encode(), None),
    ],
)
def test_limits_of_slack(body: bytes, problem: str | None) -> None:
    assert slack_problem(body) == problem
