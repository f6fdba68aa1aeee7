"""The webhook executor against a real receiver on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from alerting.executors import EXECUTORS, ExecutionError, Order, build_executors
from alerting.executors.webhook import WebhookExecutor
from alerting.http import GuardedClient
from schemas.sections import WebhookChannel
from tests.alerting.receiver import receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ORDER = Order("rb_1", "default", "chat", "v2", "v1", 4, "gate")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient([ip_network("127.0.0.0/8")], 5) as opened:
        yield opened


def executor(url: str, client: GuardedClient) -> WebhookExecutor:
    return WebhookExecutor([WebhookChannel(name="gate", url=url, secret=SecretStr(SECRET))], client, now)


async def test_the_order_is_signed_and_keeps_its_id_over_retries(client: GuardedClient) -> None:
    async with receiver((503, {}), (204, {})) as gate:
        hook = executor(gate.url, client)
        with pytest.raises(ExecutionError, match="webhook gate answered 503: 2xx is needed") as caught:
            await hook.execute(ORDER)
        assert not caught.value.permanent
        await hook.execute(ORDER)
    assert [sent.headers["webhook-id"] for sent in gate.received] == ["rb_1", "rb_1"]
    sent = gate.received[-1]
    Webhook(SECRET).verify(sent.body, sent.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(sent.body.replace(b"v1", b"v9"), sent.headers)
    assert json.loads(sent.body) == {
        "type": "rollback.execute",
        "rollback_id": "rb_1",
        "project": "default",
        "target": "chat",
        "from": "v2",
        "to": "v1",
        "generation": 4,
    }


@pytest.mark.parametrize("status", [301, 400, 500])
async def test_whatever_is_not_2xx_is_a_failure(client: GuardedClient, status: int) -> None:
    async with receiver((status, {"location": "http://127.0.0.1/"})) as gate:
        with pytest.raises(ExecutionError, match=str(status)):
            await executor(gate.url, client).execute(ORDER)
    assert len(gate.received) == 1


async def test_no_answer_can_be_tried_again(client: GuardedClient) -> None:
    async with receiver() as gate:
        url = gate.url
    with pytest.raises(ExecutionError, match="no answer from the webhook") as caught:
        await executor(url, client).execute(ORDER)
    assert not caught.value.permanent


async def test_an_address_inside_is_refused_for_good() -> None:
    async with receiver() as gate, GuardedClient() as strict:
        with pytest.raises(ExecutionError, match=r"outgoing\.allowed_networks") as caught:
            await executor(gate.url, strict).execute(ORDER)
    assert caught.value.permanent
    assert gate.received == []


async def test_a_webhook_that_was_removed_is_named(client: GuardedClient) -> None:
    with pytest.raises(ExecutionError, match="add it there") as caught:
        await WebhookExecutor([], client, now).execute(ORDER)
    assert caught.value.permanent


async def test_every_executor_is_built(client: GuardedClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    webhooks = [WebhookChannel(name="gate", url="https://gate.example/hook", secret_file=secret)]
    built = build_executors(webhooks, client, now)
    assert tuple(built) == EXECUTORS
    await built["desired"].execute(ORDER)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_é"])
async def test_a_secret_that_cannot_sign_is_named_at_the_start(client: GuardedClient, secret: str) -> None:
    webhook = WebhookChannel(name="gate", url="https://gate.example/hook", secret=SecretStr(secret))
    with pytest.raises(ValueError, match="secret of webhook gate is not"):
        WebhookExecutor([webhook], client, now)
