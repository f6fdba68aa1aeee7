"""One contract for every notifier, against a real HTTP server; golden payloads; Slack's limits and escaping."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from alerting.http import GuardedClient
from alerting.notices import Notice
from alerting.notifiers import Endpoint, EndpointGoneError, PermanentError, RetryableError, build_endpoints, slack, webhook
from alerting.notifiers.contract import retry_after
from alerting.notifiers.registry import BUILDERS
from schemas.sections import Channel, SlackChannel, WebhookChannel
from tests.alerting.notices import NOW, envelope, evidence, notice
from tests.alerting.receiver import receiver

GOLDEN = Path(__file__).parent / "golden"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PUBLIC = "https://tracewarden.example"


def channel(kind: str, url: str) -> Channel:
    """A channel of each kind that exists."""
    if kind == "slack":
        return SlackChannel(name="ops", url=SecretStr(url))
    return WebhookChannel(name="ops", url=url, secret=SecretStr(SECRET))


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient([ip_network("127.0.0.0/8")], timeout_s=5) as found:
        yield found


@pytest.fixture(params=list(BUILDERS))
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def endpoint(kind: str, url: str, client: GuardedClient) -> Endpoint:
    return build_endpoints([channel(kind, url)], client, PUBLIC)["ops"]


async def test_an_accepted_message_is_json_with_the_evidence(kind: str, client: GuardedClient) -> None:
    async with receiver() as found:
        await endpoint(kind, found.url, client).notifier.send(envelope())
    (request,) = found.received
    body = json.loads(request.body)
    assert request.headers["content-type"] == "application/json"
    assert isinstance(body, dict)
    text = request.body.decode()
    for shown in ("assistant", "v2", "v1", "+61 %", "45", "https://tracewarden.example/v1/alerts/al_1", "0af7651916cd43dd"):
        assert shown in text


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, PermanentError),
        (413, PermanentError),
        (302, PermanentError),
        (410, EndpointGoneError),
        (401, RetryableError),
        (404, RetryableError),
        (408, RetryableError),
        (429, RetryableError),
        (500, RetryableError),
        (503, RetryableError),
    ],
)
async def test_refusals_are_typed(kind: str, status: int, error: type[Exception], client: GuardedClient) -> None:
    async with receiver((status, {})) as found:
        with pytest.raises(error, match=str(status)):
            await endpoint(kind, found.url, client).notifier.send(envelope())


async def test_429_carries_the_time_to_wait(kind: str, client: GuardedClient) -> None:
    async with receiver((429, {"retry-after": "17"})) as found:
        with pytest.raises(RetryableError) as caught:
            await endpoint(kind, found.url, client).notifier.send(envelope())
    assert caught.value.retry_after == timedelta(seconds=17)


async def test_nobody_there_is_retryable(kind: str, client: GuardedClient) -> None:
    with pytest.raises(RetryableError, match="no answer"):
        await endpoint(kind, "http://127.0.0.1:1/", client).notifier.send(envelope())


async def test_a_private_address_is_permanent(kind: str) -> None:
    async with GuardedClient() as closed:
        with pytest.raises(PermanentError, match="allowed_networks"):
            await endpoint(kind, "http://127.0.0.1:1/", closed).notifier.send(envelope())


async def test_webhooks_verify_with_the_published_library(client: GuardedClient) -> None:
    async with receiver() as found:
        await endpoint("webhook", found.url, client).notifier.send(envelope(sent_at=datetime.now(UTC)))
    (request,) = found.received
    assert request.headers["webhook-id"] == "msg_1"
    assert Webhook(SECRET).verify(request.body, request.headers)["version"] == "4"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"firing", b"resolv"), request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(request.body, request.headers)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="channel ops"):
        build_endpoints([WebhookChannel(name="ops", url="https://a.example", secret=SecretStr(secret))], GuardedClient(), None)


@pytest.mark.parametrize("name", ["webhook", "slack"])
@pytest.mark.parametrize("firing", [True, False])
def test_payloads_are_as_in_the_golden_files(name: str, firing: bool) -> None:
    message = envelope(notice(firing=firing, items=[evidence(), evidence("errors.rate", 0.043)]))
    build = {"webhook": webhook.payload, "slack": slack.payload}[name]
    file = GOLDEN / f"{name}_{'firing' if firing else 'resolved'}.json"
    assert build(message, PUBLIC) == json.loads(file.read_text())


def test_the_message_of_a_rollback_says_what_it_was_about() -> None:
    told = notice(transition="succeeded", summary="82 of 82 spans begun since carry v1").model_copy(update={"kind": "rollback"})
    _, summary, about, _ = slack.alert_blocks(told, PUBLIC)
    assert summary["text"]["text"] == "82 of 82 spans begun since carry v1"
    assert about["text"]["text"] == (
        "It was about cost.usd +61 %, interval +41 % to +86 % (99.98 %), 45 requests of v2 against 612 of v1."
    )


def test_what_the_message_of_a_rollback_says_already_is_not_said_again() -> None:
    told = notice(transition="executed", summary=f"cost.usd: {evidence().reason}").model_copy(update={"kind": "rollback"})
    _, summary, context = slack.alert_blocks(told, PUBLIC)
    assert summary["text"]["text"] == "cost.usd: 61 % higher"
    assert context["type"] == "context"


def test_a_regression_is_told_in_a_sentence_and_a_table() -> None:
    items = [
        evidence(metric, effect).model_copy(update={"verdict": verdict, "allowed": allowed})
        for metric, effect, verdict, allowed in (
            ("cost.usd", 0.61, "worse", 0.22),
            ("latency", 0.5, "worse", 0.22),
            ("errors.rate", 0.043, "not_yet", 0.02),
        )
    ]
    _, opening, table, others, _ = slack.alert_blocks(notice(items=items), PUBLIC)
    assert opening["text"]["text"] == "Worse than v1 by more than is allowed: cost.usd +61 %, latency +50 %."
    assert table["fields"][-1]["text"] == "*Allowed*\n+22 %"
    assert others["text"]["text"].splitlines()[1:] == [
        "latency +50 %, interval +30 % to +75 % (99.98 %): worse too",
        "errors.rate +4.3 points, interval -15.7 points to +29.3 points (99.98 %): not certain",
    ]


def test_what_is_over_shows_no_figures_of_now() -> None:
    _, summary, about, _ = slack.alert_blocks(notice(firing=False, summary="v2 answered none of 39 requests"), PUBLIC)
    assert summary["text"]["text"] == "v2 answered none of 39 requests"
    assert about["text"]["text"].startswith("It was about cost.usd +61 %, interval +41 % to +86 %")


def test_a_rollback_that_needs_a_person_says_what_to_do() -> None:
    told = notice(transition="awaiting_approval").model_copy(
        update={"kind": "rollback", "annotations": {"next_step": "Approve with POST …", "actor": "rule:guard"}}
    )
    *_, asked, facts = slack.alert_blocks(told, PUBLIC)
    assert asked["text"]["text"] == "Approve with POST …"
    assert "asked for by rule:guard" in facts["elements"][0]["text"]


def test_a_group_with_one_firing_alert_fires() -> None:
    body = webhook.payload(envelope(notice(firing=False), notice(labels={"release": "v3"})), None)
    assert body["status"] == "firing"
    assert "release" not in body["commonLabels"]
    assert body["alerts"][0]["generatorURL"] == "/v1/alerts/al_1"


def texts(value: Any) -> list[str]:
    """Every text in blocks."""
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for item in value.values() for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


@given(st.lists(st.builds(str, st.text(max_size=4000)), min_size=1, max_size=10), st.integers(0, 8))
def test_slack_messages_stay_within_the_limits(summaries: list[str], comparisons: int) -> None:
    notices: list[Notice] = [
        notice(summary=text or "-", title=text[:300] or "-", items=[evidence()] * comparisons) for text in summaries
    ]
    body = slack.payload(envelope(*notices), PUBLIC)
    assert 1 <= len(body["blocks"]) <= 50
    assert len(json.dumps(body["blocks"], ensure_ascii=False)) <= 13_000
    for block in body["blocks"]:
        limit = 150 if block["type"] == "header" else 3000
        assert all(0 < len(text) <= limit for text in texts(block))
        assert len(block.get("fields", ())) <= 10
        assert len(block.get("elements", ())) <= 10


@given(st.text(max_size=200))
def test_nothing_from_outside_pings_or_links(text: str) -> None:
    hostile = f"<!channel> <@U1> <https://evil.example|safe> & {text}"
    body = slack.payload(envelope(notice(summary=hostile, title=hostile, items=[])), PUBLIC)
    allowed = [f"<{PUBLIC}/v1/"]
    for shown in [body["text"], *texts(body["blocks"])]:
        rest = shown
        for start in allowed:
            rest = rest.replace(start, "")
        assert "<" not in rest


@given(st.text(alphabet="&<>ab", max_size=60), st.integers(10, 50))
def test_escapes_are_never_cut(text: str, limit: int) -> None:
    found = slack.escape(text, limit)
    assert len(found) <= limit
    plain = found.removesuffix("…").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text.startswith(plain)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 60), ("5", 5), ("0", 1), ("999999", 3600), ("soon", 60), ("Sun, 01 Mar 2026 12:00:30 GMT", 30), ("-5", 60)],
)
def test_retry_after_is_read_within_bounds(value: str | None, seconds: int) -> None:
    assert retry_after(value, NOW) == timedelta(seconds=seconds)
