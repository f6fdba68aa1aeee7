"""Where a report reads from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.settings import Settings
from storage.analysis import Progress
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase

Clock = Callable[[], datetime]


async def unknown_progress() -> Sequence[Progress]:
    """Where nobody can say how far the analyzers are."""
    return ()


async def unknown_watermark() -> datetime | None:
    """Where nobody can say until when everything is stored."""
    return None


@dataclass(frozen=True)
class Sources:
    """The two databases, the settings in force, how far the analyzers are, and until when everything is stored."""

    store: ClickHouseStore
    control: ControlDatabase
    settings: Settings
    clock: Clock
    version: str
    progress: Callable[[], Awaitable[Sequence[Progress]]] = unknown_progress
    watermark: Callable[[], Awaitable[datetime | None]] = unknown_watermark
