"""The outbox and its channels as rows of the control database. What the rows mean is decided in alerting/outbox.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Select, and_, exists, func, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from schemas.control.alerting import channels, deliveries

State = Literal["pending", "sending", "delivered", "withheld", "dead"]

OPEN: tuple[State, ...] = ("pending", "sending")


@dataclass(frozen=True)
class Delivery:
    """One notice for one channel.

    pending and sending are on their way. withheld were not sent on purpose (`state_reason` says which), dead could not be.
    """

    id: int
    project: str
    rule_id: str
    fingerprint: str
    episode: int
    transition: str
    channel: str
    group_key: str
    group_interval_s: float
    firing: bool
    notice: Mapping[str, Any]
    state: State
    state_reason: str
    not_before: datetime
    attempts: int
    message_id: str | None
    claimed_by: str | None
    claimed_until: datetime | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def stream(self) -> tuple[str, str]:
        """What keeps its order."""
        return self.fingerprint, self.channel


@dataclass(frozen=True)
class ChannelRow:
    """A configured channel; disabled when its endpoint said it is gone."""

    name: str
    type: str
    configured: bool
    address_hash: str
    disabled_at: datetime | None
    disabled_reason: str | None
    not_before: datetime | None


_earlier = deliveries.alias("earlier")


def insert_delivery(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Add a row unless its key is there; whether it was added."""
    key = ("project", "rule_id", "fingerprint", "episode", "transition", "channel")
    known = select(deliveries.c.id).where(*(deliveries.c[name] == values[name] for name in key))
    if connection.execute(known).first() is not None:
        return False
    connection.execute(insert(deliveries).values(**values))
    return True


def due_heads(connection: Connection, now: datetime, names: Sequence[str], limit: int = 200) -> list[Delivery]:
    """Rows that may go out now, oldest first: each the first open one of its stream, on a channel that takes messages.

    A row that a crashed worker left behind is due again when its claim has run out.
    """
    query = (
        select(deliveries)
        .join(channels, channels.c.name == deliveries.c.channel)
        .where(
            _unclaimed(now),
            deliveries.c.not_before <= now,
            deliveries.c.channel.in_(names),
            channels.c.disabled_at.is_(None),
            or_(channels.c.not_before.is_(None), channels.c.not_before <= now),
            ~_has_earlier(),
        )
    )
    return _rows(connection, query.order_by(deliveries.c.id).limit(limit))


def claim_rows(
    connection: Connection, rows: Sequence[Delivery], *, message_id: str, worker: str, now: datetime, until: datetime
) -> bool:
    """Take rows for one message; False when another worker has one of them."""
    statement = (
        update(deliveries)
        .where(deliveries.c.id.in_([row.id for row in rows]), _unclaimed(now))
        .values(
            state="sending", message_id=message_id, claimed_by=worker, claimed_until=until, attempts=deliveries.c.attempts + 1
        )
    )
    return connection.execute(statement).rowcount == len(rows)


def settle_rows(connection: Connection, rows: Sequence[Delivery], worker: str, values: Mapping[str, Any]) -> bool:
    """Store what became of claimed rows; False when the claim was lost."""
    statement = (
        update(deliveries)
        .where(
            deliveries.c.id.in_([row.id for row in rows]), deliveries.c.state == "sending", deliveries.c.claimed_by == worker
        )
        .values(claimed_by=None, claimed_until=None, **values)
    )
    return connection.execute(statement).rowcount == len(rows)


def change_row(connection: Connection, row_id: int, values: Mapping[str, Any]) -> None:
    """Change one row that nobody holds."""
    connection.execute(update(deliveries).where(deliveries.c.id == row_id, deliveries.c.state != "sending").values(values))


def receiver_believes_firing(connection: Connection, row: Delivery) -> bool:
    """Whether the last notice that reached this channel about this alert said that it fires."""
    d = deliveries.c
    query = select(d.firing).where(
        d.fingerprint == row.fingerprint, d.channel == row.channel, d.state == "delivered", d.id < row.id
    )
    return bool(connection.execute(query.order_by(d.id.desc()).limit(1)).scalar())


def resolves_later(connection: Connection, row: Delivery) -> bool:
    """Whether an open row after this one says that the alert is over."""
    d = deliveries.c
    query = select(d.id).where(
        d.fingerprint == row.fingerprint, d.channel == row.channel, d.id > row.id, d.state.in_(OPEN), ~d.firing
    )
    return connection.execute(query.limit(1)).first() is not None


