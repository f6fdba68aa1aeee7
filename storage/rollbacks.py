"""Rollbacks and their transitions as rows of the control database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, Select, and_, insert, or_, select, update

from schemas.control.alerting import alerts
from schemas.control.targets import rollback_transitions, rollbacks, targets
from schemas.evidence import Evidence
from storage.targets import Mode

State = Literal[
    "proposed",
    "dry_run",
    "awaiting_approval",
    "executing",
    "propagating",
    "verifying",
    "succeeded",
    "ineffective",
    "unverified",
    "failed",
    "aborted",
]

# States in which somebody still has to do something.
OPEN: tuple[State, ...] = ("awaiting_approval", "executing", "propagating", "verifying")


@dataclass(frozen=True)
class Rollback:
    """One rollback. It undoes `from_generation` of its target and made `generation` once it was executed.

    `verify_from`: its proof counts what started at this moment or later. `figures` are those of the latest look.
    """

    id: str
    project: str
    target: str
    state: State
    state_reason: str
    mode: Mode
    automatic: bool
    actor: str
    reason: str
    from_release: str
    to_release: str
    from_weights: Mapping[str, float]
    from_generation: int
    created_at: datetime
    generation: int | None = None
    evidence: Evidence | None = None
    evidence_id: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    approved_by: str | None = None
    executed_at: datetime | None = None
    propagated_at: datetime | None = None
    verify_from: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    figures: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Transition:
    """One step of a rollback; `from_state` is None for its beginning."""

    rollback_id: str
    from_state: State | None
    to_state: State
    actor: str
    reason: str
    figures: Mapping[str, Any] | None
    at: datetime


def insert_rollback(connection: Connection, rollback: Rollback) -> None:
    """Add a rollback with its first transition."""
    connection.execute(insert(rollbacks).values(_values(rollback)))
    _insert_transition(connection, rollback, None, rollback.actor, rollback.created_at)


def move_rollback(
    connection: Connection, before: Rollback, after: Rollback, *, actor: str, now: datetime, owner: str | None = None
) -> bool:
    """Store `after` and its transition if the rollback is still in the state of `before`, and end any claim.

    With `owner`, its claim must also still hold. False when somebody else was faster; nothing is changed then.
    """
    held = [rollbacks.c.id == before.id, rollbacks.c.state == before.state]
    if owner is not None:
        held.append(rollbacks.c.claimed_by == owner)
    statement = update(rollbacks).where(*held).values(_values(after) | {"claimed_by": None, "claimed_until": None})
    if connection.execute(statement).rowcount != 1:
        return False
    if after.state != before.state:
        _insert_transition(connection, after, before.state, actor, now)
    return True


def claim(connection: Connection, rollback_id: str, owner: str, now: datetime, until: datetime) -> Rollback | None:
    """Take an executing rollback for `owner` until then; None when it is another's, is due later, or went on already."""
    free = or_(rollbacks.c.claimed_until.is_(None), rollbacks.c.claimed_until <= now)
    due = or_(rollbacks.c.next_attempt_at.is_(None), rollbacks.c.next_attempt_at <= now)
    statement = update(rollbacks).where(rollbacks.c.id == rollback_id, rollbacks.c.state == "executing", free, due)
    if connection.execute(statement.values(claimed_by=owner, claimed_until=until)).rowcount != 1:
        return None
    return _one(connection, select(rollbacks).where(rollbacks.c.id == rollback_id))


def read_rollback(connection: Connection, project: str, rollback_id: str) -> Rollback | None:
    """The rollback, or None."""
    return _one(connection, select(rollbacks).where(rollbacks.c.project == project, rollbacks.c.id == rollback_id))


def find_by_key(connection: Connection, project: str, target: str, idempotency_key: str) -> Rollback | None:
    """The rollback that this idempotency key already made, or None."""
    here = and_(rollbacks.c.project == project, rollbacks.c.target == target)
    return _one(connection, select(rollbacks).where(here, rollbacks.c.idempotency_key == idempotency_key))


