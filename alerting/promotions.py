"""What a target's history says about the release it serves: since when, against which other, and how often before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from schemas.control.targets import generations

SPENDING_PERIOD = timedelta(days=28)
_HISTORY = 1000


@dataclass(frozen=True)
class Generation:
    """One desired state of a target."""

    generation: int
    weights: dict[str, float]
    current: str | None
    previous: str | None
    last_known_good: str | None
    kind: str
    at: datetime


@dataclass(frozen=True)
class Promotion:
    """A release in its trial, and the one it is measured against.

    `promoted_at` is when the candidate took its first traffic, `beside_since` since when both releases have a weight at
    once (None: they do not now), `baseline_since` and `baseline_until` bound when the baseline served last before that.
    `ordinal` counts the target's promotions within 28 days up to this one, from 1.
    """

    target: str
    generation: int
    candidate: str
    baseline: str
    promoted_at: datetime
    beside_since: datetime | None
    baseline_since: datetime
    baseline_until: datetime
    ordinal: int


def read_history(connection: Connection, project: str, target: str) -> list[Generation]:
    """The latest generations of a target, newest first."""
    columns = [generations.c[field.name] for field in fields(Generation)]
    query = (
        select(*columns)
        .where(generations.c.project == project, generations.c.target == target)
        .order_by(generations.c.generation.desc())
        .limit(_HISTORY)
    )
    return [Generation(**row) for row in connection.execute(query).mappings()]


def promotion_of(target: str, history: Sequence[Generation], baseline: str) -> Promotion | None:
    """The trial that `target` is in, or None: it was rolled back, nothing is promoted, or there is nothing to compare with.

    `baseline` is previous, last_known_good or a release; `history` is newest first and starts with the present state.
    """
    if not history:
        return None
    now = history[0]
    other = {"previous": now.previous, "last_known_good": now.last_known_good}.get(baseline, baseline)
    if now.kind != "promotion" or now.current is None or other in (None, now.current):
        return None
    assert other is not None
    trial = _leading(history, lambda state: state.current == now.current and state.kind == "promotion")
    promoted_at = trial[-1].at
    beside = _leading(trial, lambda state: _serves(state, other) and _serves(state, trial[0].current))
    since, until = _last_service(history[len(trial) :], other, promoted_at)
    return Promotion(
        target=target,
        generation=now.generation,
        candidate=now.current,
        baseline=other,
        promoted_at=promoted_at,
        beside_since=beside[-1].at if beside else None,
        baseline_since=since,
        baseline_until=until,
        ordinal=_ordinal(history, trial[0].at),
    )


def _last_service(earlier: Sequence[Generation], release: str, until: datetime) -> tuple[datetime, datetime]:
    """When `release` last had a weight: of its whole past where the history does not say."""
    for place, state in enumerate(earlier):
        if _serves(state, release):
            return _leading(earlier[place:], lambda state: _serves(state, release))[-1].at, until
        until = state.at
    return until - SPENDING_PERIOD, until


def _ordinal(history: Sequence[Generation], at: datetime) -> int:
    """Promotions in the 28 days up to `at`: in any 28 days the first counts at least 1, the second at least 2, …"""
    return max(1, sum(1 for state in history if state.kind == "promotion" and at - SPENDING_PERIOD < state.at <= at))


def _leading(states: Sequence[Generation], holds: Callable[[Generation], bool]) -> list[Generation]:
    found: list[Generation] = []
    for state in states:
        if not holds(state):
            break
        found.append(state)
    return found


def _serves(state: Generation, release: str | None) -> bool:
    return release is not None and state.weights.get(release, 0) > 0
