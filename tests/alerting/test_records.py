"""What one evaluation writes: alerts, history and outbox, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from alerting.comparator import Signal
from alerting.observation import Observation
from alerting.outbox import AT_ONCE
from alerting.records import Delays, Recorder
from alerting.rulebook import sync_rules
from schemas.rule_file import RuleFile
from schemas.rules import parse_rule
from storage.alerts import list_alerts, read_states, read_transitions
from storage.deliveries import list_deliveries
from storage.rules import StoredRule, insert_rule, list_rules
from tests.alerting.notices import NOW, evidence
from tests.alerting.signals import again
from tests.alerting.test_outbox import database

DELAYS = Delays(AT_ONCE, timedelta(hours=4))
RULE: dict[str, Any] = {
    "kind": "threshold",
    "name": "slow",
    "metric": "latency.p95",
    "threshold": 10,
    "window": "1m",
    "for": "0s",
    "keep_firing_for": "0s",
}


@pytest.fixture
def db() -> Iterator[Connection]:
    connection = database()
    yield connection
    connection.close()
    connection.engine.dispose()


class Desk:
    """A rule whose observations are made up."""

    def __init__(self, db: Connection, **members: Any) -> None:
        self.db = db
        self.now = NOW
        self.stored: StoredRule = insert_rule(db, "default", "api", parse_rule({**RULE, **members}), "me", NOW)
        self.recorder = Recorder(self.stored, "default", DELAYS)

    def see(self, *signals: Signal, step: timedelta = timedelta(minutes=1), **members: Any) -> None:
        for signal in signals:
            self.now += step
            found = Observation({"alertname": "slow", "project": "default"}, signal, f"it is {signal}", self.now, **members)
            self.recorder.apply(self.db, found, self.now)

    def told(self) -> list[tuple[str, bool]]:
        rows = list_deliveries(self.db, "default", channel="hook")
        return [(row.transition, row.firing) for row in rows][::-1]

    def alerts(self) -> list[tuple[str, str, int]]:
        return [(row.kind, row.state, row.episode) for row in list_alerts(self.db, "default")][::-1]


def test_each_episode_is_an_alert_with_its_history(db: Connection) -> None:
    desk = Desk(db)
    desk.see("breach", "breach", "clear", "clear")
    desk.see("breach", step=timedelta(hours=2))
    assert desk.alerts() == [("threshold", "resolved", 1), ("threshold", "firing", 2)]
    assert desk.told() == [("firing", True), ("resolved", False), ("firing", True)]
    place = list_alerts(db, "default")[0].place
    steps = read_transitions(db, place)
    assert [step["transition"] for step in steps] == ["firing", "resolved", "firing"]
    assert steps[0]["reason"] == "it is breach; breached"
    assert steps[0]["revision"] == desk.stored.revision


def test_an_alert_that_flaps_is_told_once_then_summed_up(db: Connection) -> None:
    desk = Desk(db)
    desk.see(*again(6, "breach", "clear"))
    assert desk.told() == [("firing", True), ("resolved", False)] * 2 + [("flapping", True)]
    desk.see(*again(70, "clear"))
    assert desk.told()[-1] == ("digest", False)
    assert len(desk.told()) == 6
    assert {state for _, state, _ in desk.alerts()} == {"resolved"}
    desk.see("breach")
    assert desk.told()[-1] == ("firing", True)


def test_a_rule_deleted_while_its_alert_flaps_has_a_last_word(db: Connection) -> None:
    desk = Desk(db)
    desk.see(*again(4, "breach", "clear"))
    desk.recorder.close_all(db, "the rule was deleted", desk.now)
    assert desk.told()[-1] == ("closed", False)


def test_missing_data_is_its_own_alert_and_ends_with_data(db: Connection) -> None:
    desk = Desk(db)
    desk.see("breach", "missing", "missing", "missing", "missing", "clear")
    assert desk.alerts() == [("threshold", "resolved", 1), ("no_data", "resolved", 1)]
    assert [firing for _, firing in desk.told()] == [True, True, False, False]
    desk.see("missing", "missing", "missing", "missing")
    assert desk.alerts()[-1] == ("no_data", "firing", 2)


def test_a_series_that_left_long_ago_is_forgotten(db: Connection) -> None:
    desk = Desk(db, group_by=["service"], no_data="alert")
    desk.see("clear", *again(4, "missing"))
    assert desk.alerts() == [("no_data", "firing", 1)]
    desk.see("missing", step=timedelta(days=1))
    assert desk.alerts() == [("no_data", "resolved", 1)]
    assert read_states(db, "default", desk.stored.id) == []


def test_a_rollback_is_wanted_with_the_alert(db: Connection) -> None:
    desk = Desk(db)
    members = {"kind": "regression", "name": "guard", "profile": "guard", "metrics": ["cost.usd"], "action": "rollback"}
    stored = insert_rule(db, "default", "api", parse_rule(members), "me", NOW)
    identity = {"alertname": "guard", "project": "default", "target": "assistant", "release": "v2"}
    found = Observation(identity, "breach", "dearer", NOW, details={"baseline": "v1"}, evidence=(evidence(),), generation=3)
    Recorder(stored, "default", DELAYS).apply(db, found, NOW)
    (alert,) = list_alerts(db, "default")
    assert (alert.rollback, alert.target, alert.severity) == ("wanted", "assistant", "critical")
    assert alert.labels["baseline"] == "v1"
    Recorder(stored, "default", DELAYS).close_all(db, "the rule was deleted", NOW)
    assert list_alerts(db, "default")[0].rollback == "refused"
    assert desk.alerts()[-1][1] == "resolved"


def test_the_file_and_the_rows_agree(db: Connection) -> None:
    first, second = parse_rule(RULE), parse_rule({**RULE, "name": "other"})
    changed = parse_rule({**RULE, "threshold": 20})

    def sync(*rules: Any, at: datetime = NOW) -> tuple[int, int, int]:
        done = sync_rules(db, RuleFile("*", rules), DELAYS, at)
        return done.added, done.changed, done.removed

    assert sync(first, second) == (2, 0, 0)
    assert sync(first, second) == (0, 0, 0)
    identities = {stored.rule.name: stored.id for stored in list_rules(db)}
    assert sync(changed) == (0, 1, 1)
    (left,) = list_rules(db)
    assert (left.id, left.rule) == (identities["slow"], changed)
