"""What the writers tell the readers: how far the store is behind the trace log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from schemas.control.progress import log_progress
from storage.control import ControlDatabase


@dataclass(frozen=True)
class Progress:
    """One partition: every record before `offset`, and every one received before `watermark`, is in the store."""

    offset: int
    watermark: datetime


def publish_progress(connection: Connection, topic: str, partitions: Mapping[int, Progress], now: datetime) -> None:
    """Replace what is known of `partitions`."""
    if not partitions:
        return
    keys = log_progress.c.topic == topic, log_progress.c.log_partition.in_(list(partitions))
    connection.execute(delete(log_progress).where(*keys))
    rows = [
        {"topic": topic, "log_partition": number, "log_offset": at.offset, "watermark": at.watermark, "updated_at": now}
        for number, at in partitions.items()
    ]
    connection.execute(insert(log_progress), rows)


def read_progress(connection: Connection, topic: str) -> dict[int, Progress]:
    """What the writers last published, by partition."""
    rows = connection.execute(select(log_progress).where(log_progress.c.topic == topic))
    return {row.log_partition: Progress(row.log_offset, row.watermark) for row in rows}


async def read_watermark(control: ControlDatabase, topic: str) -> datetime | None:
    """Everything received before it is in the store: the minimum over the partitions; None while no writer has reported.

    A writer that stopped leaves its last word, so the watermark stands still: a lag is seen as a lag, not as an outage of
    the applications.
    """
    query = select(func.min(log_progress.c.watermark)).where(log_progress.c.topic == topic)
    return await control.read(lambda connection: connection.execute(query).scalar_one())
