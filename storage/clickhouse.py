"""The one trace store: ClickHouse through clickhouse-connect, embedded (chDB) or a server over HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from clickhouse_connect.driver import create_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DataError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from storage.open_query import ENGINE_OPTIONS, OpenQuery, Pipeline, ask_once

T = TypeVar("T")

DEFAULT_DATABASE = "tracewarden"

Parameters = Mapping[str, Any]


# Errors of the store's surroundings, not of the data: the same insert may succeed later.
_NO_SCHEMA = "the schema is missing: run `tracewarden migrate`"
_NO_ACCESS = "the user is not let in: check the user and password of clickhouse_url, and its rights"
TRANSIENT_CODES: dict[int, str] = {
    23: "a file could not be read: check the disk",
    60: _NO_SCHEMA,
    81: _NO_SCHEMA,
    74: "a file could not be read: check the disk",
    75: "a file could not be written: free some disk space",
    76: "a file could not be opened: check the limit of open files and the permissions of the data folder",
    159: "it took too long: reduce the load or raise the limits",
    192: _NO_ACCESS,
    193: _NO_ACCESS,
    194: _NO_ACCESS,
    202: "too many queries at once: reduce the load",
    203: "no connection is free: reduce the load",
    209: "the connection timed out: check the network and the server",
    210: "the connection broke: check the network and the server",
    241: "there is not enough memory: reduce the load or raise the limit",
    242: "the table is read-only: check the replica and its keeper",
    243: "the disk is full or nearly so: free some space or shorten ingest.retention_days",
    252: "too many parts wait for merging: reduce the load, or check the disk",
    285: "too few replicas are alive: check the cluster",
    319: "the outcome of the insert is unknown: check the cluster",
    497: _NO_ACCESS,
    516: _NO_ACCESS,
    999: "the keeper does not answer: check the cluster",
    1000: "the operating system refused: check the disk and the limits",
    1001: "the operating system refused: check the disk and the limits",
}


# The client refused before it asked: the statement or its values are wrong.
_REFUSED_HERE = 0


class StoreError(Exception):
    """The store refused or could not be reached; `code` is ClickHouse's, None where it did not answer."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code

    @property
    def transient(self) -> bool:
        """Whether the same statement may succeed later without a change of the data."""
        return self.code is None or self.code in TRANSIENT_CODES

    @property
    def advice(self) -> str:
        """What to do about a transient error."""
        return str(self) if self.code is None else TRANSIENT_CODES.get(self.code, str(self))


class StoreBusyError(StoreError):
    """Another process has the embedded store open."""


