"""Writing what an evaluation found: state, history, alert and outbox in the caller's transaction, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from alerting.flapping import HOUR, judge
from alerting.notices import Kind, Notice, alert_notice, changed, trouble_fingerprint
from alerting.observation import Observation
from alerting.outbox import AT_ONCE, Grouping, enqueue
from alerting.states import NOTIFIED, AlertState, Decision, Timing, Transition, decide
from schemas.evidence import Evidence
from schemas.rules import RegressionRule, Rule
from schemas.sections import AlertingSettings
from storage.alerts import (
    AlertRow,
    Place,
    add_transition,
    changes_since,
    delete_state,
    delete_states,
    firing_alert,
    firing_alerts,
    flapping_alerts,
    insert_alert,
    last_episode,
    new_alert_id,
    read_state,
    update_alert,
    write_state,
)
from storage.rules import StoredRule

# A release is judged over hours; that it says nothing for this long is worth telling where the rule wants it.
REGRESSION_PATIENCE = timedelta(minutes=10)

# A series that fell silent while all was well is forgotten after this time.
FORGET_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Delays:
    """When messages of ordinary rules go out, from the settings."""

    grouping: Grouping
    repeat: timedelta


def delays_of(settings: AlertingSettings) -> Delays:
    """The delays that the settings ask for."""
    grouping = Grouping(timedelta(seconds=settings.group_wait_s), timedelta(seconds=settings.group_interval_s))
    return Delays(grouping, timedelta(seconds=settings.repeat_s))


def timing_of(rule: Rule) -> Timing:
    """The delays of a rule's state machine."""
    if isinstance(rule, RegressionRule):
        return Timing(rule.for_, rule.keep_firing_for, REGRESSION_PATIENCE, reports_silence=False)
    return Timing(rule.for_, rule.keep_firing_for, 2 * rule.window, rule.reports_silence)


def grouping_of(rule: Rule, delays: Delays) -> Grouping:
    """A guard's messages wait for nothing."""
    return AT_ONCE if isinstance(rule, RegressionRule) and rule.profile == "guard" else delays.grouping


