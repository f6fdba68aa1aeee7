"""The control database: SQLite in one file, or PostgreSQL; the same statements run on both."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

THREADS = 8
WRITE_PATIENCE_S = 30.0
BUSY_TIMEOUT_MS = 10_000
MIGRATION_LOCK = 7_226_377_013  # any number that no other application takes on the same PostgreSQL

# PostgreSQL: serialization failure, deadlock detected.
RETRIED_SQLSTATES = frozenset({"40001", "40P01"})
# Of two transactions that looked, found nothing and inserted the same key, PostgreSQL may refuse the later one with this
# instead. Run again it sees the row; one that meets the error by its own doing meets it again.
UNIQUE_VIOLATION, UNIQUE_ATTEMPTS = "23505", 3

# Alembic keeps the migration that runs in a global of its own.
_migrating = threading.Lock()


class ControlError(Exception):
    """The control database cannot be used; the message says what to do."""


class ControlBusyError(ControlError):
    """A write met other writers at every attempt."""


class ControlDatabase:
    """Transactions on threads of their own. `work` may run more than once, so it must touch nothing but its connection.

    A write is serializable on both databases: SQLite takes its write lock at the start (`BEGIN IMMEDIATE`), PostgreSQL runs
    at SERIALIZABLE and is retried when it found a conflict or a deadlock. What `write` returned is on disk.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._sqlite = make_url(url).get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(url) if self._sqlite else _postgresql_engine(url)
        self._writer = self._engine.execution_options(
            **({"begin": "BEGIN IMMEDIATE"} if self._sqlite else {"isolation_level": "SERIALIZABLE"})
        )
        # SQLite's own waiting is by polling; inside one process writers queue here instead.
        self._turn: AbstractContextManager[Any] = threading.Lock() if self._sqlite else nullcontext()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="control")

    async def migrate(self) -> None:
        """Bring the schema up to date, in one transaction; several processes may call this at once."""
        await self._run(self._migrate)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one serializable transaction; an exception from it rolls everything back.

        Raises:
            ControlBusyError: other writers won every attempt.
            ControlError: the database cannot be reached or written.
        """
        return await self._run(lambda: self._write(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction that changes nothing.

        Raises:
            ControlError: the database cannot be reached.
        """
        return await self._run(lambda: self._read(work))

    async def close(self) -> None:
        """Wait for what runs, then close every connection. Safe to call twice."""
        await asyncio.to_thread(self._pool.shutdown)
        self._engine.dispose()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except OperationalError as error:
            raise ControlError(self._advice(error)) from error

    def _write(self, work: Callable[[Connection], T]) -> T:
        deadline = time.monotonic() + WRITE_PATIENCE_S
        for attempt in itertools.count():
            try:
                return self._write_once(work)
            except DBAPIError as error:
                if not _is_conflict(error, attempt):
                    if isinstance(error, OperationalError):
                        raise ControlError(self._advice(error)) from error
                    raise
                if time.monotonic() > deadline:
                    raise ControlBusyError(f"other writers came first for {WRITE_PATIENCE_S:.0f} s: try again") from error
                time.sleep(random.uniform(0, min(0.005 * 2 ** min(attempt, 5), 0.1)))  # noqa: S311 - spreads retries, protects nothing
        raise AssertionError("itertools.count never ends")

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        with self._turn, self._writer.begin() as connection:
            return work(connection)

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))

        def upgrade(connection: Connection) -> None:
            if not self._sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

        with _migrating:
            self._write(upgrade)

    def _advice(self, error: OperationalError) -> str:
        if self._sqlite:
            file = make_url(self.url).database
            return f"the control database {file} cannot be used ({error.orig}): check its folder, permissions and free space"
        place = make_url(self.url).render_as_string(hide_password=True)
        return f"the control database {place} cannot be used ({error.orig}): check that it runs and that database_url is right"


def sqlite_url(data_dir: Path) -> str:
    """The URL of the embedded control database under a data directory."""
    return f"sqlite:///{data_dir.resolve() / 'control.db'}"


def _is_conflict(error: DBAPIError, attempt: int) -> bool:
    """Whether the transaction may fare better when it runs again."""
    if isinstance(error.orig, sqlite3.Error):
        # Only its first byte is the error. Turning WAL on in a new file meets BUSY without waiting for the timeout.
        return error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    state = getattr(error.orig, "sqlstate", None)
    return state in RETRIED_SQLSTATES or (state == UNIQUE_VIOLATION and attempt < UNIQUE_ATTEMPTS)


def _postgresql_engine(url: str) -> Engine:
    return create_engine(url, pool_size=THREADS, max_overflow=0, pool_pre_ping=True)


def _sqlite_engine(url: str) -> Engine:
    if make_url(url).database in (None, "", ":memory:"):
        raise ControlError("the control database must be a file: pass sqlite:///path/control.db")
    engine = create_engine(url, pool_size=THREADS, max_overflow=0)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    # recursive_triggers: INSERT OR REPLACE on an append-only table must meet its delete trigger too.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