class ClickHouseStore:
    """An async face of the synchronous client: one client a thread, and as many threads as may query at once.

    `url` is `chdb:///path` or `http(s)://user:password@host:port/database`. Values always travel as bound parameters
    (`{name:Type}` in the SQL); nothing that a user wrote becomes part of a statement.
    """

    def __init__(
        self, url: str, *, database: str | None = None, threads: int = 4, settings: Mapping[str, object] | None = None
    ) -> None:
        self.url = url
        self.database = database or _database_of(url)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.database):
            raise ValueError(f"the database name {self.database!r} must be letters, digits and underscores")
        self._settings = dict(settings or {})
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")
        self._local = threading.local()
        self._clients: list[Client] = []
        self._idle: dict[Pipeline, list[OpenQuery]] = {}
        self._lock = threading.Lock()

    @property
    def embedded(self) -> bool:
        """Whether the store is chDB inside this process."""
        return self.url.startswith("chdb://")

    async def create_database(self) -> None:
        """Create the store's own database where it does not exist."""

        def run() -> None:
            client = self._open("default")
            try:
                client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            finally:
                client.close()

        await asyncio.get_running_loop().run_in_executor(self._pool, self._guarded, run)

    async def query(
        self,
        sql: str,
        parameters: Parameters | None = None,
        settings: Parameters | None = None,
        *,
        binary: Collection[str] = (),
    ) -> list[dict[str, Any]]:
        """Rows as dictionaries, in the order of the result; strings of the columns in `binary` are bytes as they are."""
        formats: dict[str, str | dict[str, str]] = dict.fromkeys(binary, "bytes")

        def run(client: Client) -> list[dict[str, Any]]:
            result = client.query(sql, dict(parameters or {}), dict(settings or {}), column_formats=formats)
            return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

        return await self._run(run)

    async def command(self, sql: str, parameters: Parameters | None = None, settings: Parameters | None = None) -> None:
        """A statement without rows: DDL, a mutation, an insert from a select."""
        await self._run(lambda client: client.command(sql, parameters=dict(parameters or {}), settings=dict(settings or {})))

    async def insert_raw(self, table: str, data: bytes, fmt: str, settings: Parameters) -> None:
        """One insert of `data` in the ClickHouse format `fmt`; returns when the parts are on disk."""
        await self._run(lambda client: client.raw_insert(table, insert_block=data, fmt=fmt, settings=dict(settings)))

    async def insert_through(self, pipeline: Pipeline, messages: Iterable[tuple[bytes, int]], settings: Parameters) -> None:
        """One insert of what `pipeline` makes of `messages`, each with the usual number of its rows. The embedded store only.

        The SELECT stays open for the next message; one more is opened where all are at work.
        """

        def run() -> None:
            blocks = filter(None, (self._transformed(pipeline, message, rows) for message, rows in messages))
            first = next(blocks, None)
            if first is not None:  # all is decoded before the insert begins: the client writes a file of it
                data = (block for block in chain((first,), blocks))
                self._client().raw_insert(pipeline.target, insert_block=data, fmt="Native", settings=dict(settings))

        await asyncio.get_running_loop().run_in_executor(self._pool, self._guarded, run)

    async def insert_rows(
        self, table: str, columns: list[str], rows: list[list[Any]], settings: Parameters | None = None
    ) -> None:
        """One insert of rows given as Python values."""
        await self._run(lambda client: client.insert(table, rows, column_names=columns, settings=dict(settings or {})))

    async def close(self) -> None:
        """Wait for what runs, then let go of every client. Safe to call twice."""
        await asyncio.to_thread(self._pool.shutdown)
        with self._lock:
            for idle in self._idle.values():
                while idle:
                    idle.pop().close()
            while self._clients:
                self._clients.pop().close()

    async def _run(self, work: Callable[[Client], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, work)

    def _call(self, work: Callable[[Client], T]) -> T:
        return self._guarded(lambda: work(self._client()))

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except ClickHouseError as error:
            raise self._explained(error) from error
        except OSError as error:  # the embedded store's inserts pass through a temporary file
            raise StoreError(f"a file could not be written ({error.strerror}): free some disk space") from error

    def _explained(self, error: ClickHouseError) -> StoreError:
        code = getattr(error, "code", None)
        if code is None and isinstance(error, (ProgrammingError, DataError, NotSupportedError)):
            code = _REFUSED_HERE
        if code is None and isinstance(error, OperationalError) and not self.embedded:
            place = urlsplit(self.url)
            return StoreError(
                f"the trace store at {place.hostname}:{place.port} does not answer: check clickhouse_url and that the server "
                f"runs ({_reason(error)})"
            )
        return StoreError(str(error), code)

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._open(self.database)
            with self._lock:
                self._clients.append(client)
        return client

    def _transformed(self, pipeline: Pipeline, message: bytes, rows: int) -> bytes:
        path = os.path.realpath(urlsplit(self.url).path)
        with self._lock:
            idle = self._idle.setdefault(pipeline, [])
            query = idle.pop() if idle else None
        query = query or OpenQuery(path, self.database, pipeline)
        block = query.ask(message, rows)
        if block is None:
            query.close()
            return ask_once(path, self.database, pipeline, message)
        with self._lock:
            idle.append(query)
        return block

    def _open(self, database: str) -> Client:
        engine: dict[str, Any] = {"chdb_options": ENGINE_OPTIONS} if self.embedded else {}
        try:
            return create_client(
                dsn=_without_database(self.url), database=database, settings=self._settings, tz_mode="aware", **engine
            )
        except ProgrammingError as error:
            if self.embedded:
                raise StoreBusyError(
                    f"the store at {self.url.removeprefix('chdb://')} cannot be opened: another tracewarden process uses it. "
                    f"Stop that process, or pass another --data-dir. ({error})"
                ) from error
            raise


def _reason(error: BaseException) -> str:
    """The innermost cause; the client's own message names only its own wrapping."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _database_of(url: str) -> str:
    """The database a server's URL names in its path; the embedded store has the default one."""
    return urlsplit(url).path.strip("/") * url.startswith("http") or DEFAULT_DATABASE


def _without_database(url: str) -> str:
    return urlsplit(url)._replace(path="").geturl() if url.startswith("http") else url


def embedded_url(data_dir: Path) -> str:
    """The URL of the embedded store under a data directory."""
    return f"chdb://{data_dir.resolve() / 'chdb'}"
