"""Enough of ClickHouse's HTTP interface, in front of chDB, for clickhouse-connect's HTTP client to be exercised.

chDB is the engine of the server: what this adds is the way there, as a process of its own with its own path. Run as
`python -m tests.storage.http_front FOLDER PORT`; `HttpFront` does that.
"""

from __future__ import annotations

import gzip
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

from tests.kafka.broker import HOST, free_port
from tests.kafka.process import TetheredProcess

START_TIMEOUT_S = 60.0

# Of the transport, not of the query.
_TRANSPORT = {
    "buffer_size", "cancel_http_readonly_queries_on_client_close", "client_protocol_version", "compress", "database",
    "decompress", "enable_http_compression", "http_headers_progress_interval_ms", "query", "query_id", "role",
    "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "wait_end_of_query",
}  # fmt: skip
_connect: Any = chdb.connect  # it has no types
_INSERT = re.compile(rb"\s*(INSERT INTO .+?)\s+FORMAT (\w+)\s*(?:\n|$)", re.DOTALL)
_EXPANDED = {"gzip": gzip.decompress, "lz4": lz4.frame.decompress, None: lambda data: data}


class HttpFront:
    """The front on a folder, as a process that can be killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: TetheredProcess | None = None

    @property
    def url(self) -> str:
        """For ClickHouseStore."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Return once it answers.

        Raises:
            AssertionError: it does not; with its log.
        """
        log = self._folder.with_suffix(".log")
        command = [sys.executable, "-m", "tests.storage.http_front", str(self._folder), str(self._port)]
        self._process = TetheredProcess(command, log)
        end = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.status() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """A signal to the running process."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill9(self) -> None:
        """SIGKILL; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=5):
                return True
        except OSError:
            return False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """`/ping` as the server has it."""
        self._answer(200, b"Ok.\n", {})

    def do_POST(self) -> None:
        """One statement: in the body, or as `query` with its data in the body."""
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        data = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self._chunks()
        body = _EXPANDED[self.headers.get("Content-Encoding")](data)
        if "query" in parameters:
            body = parameters["query"].encode() + b"\n" + body
        try:
            answer = self.server.run(body, parameters)
        except RuntimeError as error:
            code = re.search(r"Code: (\d+)", str(error))
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1001"})
        else:
            self._answer(200, answer, {"X-ClickHouse-Format": "TabSeparated"} if answer else {})

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-ClickHouse-Summary": "{}", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Quiet: the log is for failures."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, path: str, port: int) -> None:
        self._path = path
        self._open = _connect(path)  # holds the engine while no request does
        super().__init__((HOST, port), _Handler)

    def run(self, body: bytes, parameters: dict[str, str]) -> bytes:
        """Run one statement on a connection of its own, as the settings in `parameters` are for it alone."""
        with closing(_connect(self._path)) as connection:
            connection.query(f"USE `{parameters.get('database', 'default')}`")
            for name, value in parameters.items():
                if name not in _TRANSPORT and not name.startswith("param_"):
                    connection.query(f"SET {name} = {_quoted(value)}")
            if insert := _INSERT.match(body):
                return _insert(connection, insert, body)
            bound = {name.removeprefix("param_"): value for name, value in parameters.items() if name.startswith("param_")}
            found: bytes = connection.query(body.decode(), "TabSeparated", params=bound).bytes()
            return found


def _insert(connection: Any, insert: re.Match[bytes], body: bytes) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body[insert.end() :])
        file.flush()
        connection.query(f"{insert[1].decode()} FROM INFILE {_quoted(file.name)} FORMAT {insert[2].decode()}")
    return b""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    _Server(sys.argv[1], int(sys.argv[2])).serve_forever()
