"""A real chDB store for every test that asks for one."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from storage.clickhouse import ClickHouseStore
from storage.migrations import migrate_store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def chdb_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One chDB path for the whole run: a process can host only one."""
    return f"chdb://{tmp_path_factory.mktemp('chdb')}"


@pytest.fixture
async def bare_store(chdb_url: str) -> AsyncIterator[ClickHouseStore]:
    """A store whose database does not exist yet."""
    store = ClickHouseStore(chdb_url, database=f"test_{next(_numbers)}", threads=2)
    yield store
    await store.command(f"DROP DATABASE IF EXISTS {store.database}")
    await store.close()


@pytest.fixture(scope="session")
def migrated() -> list[str]:
    """The database that every migrated store of this run uses, once it exists."""
    return []


@pytest.fixture
async def store(chdb_url: str, migrated: list[str]) -> AsyncIterator[ClickHouseStore]:
    """A migrated, empty store that keeps rows of any age. Migrating takes longer than most tests: it is done once."""
    opened = ClickHouseStore(chdb_url, database="migrated", threads=2)
    if not migrated:
        migrated += await migrate_store(opened, retention_days=3_650)
    yield opened
    rows = await opened.query(
        "SELECT name FROM system.tables"
        " WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'store_migrations'"
    )
    for row in rows:
        await opened.command(f"TRUNCATE TABLE {row['name']}")
    await opened.command("SYSTEM RELOAD DICTIONARY token_prices")
    await opened.close()
