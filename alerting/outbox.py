"""The outbox: what has to be told is written in the transaction that made it true, and sent from there.

A notice is kept once for each (alert, episode, transition, channel). The rows of one alert and channel go out in order, so
"resolved" never comes before "firing", and never without it: it goes only to a channel whose last word was that the alert
fires. Messages may arrive twice when a process dies between sending and noting it; the message id tells.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from alerting.notices import Notice
from alerting.reports import ReportNotice, read_report_notice
from alerting.rollback_steps import Announcement
from storage.alerts import Place, find_alert, firing_alerts
from storage.deliveries import (
    Delivery,
    change_row,
    claim_rows,
    configured_channels,
    due_heads,
    insert_delivery,
    last_sent,
    list_deliveries,
    overtaken,
    receiver_believes_firing,
    resolves_later,
    rows_of_message,
    settle_rows,
    waiting_since,
    withheld_after,
)
from storage.rollbacks import Rollback
from storage.rules import list_rules
from storage.silences import holding, list_silences

CLAIM_FOR = timedelta(seconds=60)
# What is silenced or inhibited is looked at again this often: it may be over, and then nobody hears of it.
HELD_FOR = timedelta(seconds=30)
ALERTS_A_MESSAGE = 10

ROLLBACK_RULE = "rollback"
_SILENT_STATES = frozenset({"proposed", "propagating", "verifying"})
_OVER_STATES = frozenset({"succeeded", "aborted"})
_SEVERITY = {"ineffective": "critical", "unverified": "critical", "failed": "critical", "succeeded": "info", "dry_run": "info"}
# What a person can do about a rollback that needs one.
_NEXT = {
    "dry_run": "To roll back, POST /v1/targets/{rollback.target}:rollback. "
    "To have it done, set rollback.mode to approve or auto.",
    "awaiting_approval": "Approve with POST /v1/rollbacks/{rollback.id}:approve, "
    "decline with POST /v1/rollbacks/{rollback.id}:abort.",
    "ineffective": "Traffic or the metric is not as before {rollback.from_release}: look at the gateways of {rollback.target}.",
    "unverified": "Nothing proves that it worked, nothing that it did not: look at the traffic of {rollback.target}.",
    "failed": "The desired state is {rollback.to_release}, but the order was not taken: check the webhook, or switch by hand.",
}


@dataclass(frozen=True)
class Grouping:
    """How long the first notice of a group waits for others, and the time between two messages of a group."""

    wait: timedelta
    interval: timedelta


AT_ONCE = Grouping(timedelta(0), timedelta(0))


@dataclass(frozen=True)
class Message:
    """Rows that one claim sends as one message; `id` stays the same over retries."""

    id: str
    channel: str
    group_key: str
    attempt: int
    rows: tuple[Delivery, ...]
    worker: str

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What it says of alerts and rollbacks."""
        return () if self.report else tuple(Notice.model_validate(row.notice) for row in self.rows)

    @property
    def report(self) -> ReportNotice | None:
        """The report that it tells of; it has a message to itself."""
        return read_report_notice(self.rows[0].notice)


def enqueue(
    connection: Connection,
    place: Place,
    episode: int,
    notice: Notice,
    *,
    channels: Sequence[str],
    grouping: Grouping,
    now: datetime,
) -> int:
    """Put a notice into the outbox for each channel (none named: every configured one); how many rows were new."""
    group_key = f"{place.project}/{place.rule_id}"
    added = 0
    for channel in channels or configured_channels(connection):
        not_before = _departure(connection, group_key, channel, grouping, now)
        added += insert_delivery(
            connection,
            {
                **vars(place),
                "episode": episode,
                "transition": notice.transition,
                "channel": channel,
                "group_key": group_key,
                "group_interval_s": grouping.interval.total_seconds(),
                "firing": notice.firing,
                "notice": notice.model_dump(mode="json"),
                "state": "pending",
                "state_reason": "",
                "not_before": not_before,
                "attempts": 0,
                "created_at": now,
            },
        )
    return added


