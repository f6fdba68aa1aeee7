"""Telling of a finished report: one message a channel, by the same outbox as alerts, in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from storage.deliveries import insert_delivery

REPORT = "report"


class ReportNotice(BaseModel):
    """What is told of a report. `lines`: what matters, most urgent first; `figures`: name → value in words; `links`: paths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["report"] = "report"
    id: str
    project: str
    start: datetime
    end: datetime
    created_at: datetime
    title: str
    headline: str
    alarming: bool
    lines: list[str]
    figures: dict[str, str]
    links: dict[str, str]

    @property
    def labels(self) -> dict[str, str]:
        """What silences match."""
        severity = "warning" if self.alarming else "info"
        return {"alertname": REPORT, "project": self.project, "kind": REPORT, "severity": severity}


def announce_report(connection: Connection, notice: ReportNotice, channels: Sequence[str], now: datetime) -> int:
    """Put a report into the outbox for each channel, at once and in a message of its own; how many rows were new."""
    return sum(insert_delivery(connection, _row(notice, channel, now)) for channel in dict.fromkeys(channels))


def _row(notice: ReportNotice, channel: str, now: datetime) -> dict[str, object]:
    return {
        "project": notice.project,
        "rule_id": REPORT,
        "fingerprint": notice.id,
        "episode": 1,
        "transition": "created",
        "channel": channel,
        "group_key": f"{notice.project}/{REPORT}/{notice.id}",
        "group_interval_s": 0.0,
        # It stands for itself: nothing has to have been told before, as it would before a "resolved".
        "firing": True,
        "notice": {**notice.model_dump(mode="json"), "labels": notice.labels},
        "state": "pending",
        "state_reason": "",
        "not_before": now,
        "attempts": 0,
        "created_at": now,
    }


def read_report_notice(stored: object) -> ReportNotice | None:
    """The notice of a row of the outbox, if it is one of a report."""
    if not isinstance(stored, dict) or stored.get("kind") != REPORT:
        return None
    return ReportNotice.model_validate({name: value for name, value in stored.items() if name != "labels"})
