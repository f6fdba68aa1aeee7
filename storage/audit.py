"""The audit log: who did what to what, from where, with the state before and after. The database refuses to change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from schemas.control.core import audit

Snapshot = Mapping[str, Any] | None


@dataclass(frozen=True)
class AuditEntry:
    """One line of the log. `source` says from where: an address, or the part of Tracewarden that acted."""

    id: int
    project: str
    at: datetime
    actor: str
    action: str
    subject: str
    before: Snapshot
    after: Snapshot
    source: str


def record(
    connection: Connection,
    *,
    project: str,
    actor: str,
    action: str,
    subject: str,
    before: Snapshot,
    after: Snapshot,
    source: str,
    now: datetime,
) -> None:
    """Add a line, in the transaction of the change that it tells of."""
    connection.execute(
        insert(audit).values(
            project=project,
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
            source=source,
        )
    )


def read_audit(
    connection: Connection, project: str, *, subject: str | None = None, before_id: int | None = None, limit: int = 100
) -> list[AuditEntry]:
    """The latest lines of a project, newest first; `before_id` continues an earlier page."""
    query = select(audit).where(audit.c.project == project).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    return [AuditEntry(**row) for row in connection.execute(query).mappings()]