def _departure(connection: Connection, group_key: str, channel: str, grouping: Grouping, now: datetime) -> datetime:
    if grouping.wait <= timedelta(0):
        return now
    gathering = waiting_since(connection, group_key, channel)
    if gathering is not None and gathering <= now + grouping.interval:
        return gathering
    sent = last_sent(connection, group_key, channel)
    if sent is not None and sent + grouping.interval > now:
        return sent + grouping.interval
    return now + grouping.wait


def announce_rollback(connection: Connection, announcement: Announcement) -> None:
    """Tell of a rollback's transition on the channels of its alert; called inside the transaction that made it."""
    rollback = announcement.rollback
    if rollback.state in _SILENT_STATES:
        return  # each is followed within moments by one that says more
    place = Place(rollback.project, ROLLBACK_RULE, rollback.id)
    notice = rollback_notice(rollback, announcement.at)
    channels = _channels_of(connection, rollback)
    enqueue(connection, place, 1, notice, channels=channels, grouping=AT_ONCE, now=announcement.at)


def rollback_notice(rollback: Rollback, at: datetime) -> Notice:
    """What is told of a rollback in its present state."""
    over = rollback.state in _OVER_STATES
    what = {"dry_run": "would be rolled back (dry run)", "awaiting_approval": "rollback awaits approval"}
    did = what.get(rollback.state, {"executing": "rollback executed"}.get(rollback.state, f"rollback {rollback.state}"))
    severity = _SEVERITY.get(rollback.state, "warning")
    labels = {
        "alertname": ROLLBACK_RULE,
        "project": rollback.project,
        "target": rollback.target,
        "release": rollback.from_release,
        "restored": rollback.to_release,
        "state": rollback.state,
        "severity": severity,
        "kind": "rollback",
    }
    annotations = {"summary": rollback.state_reason, "reason": rollback.reason, "mode": rollback.mode, "actor": rollback.actor}
    if rollback.state in _NEXT:
        annotations["next_step"] = _NEXT[rollback.state].format(rollback=rollback)
    links = {"rollback": f"/v1/rollbacks/{rollback.id}"}
    if rollback.evidence_id is not None:
        links["alert"] = f"/v1/alerts/{rollback.evidence_id}"
    return Notice(
        kind="rollback",
        transition=rollback.state,
        firing=not over,
        fingerprint=rollback.id,
        title=f"{rollback.target}: {did}, {rollback.from_release} → {rollback.to_release}",
        summary=rollback.state_reason,
        severity=severity,
        labels=labels,
        annotations=annotations,
        evidence=[] if rollback.evidence is None else [rollback.evidence],
        links=links,
        starts_at=rollback.created_at,
        ends_at=at if over else None,
    )


def _channels_of(connection: Connection, rollback: Rollback) -> Sequence[str]:
    alert = find_alert(connection, rollback.project, rollback.evidence_id) if rollback.evidence_id else None
    if alert is None:
        return ()
    rules = [stored.rule for stored in list_rules(connection, rollback.project) if stored.id == alert.rule_id]
    return rules[0].channels if rules else ()


def claim_message(connection: Connection, now: datetime, worker: str, channels: Sequence[str]) -> Message | None:
    """Take the next message for one of `channels`; rows that must wait or may not go are settled on the way."""
    for head in due_heads(connection, now, channels):
        if head.message_id is None and not _may_go(connection, head, now):
            continue
        rows = _together(connection, head, now)
        message_id = head.message_id or f"msg_{secrets.token_hex(12)}"
        if claim_rows(connection, rows, message_id=message_id, worker=worker, now=now, until=now + CLAIM_FOR):
            return Message(message_id, head.channel, head.group_key, head.attempts + 1, tuple(rows), worker)
    return None


