"""The trace log on Kafka: `append` returns when every in-sync replica has the record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from ingest.envelope import Envelope
from ingest.kafka_sender import KafkaSender
from ingest.kafka_topics import check_topics
from ingest.trace_log import RefusedRecordError, TraceLogError
from schemas.sections import KafkaSettings

_RETRY_AFTER_S = 5


class KafkaTraceLog:
    """One record an envelope. The partition is the hash of the body, so that an identical retry meets the same writer.

    Small requests are compressed together by their producer, large ones are packed each by itself and have a producer of
    their own.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._small = KafkaSender(settings, packed=False)
        self._large = KafkaSender(settings, packed=True)
        self._stopped = False

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaUnusableError: Kafka does not answer, or a topic is missing.
        """
        await check_topics(self._settings)
        await self._small.start()
        await self._large.start()

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        """Store `envelopes`; see TraceLog."""
        outcomes = await asyncio.gather(*(self._send(envelope) for envelope in envelopes), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def stop(self) -> None:
        """Send what was appended, then disconnect."""
        self._stopped = True
        await asyncio.gather(self._small.stop(), self._large.stop())

    async def _send(self, envelope: Envelope) -> None:
        if self._stopped:
            raise TraceLogError("the server is shutting down: send again to the next one")
        record = envelope.packed()
        sender = self._large if record.packed_bytes else self._small
        try:
            await sender.send(record.body_hash, record.encode(), record.received_at_ns // 1_000_000)
        except MessageSizeTooLargeError as error:
            raise RefusedRecordError(
                f"Kafka takes no record of {len(record.request)} bytes: raise max.message.bytes of {self._settings.topic}, "
                "or send shorter spans"
            ) from error
        except (KafkaError, TimeoutError) as error:
            raise TraceLogError(
                f"Kafka does not acknowledge ({type(error).__name__}): check the brokers", _RETRY_AFTER_S
            ) from error
