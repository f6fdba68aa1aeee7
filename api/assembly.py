"""Which components a role consists of, and what they are made from. The only place that wires the parts together."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import ProcessCollector
from sqlalchemy import select, text

from api.datadir import create
from api.health import Dependency, health_app
from api.lifecycle import Closing, Component
from api.listeners import Addresses, HttpListener
from schemas.instruments import Instruments
from schemas.settings import Settings
from storage.clickhouse import ClickHouseStore, embedded_url
from storage.control import ControlDatabase, sqlite_url

LOW_DISK_BYTES = 256 * 1024 * 1024

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Base:
    """What every role has."""

    settings: Settings
    control: ControlDatabase
    store: ClickHouseStore
    instruments: Instruments
    clock: Clock


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


def open_store(settings: Settings) -> ClickHouseStore:
    """The trace store of the settings; nothing is connected yet."""
    if settings.clickhouse_url is not None:
        return ClickHouseStore(settings.clickhouse_url.get_secret_value(), threads=settings.query.threads)
    create(settings.data_dir)
    return ClickHouseStore(embedded_url(settings.data_dir), threads=settings.query.threads)


async def assemble(settings: Settings, roles: Sequence[str], addresses: Addresses) -> list[Component]:
    """The components of `roles` in the order of their start: what others use comes first, listeners last."""
    base = Base(settings, open_control(settings), open_store(settings), Instruments(), utc_now)
    ProcessCollector(registry=base.instruments.registry)
    await base.control.migrate()
    api = HttpListener("api", health_app(dependencies(base), base.instruments), addresses.api)
    return [Closing(base.control.close), Closing(base.store.close), api]


def dependencies(base: Base) -> list[Dependency]:
    """What `/readyz` asks."""

    async def control() -> str | None:
        await base.control.read(lambda connection: connection.execute(select(text("1"))).scalar_one())
        return None

    async def store() -> str | None:
        await base.store.query("SELECT 1")
        return None

    async def disk() -> str | None:
        return low_disk(base.settings.data_dir)

    found = [Dependency("control", control), Dependency("store", store)]
    return [*found, Dependency("disk", disk)] if base.store.embedded else found


def low_disk(data_dir: Path) -> str | None:
    """Why the disk under `data_dir` is too full to go on, or None."""
    free = shutil.disk_usage(data_dir).free
    if free >= LOW_DISK_BYTES:
        return None
    return f"{free // 2**20} MiB free under {data_dir}: free some space or shorten ingest.retention_days"