def _together(connection: Connection, head: Delivery, now: datetime) -> list[Delivery]:
    """The rows of the message that `head` leads: as before on a retry, else what its group has gathered."""
    if head.message_id is not None:
        return rows_of_message(connection, head.message_id)
    group = [
        row
        for row in due_heads(connection, now, [head.channel])
        if row.group_key == head.group_key and row.message_id is None and row.id != head.id and _may_go(connection, row, now)
    ]
    return [head, *group[: ALERTS_A_MESSAGE - 1]]


def _may_go(connection: Connection, row: Delivery, now: datetime) -> bool:
    """Whether a row may go now; if not, it is held back or withheld with the reason."""
    if not row.firing:
        return _may_resolve(connection, row, now)
    held = _hold(connection, row, now)
    if held is None:
        return True
    until, reason = held
    if resolves_later(connection, row):
        change_row(connection, row.id, {"state": "withheld", "state_reason": f"over while {reason}", "finished_at": now})
    else:
        change_row(connection, row.id, {"not_before": until, "state_reason": reason})
    return False


def _may_resolve(connection: Connection, row: Delivery, now: datetime) -> bool:
    if receiver_believes_firing(connection, row):
        return True
    reason = "the channel was never told that it fires"
    change_row(connection, row.id, {"state": "withheld", "state_reason": reason, "finished_at": now})
    return False


def _hold(connection: Connection, row: Delivery, now: datetime) -> tuple[datetime, str] | None:
    labels = {str(name): str(value) for name, value in row.notice["labels"].items()}
    silence = holding(list_silences(connection, row.project, after=now), labels, now)
    if silence is not None:
        return min(silence.ends_at, now + HELD_FOR), f"silenced by {silence.id}"
    # A rollback is the answer to the alert on its target: what became of it must not wait for the alert's end.
    if labels.get("severity") == "warning" and labels.get("target") and labels.get("kind") != "rollback":
        for alert in firing_alerts(connection, row.project):
            if alert.kind == "regression" and alert.target == labels["target"] and alert.fingerprint != row.fingerprint:
                return now + HELD_FOR, f"inhibited by alert {alert.id} on the same target"
    return None


def settle(
    connection: Connection,
    message: Message,
    state: str,
    reason: str,
    *,
    now: datetime,
    again_at: datetime | None,
    counted: bool = True,
) -> bool:
    """Store the outcome of a message: delivered, dead, or pending again at `again_at`. False: the claim was lost.

    An attempt that is not `counted` (the receiver asked to wait) leaves the retry schedule where it was.
    """
    values = {"state": state, "state_reason": reason, "attempts": message.attempt - (not counted)}
    if again_at is None:
        return settle_rows(connection, message.rows, message.worker, {**values, "finished_at": now})
    return settle_rows(connection, message.rows, message.worker, {**values, "not_before": again_at})


class NotResendableError(Exception):
    """A delivery cannot be sent again; the message says why."""


def resend(connection: Connection, row: Delivery, now: datetime) -> list[Delivery]:
    """Put a dead or withheld delivery back on its way, and what was withheld because of it; the rows changed.

    Raises:
        NotResendableError: it is on its way or delivered, or newer news of the same alert has been delivered.
    """
    if row.state not in ("dead", "withheld"):
        raise NotResendableError(f"delivery {row.id} is {row.state}: only a dead or withheld one can be sent again")
    if overtaken(connection, row):
        raise NotResendableError(
            f"newer news of this alert has reached {row.channel}: sending {row.id} now would contradict it"
        )
    changed = [row, *(withheld_after(connection, row) if row.firing else ())]
    for one in changed:
        fresh = {"state": "pending", "attempts": 0, "message_id": None, "not_before": now, "finished_at": None}
        change_row(connection, one.id, {**fresh, "state_reason": "sent again by hand"})
    return changed


def dead_letters(connection: Connection, project: str) -> list[Delivery]:
    """Deliveries of a project that could not be made."""
    return list_deliveries(connection, project, state="dead")
