"""Alerts and rollbacks of the range, and what came of them."""

from __future__ import annotations

from sqlalchemy import Connection

from analyzers.report.data import AlertRow, Incidents, RollbackRow
from analyzers.report.figures import Ranges
from storage.alerts import AlertRow as StoredAlert
from storage.alerts import alerts_within
from storage.rollbacks import Rollback, rollbacks_within

LISTED = 50

OUTCOMES = {
    "dry_run": "not carried out: dry run, it only said what it would do",
    "awaiting_approval": "waits for a person to approve it",
    "executing": "is being carried out",
    "propagating": "is reaching the gateways",
    "verifying": "carried out; its effect is being proven",
    "succeeded": "proven: new spans carry the restored release and the metric recovered",
    "ineffective": "carried out, but the metric did not recover",
    "unverified": "carried out, but nothing proves its effect",
    "failed": "could not be carried out",
    "aborted": "ended before it was carried out",
}


def read_incidents(connection: Connection, project: str, ranges: Ranges) -> Incidents:
    """Every alert that was firing in the range, and every rollback begun in it, newest first."""
    alerts = alerts_within(connection, project, ranges.start, ranges.end)
    rollbacks = rollbacks_within(connection, project, ranges.start, ranges.end)
    return Incidents(
        alerts=[_alert(alert) for alert in alerts[:LISTED]],
        rollbacks=[_rollback(rollback) for rollback in rollbacks[:LISTED]],
        more_alerts=max(0, len(alerts) - LISTED),
        more_rollbacks=max(0, len(rollbacks) - LISTED),
    )


def _alert(alert: StoredAlert) -> AlertRow:
    return AlertRow(
        id=alert.id,
        rule=alert.rule_name,
        kind=alert.kind,
        severity=alert.severity,
        target=alert.target,
        title=str(alert.notice.get("title", alert.rule_name)),
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        reason=alert.reason,
        rollback=alert.rollback,
    )


def _rollback(rollback: Rollback) -> RollbackRow:
    return RollbackRow(
        id=rollback.id,
        target=rollback.target,
        from_release=rollback.from_release,
        to_release=rollback.to_release,
        state=rollback.state,
        outcome=f"{OUTCOMES.get(rollback.state, rollback.state)} ({rollback.state_reason})",
        automatic=rollback.automatic,
        actor=rollback.actor,
        created_at=rollback.created_at,
        finished_at=rollback.finished_at,
    )