def overtaken(connection: Connection, row: Delivery) -> bool:
    """Whether something newer about this alert has reached the channel, or may have: it was tried."""
    d = deliveries.c
    tried = or_(d.state.in_(("delivered", "sending")), and_(d.state == "pending", d.attempts > 0))
    query = select(d.id).where(d.fingerprint == row.fingerprint, d.channel == row.channel, d.id > row.id, tried)
    return connection.execute(query.limit(1)).first() is not None


def waiting_since(connection: Connection, group_key: str, channel: str) -> datetime | None:
    """When the message that a group is gathering goes out."""
    d = deliveries.c
    query = select(func.min(d.not_before)).where(
        d.group_key == group_key, d.channel == channel, d.state == "pending", d.attempts == 0
    )
    return _moment(connection, query)


def last_sent(connection: Connection, group_key: str, channel: str) -> datetime | None:
    """When a group last sent a message."""
    d = deliveries.c
    query = select(func.max(d.finished_at)).where(d.group_key == group_key, d.channel == channel, d.state == "delivered")
    return _moment(connection, query)


def find_delivery(connection: Connection, project: str, delivery_id: int) -> Delivery | None:
    """One row."""
    found = _rows(connection, select(deliveries).where(deliveries.c.project == project, deliveries.c.id == delivery_id))
    return found[0] if found else None


def rows_of_message(connection: Connection, message_id: str) -> list[Delivery]:
    """The rows that go out together under one id."""
    return _rows(connection, select(deliveries).where(deliveries.c.message_id == message_id).order_by(deliveries.c.id))


def withheld_after(connection: Connection, row: Delivery) -> list[Delivery]:
    """Rows of the same alert and channel that were withheld after this one."""
    d = deliveries.c
    query = select(deliveries).where(
        d.fingerprint == row.fingerprint, d.channel == row.channel, d.id > row.id, d.state == "withheld"
    )
    return _rows(connection, query.order_by(d.id))


def list_deliveries(
    connection: Connection,
    project: str,
    *,
    state: str | None = None,
    channel: str | None = None,
    fingerprint: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """The latest rows of a project, newest first; `before` is the id of the last one seen."""
    clauses: list[ColumnElement[bool]] = [deliveries.c.project == project]
    wanted = {"state": state, "channel": channel, "fingerprint": fingerprint}
    clauses += [deliveries.c[name] == value for name, value in wanted.items() if value is not None]
    if before is not None:
        clauses.append(deliveries.c.id < before)
    return _rows(connection, select(deliveries).where(and_(*clauses)).order_by(deliveries.c.id.desc()).limit(limit))


def list_channels(connection: Connection) -> list[ChannelRow]:
    """Every channel by name, also those no longer configured."""
    return [ChannelRow(**row) for row in connection.execute(select(channels).order_by(channels.c.name)).mappings()]


def configured_channels(connection: Connection) -> list[str]:
    """Names of the channels that are configured."""
    return [channel.name for channel in list_channels(connection) if channel.configured]


def sync_channels(connection: Connection, configured: Mapping[str, tuple[str, str]]) -> None:
    """Store which channels are configured: name → (type, hash of its address). A new address enables a channel again."""
    known = {channel.name: channel for channel in list_channels(connection)}
    for name, (kind, address_hash) in configured.items():
        values: dict[str, Any] = {"type": kind, "configured": True, "address_hash": address_hash}
        if name not in known:
            connection.execute(insert(channels).values(name=name, **values))
            continue
        if known[name].address_hash != address_hash:
            values |= {"disabled_at": None, "disabled_reason": None, "not_before": None}
        change_channel(connection, name, values)
    for name in known.keys() - configured.keys():
        change_channel(connection, name, {"configured": False})


def change_channel(connection: Connection, name: str, values: Mapping[str, Any]) -> bool:
    """Change a channel; whether it exists."""
    return connection.execute(update(channels).where(channels.c.name == name).values(values)).rowcount == 1


def _unclaimed(now: datetime) -> ColumnElement[bool]:
    d = deliveries.c
    return or_(d.state == "pending", and_(d.state == "sending", d.claimed_until <= now))


def _has_earlier() -> ColumnElement[bool]:
    earlier, d = _earlier.c, deliveries.c
    return exists().where(
        earlier.fingerprint == d.fingerprint, earlier.channel == d.channel, earlier.id < d.id, earlier.state.in_(OPEN)
    )


def _moment(connection: Connection, query: Select[Any]) -> datetime | None:
    found: datetime | None = connection.execute(query).scalar()
    return found


def _rows(connection: Connection, query: Select[Any]) -> list[Delivery]:
    return [Delivery(**row) for row in connection.execute(query).mappings()]
