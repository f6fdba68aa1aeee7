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


@pytest.fixture
async def store(bare_store: ClickHouseStore) -> ClickHouseStore:
    """A migrated store in a database of its own."""
    await migrate_store(bare_store)
    return bare_store
