"""Leases: one process at a time does what only one may do. The rows exist from the migration on."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, case, or_, select, update

from schemas.control.alerting import leases

ALERTING = "alerting"


def take_lease(connection: Connection, name: str, holder: str, now: datetime, length: timedelta) -> int | None:
    """Take or prolong a lease; its token, which grows whenever it changes hands, or None: another holds it."""
    mine = leases.c.holder == holder
    statement = (
        update(leases)
        .where(leases.c.name == name, or_(mine, leases.c.expires_at <= now))
        .values(
            holder=holder,
            token=case((and_(mine, leases.c.expires_at > now), leases.c.token), else_=leases.c.token + 1),
            expires_at=now + length,
        )
    )
    if connection.execute(statement).rowcount != 1:
        return None
    return int(connection.execute(select(leases.c.token).where(leases.c.name == name)).scalar_one())


def holds_lease(connection: Connection, name: str, holder: str, token: int) -> bool:
    """Whether a lease is still the one that was taken: asked inside the transaction that depends on it."""
    query = select(leases.c.token).where(leases.c.name == name, leases.c.holder == holder, leases.c.token == token)
    return connection.execute(query).first() is not None


def release_lease(connection: Connection, name: str, holder: str, now: datetime) -> None:
    """Let another process take over at once."""
    connection.execute(update(leases).where(leases.c.name == name, leases.c.holder == holder).values(expires_at=now))
