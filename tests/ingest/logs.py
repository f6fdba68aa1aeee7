"""Trace logs under test: each with the way from an append to the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.embedded_log import EmbeddedTraceLog
from ingest.envelope import Envelope
from ingest.kafka_log import KafkaTraceLog
from ingest.kafka_writer import KafkaWriter
from ingest.trace_log import TraceLog
from schemas.instruments import Instruments
from schemas.sections import IngestSettings, KafkaSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from tests.kafka.broker import MOCK_PARTITIONS, Broker

PATIENCE_S = 60.0
SMALL = IngestSettings(linger_ms=20, batch_spans=200)


class LogUnderTest(Protocol):
    """A started log; `restart` is a clean stop and a new one on the same data."""

    @property
    def log(self) -> TraceLog:
        """The log as it is now."""

    async def restart(self) -> None:
        """Stop, then start anew."""


class EmbeddedUnderTest:
    """The embedded log on a store."""

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store
        self.log = EmbeddedTraceLog(store, SMALL, Instruments())

    async def restart(self) -> None:
        """Stop, then start a log that knows nothing but the store."""
        await self.log.stop()
        self.log = EmbeddedTraceLog(self._store, SMALL, Instruments())
        await self.log.start()


class KafkaUnderTest:
    """The Kafka log with one writer beside it."""

    def __init__(self, settings: KafkaSettings, store: ClickHouseStore, control: ControlDatabase) -> None:
        self.settings = settings
        self._store = store
        self._control = control
        self.log = KafkaTraceLog(settings)
        self.writer = self.new_writer()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def new_writer(self) -> KafkaWriter:
        """A writer that knows nothing but Kafka and the store."""
        return KafkaWriter(self.settings, SMALL, self._store, self._control, Instruments())

    async def start(self) -> None:
        """Start log and writer."""
        await self.log.start()
        await self.start_writer()

    async def start_writer(self) -> None:
        """Start a new writer."""
        self.writer, self._stopping = self.new_writer(), asyncio.Event()
        await self.writer.prepare()
        self._task = asyncio.create_task(self.writer.run(self._stopping))

    async def stop_writer(self) -> None:
        """Stop the writer as SIGTERM does."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def stop(self) -> None:
        """Stop both."""
        await self.log.stop()
        await self.stop_writer()

    async def restart(self) -> None:
        """Stop, then start both anew on the same topic."""
        await self.stop()
        self.log = KafkaTraceLog(self.settings)
        await self.start()


@asynccontextmanager
async def kafka_log(broker: Broker, topic: str, store: ClickHouseStore, folder: Path) -> AsyncIterator[KafkaUnderTest]:
    """A Kafka log and its writer on a topic that exists; its dead letters go to the topic `<topic>-dead`."""
    dead_letters = f"{topic}-dead"
    await asyncio.to_thread(broker.create_topic, dead_letters, MOCK_PARTITIONS)
    control = ControlDatabase(sqlite_url(folder))
    await control.migrate()
    settings = KafkaSettings(
        bootstrap_servers=broker.bootstrap, topic=topic, dead_letter_topic=dead_letters, consumer_group=f"{topic}-writer"
    )
    under_test = KafkaUnderTest(settings, store, control)
    await under_test.start()
    try:
        yield under_test
    finally:
        await under_test.stop()
        await control.close()
        await asyncio.to_thread(broker.delete_topic, dead_letters)


async def until(what: str, check: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until `check` (sync, or returning an awaitable) holds.

    Raises:
        AssertionError: it does not within the patience.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while loop.time() < end:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"after {patience_s:.0f} s still not: {what}")


async def span_ids(store: ClickHouseStore) -> list[str]:
    """The ids of all rows of `spans`, doubles included, sorted."""
    rows = await store.query("SELECT lower(hex(span_id)) AS id FROM spans ORDER BY id")
    return [row["id"] for row in rows]


def ids_of(*envelopes: Envelope) -> list[str]:
    """The span ids in envelopes, sorted."""
    requests = [ExportTraceServiceRequest.FromString(envelope.request) for envelope in envelopes]
    return sorted(
        span.span_id.hex()
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )
