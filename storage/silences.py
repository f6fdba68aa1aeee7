"""Silences: labels that must match, and until when."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from schemas.control.alerting import silences


@dataclass(frozen=True)
class Silence:
    """While it lasts, alerts whose labels equal every one of `matchers` are held back."""

    id: str
    project: str
    matchers: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    comment: str
    created_by: str
    created_at: datetime

    def matches(self, labels: Mapping[str, str], now: datetime) -> bool:
        """Whether it holds back an alert with these labels now."""
        in_force = self.starts_at <= now < self.ends_at
        return in_force and all(labels.get(name) == value for name, value in self.matchers.items())


def new_silence(
    project: str, matchers: Mapping[str, str], starts_at: datetime, ends_at: datetime, comment: str, actor: str, now: datetime
) -> Silence:
    """A silence with a fresh id."""
    return Silence("si_" + secrets.token_hex(10), project, dict(matchers), starts_at, ends_at, comment, actor, now)


def insert_silence(connection: Connection, silence: Silence) -> None:
    """Store a silence."""
    connection.execute(insert(silences).values(vars(silence)))


def list_silences(connection: Connection, project: str, *, after: datetime | None = None) -> list[Silence]:
    """The silences of a project that end after a moment (None: all), the last to end first."""
    query = select(silences).where(silences.c.project == project).order_by(silences.c.ends_at.desc(), silences.c.id)
    if after is not None:
        query = query.where(silences.c.ends_at > after)
    return [Silence(**row) for row in connection.execute(query).mappings()]


def end_silence(connection: Connection, project: str, silence_id: str, now: datetime) -> Silence | None:
    """End a silence now; None when there is none of that id. One that is over stays as it was."""
    found = [silence for silence in list_silences(connection, project) if silence.id == silence_id]
    if not found:
        return None
    if found[0].ends_at > now:
        connection.execute(update(silences).where(silences.c.id == silence_id).values(ends_at=now))
    return found[0]


def holding(silences_in_force: Sequence[Silence], labels: Mapping[str, str], now: datetime) -> Silence | None:
    """The silence that holds back these labels for longest."""
    matching = [silence for silence in silences_in_force if silence.matches(labels, now)]
    return max(matching, key=lambda silence: silence.ends_at, default=None)
