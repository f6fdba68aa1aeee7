"""`tracewarden migrate`: everything that is kept, brought to the schema of this version."""

from __future__ import annotations

from api.base import open_control, open_store
from api.datadir import DataDirLock
from ingest.kafka_topics import create_topics
from schemas.settings import Settings
from storage.migrations import migrate_store


async def migrate(settings: Settings) -> list[str]:
    """Migrate each part; a line for each, saying what ran.

    Raises:
        DataDirError: another process has the embedded stores open (`serve` migrates them when it starts).
        StoreError, ControlError, KafkaUnusableError: a part cannot be reached or is of another version.
    """
    lock = DataDirLock(settings.data_dir)
    if settings.clickhouse_url is None:
        lock.acquire()
    try:
        lines = [await _migrate_control(settings), await _migrate_store(settings)]
    finally:
        lock.release()
    if settings.kafka is not None:
        made = await create_topics(settings.kafka)
        lines.append(f"kafka: {'made ' + ', '.join(made) if made else 'up to date'}")
    return lines


async def _migrate_control(settings: Settings) -> str:
    control = open_control(settings)
    try:
        await control.migrate()
    finally:
        await control.close()
    return "control database: up to date"


async def _migrate_store(settings: Settings) -> str:
    store = open_store(settings, threads=1)
    try:
        ran = await migrate_store(store, retention_days=settings.ingest.retention_days)
    finally:
        await store.close()
    return f"trace store: {', '.join(ran) if ran else 'up to date'}"
