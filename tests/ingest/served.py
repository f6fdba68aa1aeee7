"""`tracewarden serve` under senders that try again until they are acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from ingest.routes import PROTOBUF
from storage.clickhouse import ClickHouseStore
from tests.api.process import COMMAND
from tests.ingest.oracle import Ledger, Span, delivered
from tests.kafka.broker import HOST, free_port
from tests.kafka.process import TetheredProcess
from tests.storage.http_front import HttpFront

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 30.0


class ServeProcess:
    """The embedded form on ports that stay the same from one start to the next."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        self._ports = [free_port() for _ in range(3)]
        options = ["--port", "--otlp-http-port", "--otlp-grpc-port"]
        ports = [text for option, port in zip(options, self._ports, strict=True) for text in (option, str(port))]
        self._command = [COMMAND, "serve", "--data-dir", str(data_dir), *ports, *arguments]
        self._process: TetheredProcess | None = None

    @property
    def traces(self) -> str:
        """Where spans are sent to."""
        return f"http://{HOST}:{self._ports[1]}/v1/traces"

    @property
    def api(self) -> str:
        """Where they are asked for."""
        return f"http://{HOST}:{self._ports[0]}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Return when it has said `ready`.

        Raises:
            AssertionError: it does not; with its log.
        """
        said = self._said()
        self._process = TetheredProcess(self._command, self.log)
        end = time.monotonic() + START_TIMEOUT_S
        while self._said() == said:
            assert self._process.status() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            await asyncio.sleep(0.05)

    def kill9(self) -> None:
        """SIGKILL; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)

    def _said(self) -> int:
        return self.log.read_text().splitlines().count("ready") if self.log.exists() else 0


@asynccontextmanager
async def senders(served: ServeProcess, ledger: Ledger, *, count: int = 6, size: int = 20) -> AsyncIterator[asyncio.Event]:
    """Send without a pause while the block runs; what is under way at its end is sent until it is acknowledged.

    The event given tells the senders to give up what is not acknowledged.
    """
    leaving, giving_up = asyncio.Event(), asyncio.Event()
    async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S) as client:
        tasks = [asyncio.create_task(_send_on(client, served, ledger, size, leaving, giving_up)) for _ in range(count)]
        try:
            yield giving_up
        finally:
            leaving.set()
            await asyncio.wait_for(asyncio.gather(*tasks), START_TIMEOUT_S)


async def _send_on(
    client: httpx.AsyncClient,
    served: ServeProcess,
    ledger: Ledger,
    size: int,
    leaving: asyncio.Event,
    giving_up: asyncio.Event,
) -> None:
    while not leaving.is_set():
        envelope, spans = ledger.batch(size)
        while not giving_up.is_set():
            if await post(client, served, envelope.request) == 200:
                ledger.acknowledged |= spans
                break
            ledger.retries += 1
            await asyncio.sleep(0.05)


async def post(client: httpx.AsyncClient, served: ServeProcess, body: bytes) -> int | None:
    """The status; None when there was no answer."""
    with contextlib.suppress(httpx.TransportError):
        return (await client.post(served.traces, content=body, headers={"content-type": PROTOBUF})).status_code
    return None


async def stored(data_dir: Path) -> list[Span]:
    """What a stopped process left in its store, as another process finds it."""
    front = HttpFront(data_dir / "chdb")
    await asyncio.to_thread(front.start)
    store = ClickHouseStore(front.url)
    try:
        return await delivered(store)
    finally:
        await store.close()
        front.kill9()
