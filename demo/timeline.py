"""From what was visible to what happened: pure functions over snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from demo.releases import BASELINE, CANDIDATE, TARGET
from demo.watch import Snapshot

Step = Literal["first_span", "regression", "slack", "webhook", "rollback", "gateway", "proof", "told"]

# Seconds after the promotion within which each step must have been seen.
LIMITS_S: Mapping[Step, float] = {
    "first_span": 30,
    "regression": 90,
    "slack": 100,
    "webhook": 100,
    "rollback": 100,
    "gateway": 140,
    "proof": 240,
    "told": 250,
}

NAMES: Mapping[Step, str] = {
    "first_span": f"first span of {CANDIDATE}",
    "regression": "regression found",
    "slack": "Slack message arrived",
    "webhook": "signed webhook arrived",
    "rollback": "rollback executed",
    "gateway": "gateway switched",
    "proof": "proof from new spans",
    "told": "Slack told of the proof",
}

ENDED_BADLY = frozenset({"dry_run", "awaiting_approval", "aborted", "ineffective", "unverified", "failed"})


@dataclass(frozen=True)
class Event:
    """One step of the story: when it happened by the record of whoever did it, and what is known of it."""

    step: Step
    at: datetime
    lines: tuple[str, ...]


def events_of(snapshot: Snapshot) -> list[Event]:
    """Everything that has happened, in the order of time."""
    found = [
        _first_span(snapshot.first_candidate_span),
        _regression(snapshot.alerts),
        _slack("slack", "FIRING", snapshot.received),
        _slack("told", "ROLLBACK", snapshot.received, "succeeded"),
        _webhook(snapshot.received),
        *_rollback(snapshot.rollback),
    ]
    return sorted((event for event in found if event is not None), key=lambda event: event.at)


def failure_of(snapshot: Snapshot) -> str | None:
    """What went wrong for good, or None."""
    for message in snapshot.received:
        if message["problem"]:
            return f"the {message['channel']} message could not be accepted: {message['problem']}"
    for alert in snapshot.alerts:
        if alert["kind"] != "regression":
            return f"an alert of kind {alert['kind']} fired: {alert['reason']}"
        if alert["rollback"] == "refused":
            return f"the rollback was refused: {alert['rollback_detail']}"
    rollback = snapshot.rollback
    if rollback is not None and rollback["state"] in ENDED_BADLY:
        return f"rollback {rollback['id']} is {rollback['state']}: {rollback['state_reason']}"
    if rollback is not None and (rollback["from_release"], rollback["to_release"]) != (CANDIDATE, BASELINE):
        return f"rollback {rollback['id']} leads from {rollback['from_release']} to {rollback['to_release']}"
    return None


def disturbance_of(snapshot: Snapshot) -> str | None:
    """What must not happen when the new release is as good as the old one, or None."""
    if snapshot.alerts:
        return f"an alert fired: {snapshot.alerts[0]['reason']}"
    if snapshot.received:
        return f"a message was sent to {snapshot.received[0]['channel']}"
    if snapshot.rollback is not None:
        return f"a rollback began: {snapshot.rollback['reason']}"
    return None


def overdue(seen: Iterable[Step], elapsed_s: float) -> str | None:
    """The first step that should have been seen by now, in words, or None."""
    told = set(seen)
    for step, limit_s in LIMITS_S.items():
        if step not in told and elapsed_s > limit_s:
            return f"{NAMES[step]}: not within {limit_s:g} s of the promotion"
    return None


def seconds_since_first_span(events: Sequence[Event]) -> dict[Step, float]:
    """Seconds from the start of the first bad span to each later step."""
    at = {event.step: event.at for event in events}
    first = at["first_span"]
    return {step: round((at[step] - first).total_seconds(), 3) for step in LIMITS_S if step in at and step != "first_span"}


def comparison_line(evidence: Mapping[str, Any]) -> str:
    """One metric of one release against the other, with its interval and the requests on each side."""
    if evidence["effect"] is None:
        return f"{evidence['metric']}: {evidence['reason']}"
    effect, low, high = (_change(evidence["metric"], evidence[name]) for name in ("effect", "interval_low", "interval_high"))
    candidate = f"{evidence['n_candidate']} requests of {evidence['candidate']}"
    baseline = f"{evidence['n_baseline']} of {evidence['baseline']}"
    return f"{evidence['metric']} {effect}, between {low} and {high} ({candidate}, {baseline})"


def _change(metric: str, value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value * 100:+.1f} points" if metric == "errors.rate" else f"{value * 100:+.0f} %"


def _certainty(confidence: float) -> str:
    """Two digits of what is left to certainty: 99.998 %."""
    left = float(f"{(1 - confidence) * 100:.2g}")
    return f"{100 - left:.10g} %"


def _first_span(span: Mapping[str, Any] | None) -> Event | None:
    if span is None:
        return None
    return Event("first_span", datetime.fromisoformat(span["start"]), (f"trace {span['trace_id']}, {span['name']}",))


def _regression(alerts: Sequence[Mapping[str, Any]]) -> Event | None:
    for alert in reversed(alerts):
        if alert["kind"] == "regression" and (alert["target"], alert["labels"].get("release")) == (TARGET, CANDIDATE):
            worse = [item for item in alert["evidence"] if item["reason"] in alert["reason"]]
            lines = tuple(comparison_line(item) for item in worse or alert["evidence"][:1])
            rule = f"by the rule {alert['rule']}; the intervals hold with {_certainty(alert['evidence'][0]['confidence'])}"
            return Event("regression", _time(alert["fired_at"]), (*lines, rule))
    return None


def _slack(step: Step, word: str, received: Sequence[Mapping[str, Any]], also: str = "") -> Event | None:
    for message in received:
        text = message["body"]["text"] if message["channel"] == "slack" else ""
        if text.startswith(word) and also in text:
            return Event(step, _time(message["at"]), (f"“{text}”",))
    return None


def _webhook(received: Sequence[Mapping[str, Any]]) -> Event | None:
    for message in received:
        if message["channel"] == "webhook" and message["body"]["status"] == "firing":
            verified = "its signature is verified" if message["verified"] else "its signature is NOT verified"
            return Event("webhook", _time(message["at"]), (verified,))
    return None


def _rollback(rollback: Mapping[str, Any] | None) -> list[Event | None]:
    if rollback is None or rollback["executed_at"] is None:
        return []
    what = f"{rollback['from_release']} → {rollback['to_release']}, generation {rollback['generation']}, by {rollback['actor']}"
    executed = Event("rollback", _time(rollback["executed_at"]), (what,))
    return [executed, _reached(rollback, "verifying", "gateway"), _reached(rollback, "succeeded", "proof")]


def _reached(rollback: Mapping[str, Any], state: str, step: Step) -> Event | None:
    for transition in rollback["transitions"]:
        if transition["to_state"] == state:
            return Event(step, _time(transition["at"]), (transition["reason"],))
    return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Saving:
    """What the regression would have cost. An estimate: this traffic, these two releases, nothing else changing."""

    baseline_usd: float
    candidate_usd: float
    requests_per_s: float

    @property
    def extra_usd(self) -> float:
        """More for each request."""
        return self.candidate_usd - self.baseline_usd

    @property
    def usd_per_hour(self) -> float:
        """More for each hour in which the release would have stayed."""
        return self.extra_usd * self.requests_per_s * 3600


def saving_of(costs: Mapping[str, float], requests: Mapping[str, int], elapsed_s: float) -> Saving:
    """From cost and requests by release, and the time in which they came."""
    each = {release: costs.get(release, 0.0) / requests[release] for release in (BASELINE, CANDIDATE)}
    return Saving(each[BASELINE], each[CANDIDATE], sum(requests.values()) / elapsed_s)
