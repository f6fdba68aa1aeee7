"""Sending to Kafka: what is acknowledged survives what acks=all survives."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced, UnknownProducerId

from ingest.kafka_topics import MAX_MESSAGE_BYTES, connection_options
from schemas.sections import KafkaSettings

REQUEST_TIMEOUT_MS = 20_000
CLOSE_TIMEOUT_S = 10.0
_BROKEN = (OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced, UnknownProducerId)

_log = structlog.get_logger("ingest.kafka")


def open_producer(settings: KafkaSettings, *, packed: bool = False) -> AIOKafkaProducer:
    """A producer whose acknowledged records survive what acks=all survives; not started yet.

    Of records that are `packed` already fewer go into a batch, and those are not compressed again. Requests to a broker, with a
    batch for each partition, should stay below 512 kB: those over it have its heap of 1 GB collect garbage all the time.
    """
    return AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        # aiokafka makes lz4 at its slowest level: five times the CPU of zstd, for half as much again in bytes.
        compression_type=None if packed else "zstd",
        max_request_size=MAX_MESSAGE_BYTES,
        max_batch_size=(256 if packed else 1024) * 1024,
        linger_ms=2,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **connection_options(settings),
    )


async def close_client(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Let a client finish, unless there is no broker: what a producer still holds then was never acknowledged.

    In a task of its own: without a broker `stop` of a consumer may end as if its caller had been cancelled.
    """
    closing = asyncio.create_task(client.stop())
    done, _ = await asyncio.wait([closing], timeout=CLOSE_TIMEOUT_S)
    if not done:
        closing.cancel()
    if not done or closing.cancelled() or closing.exception() is not None:
        _log.warning("client_abandoned", client=type(client).__name__, fix="check the brokers")


class KafkaSender:
    """Sends to the trace log's topic through a producer, and through a new one once that has lost its sequence."""

    def __init__(self, settings: KafkaSettings, *, packed: bool) -> None:
        self._settings = settings
        self._packed = packed
        self._producer: Any = None
        self._partitions: list[int] = []
        # A full batch wakes every sender that waits for it, to let in one: they wait here instead, in order.
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._rebuilding = asyncio.Lock()

    async def start(self) -> None:
        """Connect."""
        producer = open_producer(self._settings, packed=self._packed)
        await producer.start()
        self._partitions = sorted(await producer.partitions_for(self._settings.topic))
        self._producer = producer

    async def send(self, digest: bytes, value: bytes, timestamp_ms: int) -> None:
        """Send to the partition that `digest` falls on; returns when every in-sync replica has the record.

        Raises:
            KafkaError, TimeoutError: it may be there or not.
        """
        producer = self._producer
        if producer is None:
            raise ProducerClosed
        partition = self._partitions[int.from_bytes(digest[:8], "big") % len(self._partitions)]
        try:
            # An idempotent producer tries for as long as there is no broker; the sender is to know before that.
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                async with self._turns[partition]:
                    acknowledged = await producer.send(
                        self._settings.topic, value, partition=partition, timestamp_ms=timestamp_ms
                    )
                await acknowledged
        except _BROKEN as error:
            await self._rebuild(producer, error)
            raise

    async def stop(self) -> None:
        """Send what is under way, then disconnect. Safe to call twice."""
        async with self._rebuilding:
            producer, self._producer = self._producer, None
        if producer is not None:
            await close_client(producer)

    async def _rebuild(self, broken: AIOKafkaProducer, error: Exception) -> None:
        """An idempotent producer that lost its sequence fails every send from then on."""
        async with self._rebuilding:
            if self._producer is not broken:
                return
            _log.warning("producer_rebuilt", error=type(error).__name__)
            with contextlib.suppress(KafkaError):  # the next send finds it broken still, and tries again
                await close_client(broken)
                await self.start()