@dataclass(frozen=True)
class Recorder:
    """Writes the outcome of evaluations of one rule in one project."""

    stored: StoredRule
    project: str
    delays: Delays

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self.stored.rule

    def apply(self, connection: Connection, observation: Observation, now: datetime) -> Decision:
        """Decide on an observation and write what follows. `now` stamps messages; decisions go by the observation's own."""
        place = Place(self.project, self.stored.id, observation.fingerprint)
        row = read_state(connection, place)
        before = state_of(row) if row else self._initial(connection, place, observation.at)
        decision = decide(timing_of(self.rule), before, observation.signal, observation.at)
        if self._forgets(before, decision, observation.at):
            self._close_trouble(connection, place, observation, now)
            delete_state(connection, place)
            return decision
        for transition in decision.transitions:
            self._enter(connection, place, before, decision, transition, observation, now)
        self._renew_rollback(connection, place, observation)
        flapping = self._notify(connection, place, decision, observation, now, was=bool(row and row["flapping"]))
        write_state(connection, place, self._row(decision, observation, flapping=flapping))
        return decision

    def repeat(self, connection: Connection, alert: AlertRow, now: datetime) -> bool:
        """Send an alert that still fires again, when it is time."""
        if now - alert.notified_at < self.delays.repeat:
            return False
        number = int((now - alert.fired_at) / self.delays.repeat)
        notice = changed(_notice(alert), transition=f"repeat-{number}", firing=True, summary=alert.reason, ends_at=None)
        update_alert(connection, alert.id, {"notified_at": now})
        return bool(self._send(connection, alert.place, alert.episode, notice, now))

    def close_all(self, connection: Connection, reason: str, now: datetime) -> int:
        """End every alert of the rule because the rule is gone or another; how many."""
        alerts = firing_alerts(connection, rule_id=self.stored.id)
        for alert in alerts:
            self._resolve(connection, alert, reason, now, notify=True)
        for alert in flapping_alerts(connection, self.stored.id):
            notice = changed(_notice(alert), transition="closed", firing=False, summary=reason, ends_at=now)
            self._send(connection, alert.place, alert.episode, notice, now)
        delete_states(connection, self.stored.id)
        return len(alerts)

    def _initial(self, connection: Connection, place: Place, at: datetime) -> AlertState:
        return AlertState("ok", at, episode=last_episode(connection, place))

    def _forgets(self, before: AlertState, decision: Decision, at: datetime) -> bool:
        since = decision.state.troubled_since
        grouped = not isinstance(self.rule, RegressionRule) and bool(self.rule.group_by)
        return grouped and decision.state.phase == "ok" and since is not None and at - since >= FORGET_AFTER

    def _enter(
        self,
        connection: Connection,
        place: Place,
        before: AlertState,
        decision: Decision,
        transition: Transition,
        observation: Observation,
        now: datetime,
    ) -> None:
        add_transition(
            connection,
            place,
            {
                "episode": decision.state.episode,
                "transition": transition,
                "from_state": before.phase,
                "to_state": decision.state.phase,
                "at": observation.at,
                "reason": f"{observation.reason}; {decision.reason}",
                "evidence": _evidence(observation),
                "revision": self.stored.revision,
            },
        )
        if transition in ("no_data", "error"):
            self._raise(connection, place, observation, transition, decision.reason, now)
        elif transition in ("no_data_over", "error_over"):
            self._close_trouble(connection, place, observation, now)
        elif transition == "firing":
            self._insert(connection, place, self.rule.kind, decision.state.episode, observation, decision.reason, now)

    def _notify(
        self, connection: Connection, place: Place, decision: Decision, observation: Observation, now: datetime, *, was: bool
    ) -> bool:
        """Tell of the phase's transitions, or of their number where there are too many; whether the alert flaps now."""
        told = [transition for transition in decision.transitions if transition in NOTIFIED]
        if not told and not was:
            return False
        changes = changes_since(connection, place, sorted(NOTIFIED), observation.at - HOUR)
        verdict = judge(changes, observation.at, flapping=was)
        alert = firing_alert(connection, place)
        if "resolved" in told and alert is not None:
            self._resolve(connection, alert, observation.reason, now, notify=verdict == "tell")
        elif "firing" in told and alert is not None and verdict == "tell":
            self._send(connection, place, alert.episode, _notice(alert), now)
        if verdict in ("started", "calmed"):
            self._send_flapping(connection, place, decision, observation, len(changes), verdict, now)
        return verdict in ("started", "goes_on")

    def _send_flapping(
        self,
        connection: Connection,
        place: Place,
        decision: Decision,
        observation: Observation,
        count: int,
        verdict: str,
        now: datetime,
    ) -> None:
        if verdict == "started":
            text, transition, firing = f"changed {count} times within an hour: quiet until it calms down", "flapping", True
        else:
            state = "it fires" if decision.state.fires else "it is over"
            text, transition, firing = f"calmed down, {state}: {observation.reason}", "digest", decision.state.fires
        base = self._build(new_alert_id(), self.rule.kind, observation, decision.reason)
        ends_at = None if firing else observation.at
        notice = changed(base, transition=transition, firing=firing, summary=text, ends_at=ends_at)
        self._send(connection, place, decision.state.episode, notice, now)

    def _raise(
        self, connection: Connection, place: Place, observation: Observation, kind: Kind, reason: str, now: datetime
    ) -> None:
        own = _trouble_place(place, observation, kind)
        alert = self._insert(connection, own, kind, last_episode(connection, own) + 1, observation, reason, now)
        self._send(connection, own, alert.episode, _notice(alert), now)

    def _close_trouble(self, connection: Connection, place: Place, observation: Observation, now: datetime) -> None:
        kinds: tuple[Kind, ...] = ("no_data", "error")
        for kind in kinds:
            alert = firing_alert(connection, _trouble_place(place, observation, kind))
            if alert is not None:
                self._resolve(connection, alert, observation.reason, now, notify=True)

    def _insert(
        self,
        connection: Connection,
        place: Place,
        kind: Kind,
        episode: int,
        observation: Observation,
        reason: str,
        now: datetime,
    ) -> AlertRow:
        alert_id = new_alert_id()
        notice = self._build(alert_id, kind, observation, reason)
        alert = AlertRow(
            id=alert_id,
            **vars(place),
            rule_name=self.rule.name,
            episode=episode,
            kind=kind,
            severity=notice.severity,
            state="firing",
            target=notice.labels.get("target", ""),
            labels=notice.labels,
            notice=notice.model_dump(mode="json"),
            evidence=_evidence(observation),
            reason=notice.summary,
            revision=self.stored.revision,
            fired_at=observation.at,
            resolved_at=None,
            notified_at=now,
            rollback="wanted" if self._wants_rollback(kind, observation) else "",
            rollback_id=None,
            rollback_detail=None,
        )
        insert_alert(connection, alert)
        return alert

    def _wants_rollback(self, kind: Kind, observation: Observation) -> bool:
        acts = isinstance(self.rule, RegressionRule) and self.rule.action == "rollback"
        return acts and kind == "regression" and bool(observation.evidence)

    def _renew_rollback(self, connection: Connection, place: Place, observation: Observation) -> None:
        """A rollback that could not be just then is wanted again with what is known now."""
        if observation.signal != "breach" or not self._wants_rollback(self.rule.kind, observation):
            return
        alert = firing_alert(connection, place)
        if alert is not None and alert.rollback == "deferred":
            update_alert(connection, alert.id, {"rollback": "wanted", "evidence": _evidence(observation)})

    def _resolve(self, connection: Connection, alert: AlertRow, reason: str, now: datetime, *, notify: bool) -> None:
        update_alert(connection, alert.id, {"state": "resolved", "resolved_at": now, "reason": reason})
        if alert.rollback in ("wanted", "deferred"):
            update_alert(connection, alert.id, {"rollback": "refused", "rollback_detail": "the alert was over before"})
        if notify:
            notice = changed(_notice(alert), transition="resolved", firing=False, summary=reason, ends_at=now)
            self._send(connection, alert.place, alert.episode, notice, now)

    def _build(self, alert_id: str, kind: Kind, observation: Observation, reason: str) -> Notice:
        return alert_notice(
            self.rule,
            observation,
            alert_id=alert_id,
            kind=kind,
            transition="firing",
            reason=reason,
            starts_at=observation.at,
        )

    def _send(self, connection: Connection, place: Place, episode: int, notice: Notice, now: datetime) -> int:
        grouping = grouping_of(self.rule, self.delays)
        return enqueue(connection, place, episode, notice, channels=self.rule.channels, grouping=grouping, now=now)

    def _row(self, decision: Decision, observation: Observation, *, flapping: bool) -> dict[str, Any]:
        state = decision.state
        return {
            "labels": dict(observation.identity),
            "phase": state.phase,
            "since": state.since,
            "progress_s": state.progress.total_seconds(),
            "counted_at": state.counted_at,
            "health": state.health,
            "troubled_since": state.troubled_since,
            "reported": state.reported,
            "flapping": flapping,
            "episode": state.episode,
            "evaluated_at": observation.at,
            "reason": f"{observation.reason}; {decision.reason}",
            "value": observation.value,
            "revision": self.stored.revision,
        }


def state_of(row: Mapping[str, Any]) -> AlertState:
    """Where an alert stands, from its row."""
    return AlertState(
        phase=row["phase"],
        since=row["since"],
        progress=timedelta(seconds=row["progress_s"]),
        counted_at=row["counted_at"],
        health=row["health"],
        troubled_since=row["troubled_since"],
        reported=row["reported"],
        episode=row["episode"],
    )


def _notice(alert: AlertRow) -> Notice:
    return Notice.model_validate(alert.notice)


def _evidence(observation: Observation) -> list[dict[str, Any]]:
    return [evidence.model_dump(mode="json") for evidence in observation.evidence]


def evidence_of(alert: AlertRow) -> list[Evidence]:
    """What an alert rests on."""
    return [Evidence.model_validate(item) for item in alert.evidence]


def _trouble_place(place: Place, observation: Observation, kind: Kind) -> Place:
    return Place(place.project, place.rule_id, trouble_fingerprint(observation, kind))
