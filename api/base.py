"""What every role of a process has, and how it is opened."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr

from api.datadir import create
from schemas.instruments import Instruments
from schemas.settings import Settings
from storage.clickhouse import ClickHouseStore, embedded_url
from storage.control import ControlDatabase, sqlite_url

ALL_ROLES = ("ingest", "write", "analyze", "alert", "api")

Clock = Callable[[], datetime]


class StartError(Exception):
    """A part cannot be put together from the settings; the message names the fix."""


@dataclass(frozen=True)
class Base:
    """The parts that every role shares."""

    settings: Settings
    control: ControlDatabase
    store: ClickHouseStore
    instruments: Instruments
    clock: Clock
    pepper: SecretStr
    roles: frozenset[str]

    @property
    def whole(self) -> bool:
        """Whether this process has every role."""
        return self.roles == frozenset(ALL_ROLES)


def utc_now() -> datetime:
    """The clock of the process."""
    return datetime.now(UTC)


def version() -> str:
    """The installed version of Tracewarden."""
    return importlib.metadata.version("tracewarden")


def open_control(settings: Settings) -> ControlDatabase:
    """The control database of the settings; nothing is connected yet."""
    if settings.database_url is not None:
        return ControlDatabase(settings.database_url.get_secret_value())
    create(settings.data_dir)
    return ControlDatabase(sqlite_url(settings.data_dir))


# The system's priority holds where the process may change it (CAP_SYS_NICE); elsewhere the store leaves it as it is.
BEHIND = {"max_threads": 1, "max_insert_threads": 1, "os_thread_priority": 15}


def open_store(settings: Settings, threads: int, *, behind: bool = False) -> ClickHouseStore:
    """The trace store of the settings, for so many statements at once; nothing is connected yet.

    `behind`: inside this process its statements step back behind those of whoever stores or answers.
    """
    if settings.clickhouse_url is not None:
        return ClickHouseStore(settings.clickhouse_url.get_secret_value(), threads=threads)
    create(settings.data_dir)
    return ClickHouseStore(embedded_url(settings.data_dir), threads=threads, settings=BEHIND if behind else None)
