"""A SELECT of the embedded store that stays open: analysed once, it is fed one message after the other.

ClickHouse analyses a view anew for every insert, which takes several times as long as a small insert itself
(docs/performance.md). Here chDB reads messages from a named pipe for as long as that is open, and hands out the rows of each as
they are made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from clickhouse_connect.driver.exceptions import DatabaseError

# A message none of whose rows is left has no answer, and one that cannot be read has it at the end of the input only (chDB
# 26.9): time tells them from one whose answer takes long. A hundred times what is usual; who lost patience asks once more.
PATIENCE_S = 2.0
_PATIENCE_BYTES_PER_S = 1024 * 1024

# One message is one row of the pipe's, one block of the pipeline's and one answer.
_BLOCK_BY_BLOCK = {
    "max_block_size": 1,
    "max_insert_block_size": 1,
    "max_threads": 1,
    "input_format_parallel_parsing": 0,
    "max_execution_time": 0,
}
_PIPE_BYTES = 1024 * 1024

ENGINE_OPTIONS = {"config-file": str(files("schemas") / "chdb.xml")}
"""Of every connection to the embedded store: the first one of a process starts the engine."""


@dataclass(frozen=True)
class Pipeline:
    """From messages to rows.

    Attributes:
        source: the table whose columns a message's rows have.
        select: a SELECT over `{source}`.
        target: the table that its rows go into.
        settings: of the SELECT, among them the schema of the messages: Protobuf behind its length, whose field 1, `rows`, is
            repeated.
    """

    source: str
    select: str
    target: str
    settings: tuple[tuple[str, object], ...]


class OpenQuery:
    """The SELECT of one pipeline on a connection of its own to the embedded store at `path`; for one thread at a time.

    Raises:
        DatabaseError: it cannot be opened.
    """

    def __init__(self, path: str, database: str, pipeline: Pipeline) -> None:
        folder = tempfile.mkdtemp(prefix="tracewarden-")
        self._name = Path(folder) / "pipe"
        os.mkfifo(self._name, 0o600)
        # Open for both, so that this does not wait for chDB, which opens its end with the first message.
        self._pipe = os.open(self._name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # Until the pipe is closed chDB waits for more, and so would the end of the process.
        self._close_pipe = weakref.finalize(self, os.close, self._pipe)
        self._remove_folder = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        _enlarge(self._pipe)
        self._blocks: Any = None
        self._connection = _connect(path)
        try:
            with _explained():
                self._blocks = self._connection.send_query(
                    _statement(self._connection, database, pipeline, self._name), "Native"
                )
        except DatabaseError:
            self.close()
            raise

    def ask(self, message: bytes, rows: int) -> bytes | None:
        """The `rows` rows of one message in Native.

        None: they are not so many, took too long or cannot be made, and this is of no use any more. Which of these it is only
        `ask_once` can say: of a message that was cut short for want of patience the query complains too.
        """
        answered = threading.Event()
        feeding = threading.Thread(target=self._feed, args=(message, answered), name="open-query")
        feeding.start()
        try:
            with _explained():
                block = self._blocks.fetch()
        except DatabaseError:
            return None
        finally:
            answered.set()
            feeding.join()
        self._remove_folder()  # chDB has opened the pipe: its name is not needed any more
        if block is None or block.rows_read() != rows or not self._close_pipe.alive:
            return None
        found: bytes = block.bytes()
        return found

    def close(self) -> None:
        """End the query. Safe to call twice."""
        self._close_pipe()
        self._remove_folder()
        if self._blocks is not None:
            with contextlib.suppress(DatabaseError), _explained():  # what it ended with is told by ask_once
                self._blocks.close()
        self._connection.close()

    def _feed(self, message: bytes, answered: threading.Event) -> None:
        rest = memoryview(message)
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLOUT)
        until = time.monotonic() + PATIENCE_S + len(message) / _PATIENCE_BYTES_PER_S
        while rest and not answered.is_set() and time.monotonic() < until:
            if waiting.poll(100):
                rest = rest[os.write(self._pipe, rest) :]
        if not answered.wait(max(0.0, until - time.monotonic())):
            self._close_pipe()  # the query sees the end of its input, and ends
            while not answered.wait(0.1):
                with contextlib.suppress(FileNotFoundError):  # it was opened long ago
                    # Should chDB open it only now, it would wait for somebody at this end.
                    os.close(os.open(self._name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))


def ask_once(path: str, database: str, pipeline: Pipeline, message: bytes) -> bytes:
    """The rows of one message in Native, by a query of its own: none are no bytes.

    Raises:
        DatabaseError: the message cannot be read.
    """
    connection = _connect(path)
    try:
        with tempfile.NamedTemporaryFile(prefix="tracewarden-") as file, _explained():
            file.write(message)
            file.flush()
            found: bytes = connection.query(_statement(connection, database, pipeline, Path(file.name)), "Native").bytes()
            return found
    finally:
        connection.close()


def _connect(path: str) -> Any:
    from chdb.state import connect  # a process whose store is a server does not load chDB

    with _explained():
        return connect(f"{path}?{urlencode(ENGINE_OPTIONS)}")


def _statement(connection: Any, database: str, pipeline: Pipeline, file: Path) -> str:
    """The SELECT over the messages of `file`, each of which is one row of it."""
    connection.query(f"USE {database}")
    sql = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
    found = connection.query(f"{sql} ORDER BY position", "TSVRaw", params={"table": pipeline.source}).data().splitlines()
    if not found:
        raise DatabaseError(f"the table {pipeline.source} does not exist", code=60)
    columns = [line.split("\t") for line in found]
    listed = ", ".join(f"row.{place} AS {name}" for place, (name, _) in enumerate(columns, 1))
    structure = _quoted(f"rows Array(Tuple({', '.join(map(' '.join, columns))}))")
    messages = f"file({_quoted(str(file))}, 'Protobuf', {structure})"
    source = f"(SELECT {listed} FROM (SELECT arrayJoin(rows) AS row FROM {messages}))"
    settings = {**dict(pipeline.settings), **_BLOCK_BY_BLOCK}
    clause = ", ".join(f"{key} = {_quoted(str(value))}" for key, value in settings.items())
    return f"{pipeline.select.replace('{source}', source)} SETTINGS {clause}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _enlarge(pipe: int) -> None:
    """Fewer turns between the two sides, where the system can."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(PermissionError):  # the user's pipes are large enough together already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """chDB's errors as clickhouse-connect's, with the code in their text."""
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"Code: (\d+)", str(error))
        raise DatabaseError(str(error), code=int(found[1]) if found else None) from error
