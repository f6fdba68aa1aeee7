"""The trace log on Kafka: `append` returns when every in-sync replica has the record."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

from ingest.envelope import Envelope
from ingest.kafka_topics import MAX_MESSAGE_BYTES, check_topics, connection_options
from ingest.trace_log import RefusedRecordError, TraceLogError
from schemas.sections import KafkaSettings

REQUEST_TIMEOUT_MS = 20_000
CLOSE_TIMEOUT_S = 10.0
_RETRY_AFTER_S = 5
_BROKEN = (OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced, UnknownProducerId)

_log = structlog.get_logger("ingest.kafka")


def open_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer whose acknowledged records survive what acks=all survives; not started yet."""
    return AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        # For small requests, since large ones are packed. aiokafka makes lz4 at its slowest level: five times the CPU of zstd,
        # for half as much again in bytes.
        compression_type="zstd",
        max_request_size=MAX_MESSAGE_BYTES,
        # A broker collects garbage all the time when requests, with a batch for each partition, are over 512 kB.
        max_batch_size=256 * 1024,
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


class KafkaTraceLog:
    """One record an envelope. The partition is the hash of the body, so that an identical retry meets the same writer."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._partitions: list[int] = []
        # A full batch wakes every sender that waits for it, to let in one: they wait here instead, in order.
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._rebuilding = asyncio.Lock()
        self._stopped = False

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaUnusableError: Kafka does not answer, or a topic is missing.
        """
        await check_topics(self._settings)
        await self._connect()

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        """Store `envelopes`; see TraceLog."""
        outcomes = await asyncio.gather(*(self._send(envelope) for envelope in envelopes), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def stop(self) -> None:
        """Send what was appended, then disconnect."""
        self._stopped = True
        if self._producer is not None:
            await close_client(self._producer)
            self._producer = None

    async def _connect(self) -> None:
        producer = open_producer(self._settings)
        await producer.start()
        self._partitions = sorted(await producer.partitions_for(self._settings.topic))
        self._producer = producer

    async def _send(self, envelope: Envelope) -> None:
        producer = self._producer
        if producer is None or self._stopped:
            raise TraceLogError("the server is shutting down: send again to the next one")
        partition = self._partitions[int.from_bytes(envelope.body_hash[:8], "big") % len(self._partitions)]
        try:
            # An idempotent producer tries for as long as there is no broker; the sender is to know before that.
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                async with self._turns[partition]:
                    acknowledged = await producer.send(
                        self._settings.topic,
                        envelope.packed().encode(),
                        partition=partition,
                        timestamp_ms=envelope.received_at_ns // 1_000_000,
                    )
                await acknowledged
        except MessageSizeTooLargeError as error:
            raise RefusedRecordError(
                f"Kafka takes no record of {len(envelope.request)} bytes: raise max.message.bytes of {self._settings.topic}, "
                "or send shorter spans"
            ) from error
        except (KafkaError, TimeoutError) as error:
            if isinstance(error, _BROKEN):
                await self._rebuild(producer, error)
            raise TraceLogError(
                f"Kafka does not acknowledge ({type(error).__name__}): check the brokers", _RETRY_AFTER_S
            ) from error

    async def _rebuild(self, broken: AIOKafkaProducer, error: Exception) -> None:
        """An idempotent producer that lost its sequence fails every send from then on."""
        async with self._rebuilding:
            if self._producer is not broken or self._stopped:
                return
            _log.warning("producer_rebuilt", error=type(error).__name__)
            with contextlib.suppress(KafkaError):  # the next send finds it broken still, and tries again
                await close_client(broken)
                await self._connect()
