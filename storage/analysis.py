"""Where each analyzer stands in the log: cursors, plans, and the leases that keep two processes apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from schemas.control.alerting import leases
from schemas.control.analysis import analyzer_cursors
from storage.leases import holds_lease, release_lease, take_lease

EMBEDDED_TOPIC = "embedded"
"""The topic of the embedded log, which has none."""

_EPOCH = datetime.fromtimestamp(0, UTC)


class LeaseLostError(Exception):
    """Another process took over; what was being done is left to it."""


@dataclass(frozen=True)
class Plan:
    """The stretch [first, end) that is being worked on, and how many texts may be looked at in it (None: all)."""

    first: int
    end: int
    allowance: int | None


@dataclass(frozen=True)
class Cursor:
    """Everything before `next_offset` is analyzed. `seen_at`: arrival of the newest span analyzed."""

    next_offset: int
    plan: Plan | None
    seen_at: datetime | None
    failures: int = 0
    last_error: str | None = None


@dataclass(frozen=True)
class Seat:
    """One analyzer on one partition of a topic: what a cursor and a lease belong to."""

    analyzer: str
    topic: str
    partition: int

    @property
    def lease(self) -> str:
        """The name of its lease."""
        return f"analyze:{self.analyzer[:40]}:{self.partition}"


def take_seat(connection: Connection, seat: Seat, holder: str, now: datetime, length: timedelta) -> int | None:
    """Take or prolong the lease of a seat; its token, or None while another process has it."""
    if connection.execute(select(leases.c.name).where(leases.c.name == seat.lease)).first() is None:
        connection.execute(insert(leases).values(name=seat.lease, holder="", token=0, expires_at=_EPOCH))
    return take_lease(connection, seat.lease, holder, now, length)


def leave_seat(connection: Connection, seat: Seat, holder: str, now: datetime) -> None:
    """Let another process take over at once."""
    release_lease(connection, seat.lease, holder, now)


def count_processes(connection: Connection, analyzer: str, now: datetime) -> int:
    """How many processes run an analyzer: those that prolong a seat at the partition −1 of a name of their own."""
    names = leases.c.name.startswith(f"analyze:{analyzer}.", autoescape=True) & leases.c.name.endswith(":-1")
    return connection.execute(select(func.count()).where(names, leases.c.expires_at > now)).scalar_one()


def read_cursor(connection: Connection, seat: Seat) -> Cursor:
    """Where a seat stands; at the beginning where it never stood."""
    row = connection.execute(select(analyzer_cursors).where(*_of(seat))).one_or_none()
    if row is None:
        return Cursor(0, None, None)
    plan = None if row.planned_end is None else Plan(row.next_offset, row.planned_end, row.allowance)
    return Cursor(row.next_offset, plan, row.seen_at, row.failures, row.last_error)


def furthest_offset(connection: Connection, topic: str) -> int:
    """Up to where any analyzer has read, or is reading, any partition of a topic; 0 where none has."""
    reached = func.max(func.coalesce(analyzer_cursors.c.planned_end, analyzer_cursors.c.next_offset))
    return connection.execute(select(reached).where(analyzer_cursors.c.topic == topic)).scalar_one() or 0


def write_cursor(connection: Connection, seat: Seat, cursor: Cursor, now: datetime) -> None:
    """Replace where a seat stands."""
    values = {
        "next_offset": cursor.next_offset,
        "planned_end": cursor.plan.end if cursor.plan else None,
        "allowance": cursor.plan.allowance if cursor.plan else None,
        "seen_at": cursor.seen_at,
        "failures": cursor.failures,
        "last_error": cursor.last_error,
        "updated_at": now,
    }
    if connection.execute(update(analyzer_cursors).where(*_of(seat)).values(values)).rowcount == 0:
        key = {"analyzer": seat.analyzer, "topic": seat.topic, "log_partition": seat.partition}
        connection.execute(insert(analyzer_cursors).values(**key, **values))


def write_held_cursor(connection: Connection, seat: Seat, cursor: Cursor, lease: tuple[str, int], now: datetime) -> None:
    """`write_cursor`, in the transaction that makes sure that the seat is still this process's.

    Raises:
        LeaseLostError: it is not.
    """
    if not holds_lease(connection, seat.lease, *lease):
        raise LeaseLostError(seat.lease)
    write_cursor(connection, seat, cursor, now)


@dataclass(frozen=True)
class Progress:
    """One analyzer over all partitions; `behind` counts records of the log, `watermark` is None while it never finished one.

    Everything that arrived before `watermark` is analyzed.
    """

    analyzer: str
    behind: int
    watermark: datetime | None
    failures: int
    last_error: str | None


def read_analysis(
    connection: Connection, topic: str, committed: Mapping[int, int], watermark: datetime | None
) -> list[Progress]:
    """How far each analyzer is, given how far the log is stored. One that has read all is as far as the log itself."""
    rows = connection.execute(
        select(analyzer_cursors).where(analyzer_cursors.c.topic == topic).order_by(analyzer_cursors.c.analyzer)
    ).all()
    found = []
    for name in dict.fromkeys(row.analyzer for row in rows):
        own = {row.log_partition: row for row in rows if row.analyzer == name}
        waiting = {number: end - (own[number].next_offset if number in own else 0) for number, end in committed.items()}
        late = [own[number].seen_at if number in own else None for number, count in waiting.items() if count > 0]
        found.append(
            Progress(
                analyzer=name,
                behind=sum(max(0, count) for count in waiting.values()),
                watermark=_earliest([*late, watermark]),
                failures=sum(row.failures for row in own.values()),
                last_error=next((row.last_error for row in own.values() if row.last_error), None),
            )
        )
    return found


def _earliest(times: list[datetime | None]) -> datetime | None:
    known = [time for time in times if time is not None]
    return min(known) if len(known) == len(times) and known else None


def _of(seat: Seat) -> tuple[ColumnElement[bool], ...]:
    columns = analyzer_cursors.c
    return columns.analyzer == seat.analyzer, columns.topic == seat.topic, columns.log_partition == seat.partition
