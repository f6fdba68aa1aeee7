"""Webhooks: the body of Alertmanager's version 4, signed as Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from alerting.http import GuardedClient
from alerting.notices import Notice
from alerting.notifiers.contract import Envelope, post
from alerting.reports import ReportNotice

# Alertmanager's own form of "not over".
NEVER = "0001-01-01T00:00:00Z"


class WebhookNotifier:
    """Posts signed JSON to one address."""

    def __init__(self, client: GuardedClient, url: str, secret: SecretStr, public_url: str | None) -> None:
        self._client = client
        self._url = url
        self._webhook = Webhook(secret.get_secret_value())
        self._public_url = public_url

    async def send(self, envelope: Envelope) -> None:
        """As `Notifier.send`."""
        body = json.dumps(payload(envelope, self._public_url), ensure_ascii=False, separators=(",", ":"))
        headers = {"content-type": "application/json", **self._signature(envelope, body)}
        await post(self._client, self._url, body.encode(), headers, envelope.sent_at)

    def _signature(self, envelope: Envelope, body: str) -> dict[str, str]:
        return {
            "webhook-id": envelope.id,
            "webhook-timestamp": str(int(envelope.sent_at.timestamp())),
            "webhook-signature": self._webhook.sign(envelope.id, envelope.sent_at, body),
        }


def payload(envelope: Envelope, public_url: str | None) -> dict[str, Any]:
    """The body of alerts: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; of a report: its own."""
    if envelope.report is not None:
        return report_payload(envelope.report, envelope.channel, public_url)
    alerts = [_alert(notice, public_url) for notice in envelope.notices]
    return {
        "version": "4",
        "groupKey": envelope.group_key,
        "truncatedAlerts": 0,
        "status": "firing" if any(notice.firing for notice in envelope.notices) else "resolved",
        "receiver": envelope.channel,
        "groupLabels": _common([{"alertname": notice.labels["alertname"]} for notice in envelope.notices]),
        "commonLabels": _common([notice.labels for notice in envelope.notices]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": public_url or "",
        "alerts": alerts,
    }


def report_payload(report: ReportNotice, channel: str, public_url: str | None) -> dict[str, Any]:
    """The body that tells of a report, in the form that Standard Webhooks recommends: type, timestamp, data."""
    return {
        "type": "report.created",
        "timestamp": _time(report.created_at),
        "data": {
            "id": report.id,
            "project": report.project,
            "from": _time(report.start),
            "to": _time(report.end),
            "title": report.title,
            "headline": report.headline,
            "alarming": report.alarming,
            "findings": report.lines,
            "figures": report.figures,
            "links": {name: absolute(path, public_url) for name, path in report.links.items()},
        },
        "receiver": channel,
        "externalURL": public_url or "",
    }


def _alert(notice: Notice, public_url: str | None) -> dict[str, Any]:
    links = {f"link_{name.replace(' ', '_')}": absolute(path, public_url) for name, path in notice.links.items()}
    annotations = {"title": notice.title, "transition": notice.transition, **notice.annotations, "summary": notice.summary}
    return {
        "status": "firing" if notice.firing else "resolved",
        "labels": notice.labels,
        "annotations": {**annotations, **links},
        "startsAt": _time(notice.starts_at),
        "endsAt": NEVER if notice.ends_at is None else _time(notice.ends_at),
        "generatorURL": absolute(next(iter(notice.links.values()), "/"), public_url),
        "fingerprint": notice.fingerprint,
    }


def absolute(path: str, public_url: str | None) -> str:
    """A link as people can open it; only its path where alerting.public_url is not set."""
    return (public_url or "").rstrip("/") + path


def _common(maps: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = maps
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