def list_rollbacks(
    connection: Connection,
    project: str,
    *,
    target: str | None = None,
    state: State | None = None,
    before: Rollback | None = None,
    limit: int = 100,
) -> list[Rollback]:
    """The latest rollbacks, newest first; `before`, the last one of a page, continues after it."""
    query = select(rollbacks).where(rollbacks.c.project == project)
    if target is not None:
        query = query.where(rollbacks.c.target == target)
    if state is not None:
        query = query.where(rollbacks.c.state == state)
    if before is not None:
        older = rollbacks.c.created_at < before.created_at
        same_time = and_(rollbacks.c.created_at == before.created_at, rollbacks.c.id < before.id)
        query = query.where(or_(older, same_time))
    query = query.order_by(rollbacks.c.created_at.desc(), rollbacks.c.id.desc()).limit(limit)
    return [_rollback(row) for row in connection.execute(query).mappings()]


def rollbacks_within(connection: Connection, project: str, start: datetime, end: datetime) -> list[Rollback]:
    """Every rollback of a project that was begun in a range, newest first."""
    begun = and_(rollbacks.c.created_at >= start, rollbacks.c.created_at < end)
    query = select(rollbacks).where(rollbacks.c.project == project, begun)
    rows = connection.execute(query.order_by(rollbacks.c.created_at.desc(), rollbacks.c.id.desc())).mappings()
    return [_rollback(row) for row in rows]


def read_open(connection: Connection) -> list[tuple[Rollback, int]]:
    """Every rollback of every project that is not finished, oldest first, with its target's present generation."""
    same = and_(targets.c.project == rollbacks.c.project, targets.c.name == rollbacks.c.target)
    query = select(rollbacks, targets.c.generation.label("present")).join(targets, same).where(rollbacks.c.state.in_(OPEN))
    rows = connection.execute(query.order_by(rollbacks.c.created_at, rollbacks.c.id)).mappings()
    return [(_rollback(row), row["present"]) for row in rows]


def read_history(connection: Connection, project: str, target: str, since: datetime) -> list[Rollback]:
    """What guardrails look at, newest first: all that is open or was executed since then, and the last one executed."""
    here = and_(rollbacks.c.project == project, rollbacks.c.target == target)
    recent = or_(rollbacks.c.state.in_(OPEN), rollbacks.c.executed_at >= since)
    latest = (
        select(rollbacks.c.id)
        .where(here, rollbacks.c.executed_at.is_not(None))
        .order_by(rollbacks.c.executed_at.desc())
        .limit(1)
    )
    query = select(rollbacks).where(here, or_(recent, rollbacks.c.id.in_(latest.scalar_subquery())))
    return [_rollback(row) for row in connection.execute(query.order_by(rollbacks.c.created_at.desc())).mappings()]


def read_transitions(connection: Connection, rollback_id: str) -> list[Transition]:
    """Every step of a rollback, in order."""
    query = select(rollback_transitions).where(rollback_transitions.c.rollback_id == rollback_id)
    rows = connection.execute(query.order_by(rollback_transitions.c.id)).mappings()
    return [Transition(**{name: value for name, value in row.items() if name != "id"}) for row in rows]


def read_alert_evidence(connection: Connection, project: str, alert_id: str) -> list[Evidence] | None:
    """What an alert rests on: comparisons of releases, none for other kinds of alert. None: there is no such alert."""
    query = select(alerts.c.evidence).where(alerts.c.project == project, alerts.c.id == alert_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else [Evidence.model_validate(item) for item in row.evidence]


def _insert_transition(connection: Connection, rollback: Rollback, from_state: State | None, actor: str, now: datetime) -> None:
    connection.execute(
        insert(rollback_transitions).values(
            rollback_id=rollback.id,
            from_state=from_state,
            to_state=rollback.state,
            actor=actor,
            reason=rollback.state_reason,
            figures=rollback.figures,
            at=now,
        )
    )


def _one(connection: Connection, query: Select[Any]) -> Rollback | None:
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _rollback(row)


def _rollback(row: RowMapping) -> Rollback:
    fields = {name: row[name] for name in Rollback.__dataclass_fields__}
    evidence = row["evidence"]
    return replace(Rollback(**fields), evidence=None if evidence is None else Evidence.model_validate(evidence))


def _values(rollback: Rollback) -> dict[str, Any]:
    evidence = rollback.evidence
    return vars(rollback) | {
        "evidence": None if evidence is None else evidence.model_dump(mode="json"),
        "from_weights": dict(rollback.from_weights),
        "figures": None if rollback.figures is None else dict(rollback.figures),
    }
