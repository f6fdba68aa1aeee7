"""Targets, releases, generations and polling gateways as rows of the control database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, and_, delete, insert, select, update

from schemas.control.targets import generations, pollers, releases, targets

Kind = Literal["created", "promotion", "rollback"]
Mode = Literal["dry_run", "approve", "auto"]

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Target:
    """What can be rolled back, and its desired state.

    `weights` maps release to percent and adds up to 100; it is empty before the first promotion. `current` is the release
    promoted last, `previous` the one it replaced, `kind` how this generation arose. `mode` may only make the configured
    mode of automatic rollbacks stricter. `webhook` names a configured endpoint for the executor of that name.
    """

    project: str
    name: str
    generation: int
    weights: Mapping[str, float]
    current: str | None
    previous: str | None
    last_known_good: str | None
    kind: Kind
    changed_at: datetime
    executor: str
    webhook: str | None
    mode: Mode | None
    created_at: datetime


@dataclass(frozen=True)
class Release:
    """One immutable version of a target. `content_hash` is SHA-256 over the canonical JSON of `content`."""

    project: str
    target: str
    name: str
    content: Any
    content_hash: str
    created_at: datetime
    created_by: str
    rolled_back_at: datetime | None


@dataclass(frozen=True)
class Change:
    """Who made a generation, and why."""

    actor: str
    reason: str
    at: datetime
    rollback_id: str | None = None


@dataclass(frozen=True)
class Poller:
    """A gateway, and the generation it last said it had."""

    gateway: str
    generation: int
    seen_at: datetime


def promotions_within(connection: Connection, project: str, start: datetime, end: datetime) -> dict[str, list[datetime]]:
    """When each target of a project was promoted to a release in (start, end], oldest first."""
    g = generations.c
    query = select(g.target, g.at).where(g.project == project, g.kind == "promotion", g.at > start, g.at <= end).order_by(g.at)
    found: dict[str, list[datetime]] = {}
    for row in connection.execute(query):
        found.setdefault(row.target, []).append(row.at)
    return found


def read_target(connection: Connection, project: str, name: str) -> Target | None:
    """The target, or None."""
    query = select(targets).where(targets.c.project == project, targets.c.name == name)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Target(**row)


def list_targets(connection: Connection, project: str) -> list[Target]:
    """All targets of a project by name."""
    query = select(targets).where(targets.c.project == project).order_by(targets.c.name)
    return [Target(**row) for row in connection.execute(query).mappings()]


def read_generations(connection: Connection) -> dict[tuple[str, str], int]:
    """The present generation of every target, by project and name."""
    query = select(targets.c.project, targets.c.name, targets.c.generation)
    return {(row.project, row.name): row.generation for row in connection.execute(query)}


def insert_target(connection: Connection, target: Target, change: Change) -> None:
    """Add a target with its first generation."""
    connection.execute(insert(targets).values(_values(target)))
    _insert_generation(connection, target, change)


def move_target(connection: Connection, before: Target, after: Target, change: Change) -> Target | None:
    """Make the next generation if the target is still at that of `before`; None when it is not."""
    moved = replace(after, generation=before.generation + 1, changed_at=change.at)
    statement = (
        update(targets)
        .where(targets.c.project == before.project, targets.c.name == before.name, targets.c.generation == before.generation)
        .values(_values(moved))
    )
    if connection.execute(statement).rowcount != 1:
        return None
    _insert_generation(connection, moved, change)
    return moved


def update_options(connection: Connection, target: Target) -> None:
    """Store executor, webhook and mode; the desired state and its generation stay."""
    statement = update(targets).where(targets.c.project == target.project, targets.c.name == target.name)
    connection.execute(statement.values(executor=target.executor, webhook=target.webhook, mode=target.mode))


def read_release(connection: Connection, project: str, target: str, name: str) -> Release | None:
    """The release, or None."""
    row = connection.execute(select(releases).where(_is_release(project, target, name))).mappings().one_or_none()
    return None if row is None else Release(**row)


def list_releases(connection: Connection, project: str, target: str, limit: int = 1000) -> list[Release]:
    """The latest releases of a target, newest first."""
    query = select(releases).where(releases.c.project == project, releases.c.target == target)
    query = query.order_by(releases.c.created_at.desc(), releases.c.name).limit(limit)
    return [Release(**row) for row in connection.execute(query).mappings()]


def insert_release(connection: Connection, release: Release) -> None:
    """Add a release."""
    connection.execute(insert(releases).values(vars(release)))


def mark_rolled_back(connection: Connection, project: str, target: str, name: str, now: datetime) -> None:
    """Remember that a rollback undid this release: it cannot become the last known good one."""
    connection.execute(update(releases).where(_is_release(project, target, name)).values(rolled_back_at=now))


def record_poller(connection: Connection, target: Target, poller: Poller) -> None:
    """Store which generation a gateway has; those that have not asked for a day are forgotten when one is new."""
    place = {"project": target.project, "target": target.name, "gateway": poller.gateway}
    seen = {"generation": poller.generation, "seen_at": poller.seen_at}
    here = and_(*(pollers.c[name] == value for name, value in place.items()))
    if connection.execute(update(pollers).where(here).values(seen)).rowcount == 0:
        gone = pollers.c.seen_at < poller.seen_at - FORGOTTEN_AFTER
        connection.execute(delete(pollers).where(pollers.c.project == target.project, pollers.c.target == target.name, gone))
        connection.execute(insert(pollers).values(place | seen))


def read_pollers(connection: Connection, project: str, target: str, since: datetime) -> list[Poller]:
    """The gateways that asked for the desired state at `since` or later."""
    query = select(pollers.c.gateway, pollers.c.generation, pollers.c.seen_at).where(
        pollers.c.project == project, pollers.c.target == target, pollers.c.seen_at >= since
    )
    return [Poller(**row) for row in connection.execute(query.order_by(pollers.c.gateway)).mappings()]


def _is_release(project: str, target: str, name: str) -> Any:
    return and_(releases.c.project == project, releases.c.target == target, releases.c.name == name)


def _insert_generation(connection: Connection, target: Target, change: Change) -> None:
    state = {name: getattr(target, name) for name in ("generation", "current", "previous", "last_known_good", "kind")}
    connection.execute(
        insert(generations).values(
            **state,
            project=target.project,
            target=target.name,
            weights=dict(target.weights),
            actor=change.actor,
            reason=change.reason,
            at=change.at,
            rollback_id=change.rollback_id,
        )
    )


def _values(target: Target) -> dict[str, Any]:
    return vars(target) | {"weights": dict(target.weights)}
