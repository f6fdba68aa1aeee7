"""Alert states, their transitions and alerts (episodes) as rows of the control database."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from schemas.control.alerting import alert_states, alert_transitions, alerts


@dataclass(frozen=True)
class Place:
    """Which alert: a rule of a project, and the fingerprint of the series or release."""

    project: str
    rule_id: str
    fingerprint: str


@dataclass(frozen=True)
class AlertRow:
    """One episode of an alert. `notice` is what was told when it fired.

    `rollback` is '' (none wanted), wanted, deferred (refused for now), proposed or refused.
    """

    id: str
    project: str
    rule_id: str
    rule_name: str
    fingerprint: str
    episode: int
    kind: str
    severity: str
    state: str
    target: str
    labels: Mapping[str, str]
    notice: Mapping[str, Any]
    evidence: Sequence[Mapping[str, Any]]
    reason: str
    revision: str
    fired_at: datetime
    resolved_at: datetime | None
    notified_at: datetime
    rollback: str
    rollback_id: str | None
    rollback_detail: str | None

    @property
    def place(self) -> Place:
        """Which alert this is an episode of."""
        return Place(self.project, self.rule_id, self.fingerprint)


def new_alert_id() -> str:
    """A fresh id."""
    return "al_" + secrets.token_hex(10)


def read_states(connection: Connection, project: str, rule_id: str) -> list[dict[str, Any]]:
    """Every state row of a rule in a project."""
    query = select(alert_states).where(alert_states.c.project == project, alert_states.c.rule_id == rule_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def read_state(connection: Connection, place: Place) -> dict[str, Any] | None:
    """The state row of one alert."""
    row = connection.execute(select(alert_states).where(_at(alert_states, place))).mappings().one_or_none()
    return None if row is None else dict(row)


def write_state(connection: Connection, place: Place, values: Mapping[str, Any]) -> None:
    """Store the state of one alert."""
    if connection.execute(update(alert_states).where(_at(alert_states, place)).values(values)).rowcount == 0:
        connection.execute(insert(alert_states).values(**vars(place), **values))


def delete_states(connection: Connection, rule_id: str) -> None:
    """Forget where the alerts of a rule stand."""
    connection.execute(delete(alert_states).where(alert_states.c.rule_id == rule_id))


def delete_state(connection: Connection, place: Place) -> None:
    """Forget where one alert stands."""
    connection.execute(delete(alert_states).where(_at(alert_states, place)))


def add_transition(connection: Connection, place: Place, values: Mapping[str, Any]) -> None:
    """Append to the history of one alert."""
    connection.execute(insert(alert_transitions).values(**vars(place), **values))


def read_transitions(connection: Connection, place: Place, limit: int = 200) -> list[dict[str, Any]]:
    """The latest transitions of one alert, newest first."""
    query = select(alert_transitions).where(_at(alert_transitions, place)).order_by(alert_transitions.c.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def changes_since(connection: Connection, place: Place, kinds: Sequence[str], since: datetime) -> list[datetime]:
    """When transitions of some kinds happened after `since`."""
    t = alert_transitions.c
    query = select(t.at).where(_at(alert_transitions, place), t.transition.in_(kinds), t.at > since)
    return list(connection.execute(query).scalars())


def last_episode(connection: Connection, place: Place) -> int:
    """The number of the latest episode; 0 before the first."""
    return int(connection.execute(select(func.max(alerts.c.episode)).where(_at(alerts, place))).scalar() or 0)


def insert_alert(connection: Connection, alert: AlertRow) -> None:
    """Begin an episode."""
    connection.execute(insert(alerts).values(vars(alert)))


def update_alert(connection: Connection, alert_id: str, values: Mapping[str, Any]) -> None:
    """Change an episode."""
    connection.execute(update(alerts).where(alerts.c.id == alert_id).values(values))


def find_alert(connection: Connection, project: str, alert_id: str) -> AlertRow | None:
    """One episode."""
    found = _alerts(connection, and_(alerts.c.project == project, alerts.c.id == alert_id))
    return found[0] if found else None


def firing_alert(connection: Connection, place: Place) -> AlertRow | None:
    """The episode that is not over, if there is one."""
    found = _alerts(connection, and_(_at(alerts, place), alerts.c.state == "firing"))
    return found[0] if found else None


def firing_alerts(
    connection: Connection, project: str | None = None, rule_id: str | None = None, rule_ids: Sequence[str] | None = None
) -> list[AlertRow]:
    """Every episode that is not over."""
    clauses: list[ColumnElement[bool]] = [alerts.c.state == "firing"]
    if project is not None:
        clauses.append(alerts.c.project == project)
    if rule_id is not None:
        clauses.append(alerts.c.rule_id == rule_id)
    if rule_ids is not None:
        clauses.append(alerts.c.rule_id.in_(rule_ids))
    return _alerts(connection, and_(*clauses))


def flapping_alerts(connection: Connection, rule_id: str) -> list[AlertRow]:
    """The latest, finished episode of each alert of a rule whose changes are kept quiet."""
    s = alert_states.c
    flapping = select(alert_states).where(s.rule_id == rule_id, s.flapping, s.phase.in_(("ok", "pending")))
    found = []
    for row in connection.execute(flapping).mappings().all():
        place = Place(row["project"], rule_id, row["fingerprint"])
        found += _alerts(connection, and_(_at(alerts, place), alerts.c.episode == row["episode"]))
    return found


def alerts_wanting_rollback(connection: Connection) -> list[AlertRow]:
    """Episodes whose rollback was decided on and not yet proposed."""
    return _alerts(connection, alerts.c.rollback == "wanted")


def list_alerts(
    connection: Connection,
    project: str,
    *,
    state: str | None = None,
    target: str | None = None,
    rule: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[AlertRow]:
    """The latest episodes, newest first; `before` is the (fired_at, id) of the last one seen."""
    clauses: list[ColumnElement[bool]] = [alerts.c.project == project]
    wanted = {"state": state, "target": target, "rule_name": rule}
    clauses += [alerts.c[name] == value for name, value in wanted.items() if value is not None]
    if before is not None:
        at, alert_id = before
        clauses.append(or_(alerts.c.fired_at < at, and_(alerts.c.fired_at == at, alerts.c.id < alert_id)))
    return _alerts(connection, and_(*clauses), limit)


def alerts_within(connection: Connection, project: str, start: datetime, end: datetime) -> list[AlertRow]:
    """Every episode of a project that was not over for some of a range, newest first."""
    open_then = or_(alerts.c.resolved_at.is_(None), alerts.c.resolved_at >= start)
    return _alerts(connection, and_(alerts.c.project == project, alerts.c.fired_at < end, open_then))


def _alerts(connection: Connection, clause: ColumnElement[bool], limit: int = 10_000) -> list[AlertRow]:
    query = select(alerts).where(clause).order_by(alerts.c.fired_at.desc(), alerts.c.id.desc()).limit(limit)
    return [AlertRow(**row) for row in connection.execute(query).mappings()]


def _at(table: Any, place: Place) -> ColumnElement[bool]:
    return and_(table.c.project == place.project, table.c.rule_id == place.rule_id, table.c.fingerprint == place.fingerprint)
