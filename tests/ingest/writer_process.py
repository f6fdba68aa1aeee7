"""The Kafka writer as a process of its own, to kill; run as `python -m tests.ingest.writer_process ORDERS`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from aiokafka.structs import OffsetAndMetadata, TopicPartition

import ingest.kafka_group
import ingest.kafka_writer
from api.lifecycle import Runner, stop_on_signals
from ingest.kafka_batch import parse_intent
from ingest.kafka_writer import KafkaWriter
from schemas.instruments import Instruments
from schemas.sections import IngestSettings, KafkaSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.migrations import migrate_store
from tests.kafka.process import TetheredProcess

START_TIMEOUT_S = 90.0
WAIT_TIMEOUT_S = 120.0
READY = "the writer is ready"


Point = Literal["before the intent", "after the intent", "after the insert", "after the last commit"]


@dataclass(frozen=True)
class Orders:
    """How the writer runs. It sends itself `dies_by` when it has reached `dies_at` for the `dies_after`th time."""

    bootstrap: str
    topic: str
    store_url: str
    control: str
    session_timeout_ms: int
    dies_at: Point | None = None
    dies_after: int = 3
    dies_by: int = signal.SIGKILL
    deduplicates: bool = True


class WriterProcess:
    """A writer under `orders`, in a process that can be killed, stopped and continued."""

    def __init__(self, orders: Orders, log: Path) -> None:
        self._log = log
        said = self.said().count(READY)
        command = [sys.executable, "-m", "tests.ingest.writer_process", json.dumps(asdict(orders))]
        self._process = TetheredProcess(command, log)
        end = time.monotonic() + START_TIMEOUT_S
        while self.said().count(READY) == said and self.status() is None:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.status()

    def is_stopped(self) -> bool:
        """Whether SIGSTOP has reached it (Linux tells so in its state)."""
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        os.kill(self._process.pid, number)

    def wait(self) -> int:
        """Wait for it to end by itself; the exit status."""
        return self._process.wait(WAIT_TIMEOUT_S)

    def kill9(self) -> None:
        """SIGKILL; harmless when it does not run."""
        self._process.kill()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.send(signal.SIGTERM)
        return self._process.wait(WAIT_TIMEOUT_S)

    def said(self) -> str:
        """Its log."""
        return self._log.read_text() if self._log.exists() else ""


class _Mortal(KafkaWriter):
    """Dies where it was told to."""

    def __init__(self, orders: Orders, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._orders = orders
        self._left = orders.dies_after

    def _reached(self, point: Point) -> None:
        if point == self._orders.dies_at:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), self._orders.dies_by)

    async def _commit(self, consumer: Any, offsets: dict[TopicPartition, OffsetAndMetadata]) -> bool:
        intended = any(parse_intent(offset.metadata) for offset in offsets.values())
        self._reached("before the intent" if intended else "after the insert")
        committed = await super()._commit(consumer, offsets)
        self._reached("after the intent" if intended else "after the last commit")
        return committed


async def run(orders: Orders) -> None:
    """Write until SIGTERM."""
    # Until the session of a killed writer is over, the next one waits; the token is random for the negative control.
    ingest.kafka_group.SESSION_TIMEOUT_MS = orders.session_timeout_ms
    if not orders.deduplicates:
        vars(ingest.kafka_writer)["deduplication_token"] = lambda topic, records: uuid.uuid4().hex
    stop = stop_on_signals(asyncio.get_running_loop())
    store = ClickHouseStore(orders.store_url)
    control = ControlDatabase(sqlite_url(Path(orders.control)))
    await control.migrate()
    await migrate_store(store)
    settings = IngestSettings(linger_ms=20, batch_spans=200)
    writer = _Mortal(orders, kafka_settings(orders), settings, store, control, Instruments())
    runner = Runner("writer", writer.run, writer.prepare)
    await runner.start()
    print(READY, flush=True)
    await stop.wait()
    await runner.stop()
    await store.close()
    await control.close()


def kafka_settings(orders: Orders) -> KafkaSettings:
    """Where the log is."""
    return KafkaSettings(
        bootstrap_servers=orders.bootstrap,
        topic=orders.topic,
        dead_letter_topic=f"{orders.topic}-dead",
        consumer_group=f"{orders.topic}-writer",
    )


if __name__ == "__main__":
    asyncio.run(run(Orders(**json.loads(sys.argv[1]))))
