"""From Kafka into the store, each record once: intents, and identical replay after a crash."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from ingest.dead_letters import DeadLetters, TooManyBadRecordsError
from ingest.envelope import LogRecord, MalformedEnvelopeError, spans_of
from ingest.kafka_batch import (
    REPEAT_WINDOW,
    Fetched,
    Intent,
    deduplication_token,
    first_of_each,
    next_range,
    watermark,
)
from ingest.kafka_group import fence, open_consumer, read_intents
from ingest.kafka_sender import close_client, open_producer
from ingest.kafka_topics import check_topics
from ingest.writer import insert_records
from schemas.instruments import Instruments
from schemas.sections import IngestSettings, KafkaSettings
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase, ControlError
from storage.migrations import check_store
from storage.progress import Progress, publish_progress

STALLED_AFTER_S = 60.0
PUBLISH_EVERY_S = 0.5
SLOWEST_APPEND = timedelta(seconds=3)
"""How long after its receipt a record may still come into the log; the watermark stays this far behind the newest."""

_BATCHES = 2
"""Batches gathered at once: two partitions are stored beside each other, and more would only take memory."""

_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)

_log = structlog.get_logger("ingest.writer")


class StalledError(Exception):
    """There are records and none come: the consumer hangs and is built anew."""


class _Partition:
    """One assigned partition: what was fetched and not stored, and what is known of the store."""

    def __init__(self, name: TopicPartition) -> None:
        self.name = name
        self.fetched: list[Fetched] = []
        self.replay: Intent | None = None
        self.known: OrderedDict[bytes, int] = OrderedDict()
        self.stored_up_to: int | None = None
        self.newest: datetime | None = None
        self._asked_again: int | None = None

    @property
    def expected(self) -> int:
        """The offset that comes next."""
        return self.fetched[-1].offset + 1 if self.fetched else self.stored_up_to or 0

    def misses(self, offset: int) -> bool:
        """Whether records before `offset` are still to come. Asked again for the same place, the gap is Kafka's own."""
        if offset <= self.expected or self._asked_again == self.expected:
            return False
        self._asked_again = self.expected
        return True

    def remember(self, records: Iterable[LogRecord], last: int) -> None:
        """Bodies that are in the store now; those out of the window are forgotten."""
        for _, offset, envelope in records:
            self.known[envelope.body_hash] = offset
            self.newest = max(self.newest or envelope.received_at, envelope.received_at)
        while self.known and next(iter(self.known.values())) < last - REPEAT_WINDOW:
            self.known.popitem(last=False)
        self.stored_up_to = last + 1


class KafkaWriter(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Reads its partitions of the trace log and inserts range after range.

    For each range: commit the intent beside the first offset, fenced by the group's generation; insert under a token that
    covers the range; commit the offset after it. Whoever finds an intent, after a crash or a rebalance, inserts exactly
    that range again under the same token, and the store drops what it has.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: IngestSettings,
        store: ClickHouseStore,
        control: ControlDatabase,
        instruments: Instruments,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kafka = kafka
        self._settings = settings
        self._store = store
        self._control = control
        self._instruments = instruments
        self._clock = clock
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._storing = asyncio.Lock()
        self._revoking = asyncio.Event()
        self._stopping = asyncio.Event()
        self._published_at = 0.0
        self._failed: Exception | None = None
        self.halted: str | None = None

    async def prepare(self) -> None:
        """Refuse to start against a store or topics that are not as this version writes them.

        Raises:
            StoreError, KafkaUnusableError: the message names the fix.
        """
        await check_store(self._store)
        await check_topics(self._kafka)

    async def run(self, stopping: asyncio.Event) -> None:
        """Write until `stopping`; raises when the consumer has to be built anew, and can then be called again."""
        producer = open_producer(self._kafka)
        consumer = open_consumer(self._kafka)
        self._failed = None
        self._stopping = stopping
        self._partitions.clear()
        try:
            await producer.start()
            await consumer.start()
            fence(consumer)
            consumer.subscribe([self._kafka.topic], listener=self)
            await self._write(consumer, DeadLetters(producer, self._kafka.dead_letter_topic), stopping)
        except TooManyBadRecordsError as error:
            self.halted = str(error)
            _log.critical("writer_halted", reason=self.halted)
            await stopping.wait()
        finally:
            await close_client(consumer)
            await close_client(producer)

    def oldest_unwritten(self) -> datetime | None:
        """When the oldest record that was fetched and is not in the store was received; None when all are."""
        waiting = [record.envelope for partition in list(self._partitions.values()) for record in partition.fetched]
        return min((envelope.received_at for envelope in waiting if envelope is not None), default=None)

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Let the insert under way end, then forget the partitions: their next owner may be another."""
        self._revoking.set()
        async with self._storing:
            self._partitions.clear()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Find out where each partition stands, and whether a range has to be repeated."""
        async with self._storing:
            self._revoking.clear()
            partitions = {name: _Partition(name) for name in assigned}
            try:
                if partitions:
                    for name, (offset, intent) in (await read_intents(self._kafka, list(partitions))).items():
                        partitions[name].stored_up_to, partitions[name].replay = offset, intent
                    await asyncio.gather(*(self._load_known(partition) for partition in partitions.values()))
            except (KafkaError, StoreError) as error:  # the client would only log it, and go on without the intents
                self._failed = error
            else:
                self._partitions = partitions

    async def _load_known(self, partition: _Partition) -> None:
        first = partition.stored_up_to or 0
        rows = await self._store.query(
            "SELECT record_hash, max(log_offset) AS at FROM spans WHERE log_partition = {partition:UInt32}"
            " AND log_offset >= {low:UInt64} AND log_offset < {first:UInt64} GROUP BY record_hash ORDER BY at",
            {"partition": partition.name.partition, "low": max(0, first - REPEAT_WINDOW), "first": first},
        )
        partition.known = OrderedDict((row["record_hash"], row["at"]) for row in rows)

    async def _write(self, consumer: AIOKafkaConsumer, dead_letters: DeadLetters, stopping: asyncio.Event) -> None:
        progressed = time.monotonic()
        while not stopping.is_set():
            fetched = await self._gather(consumer, stopping)
            if self._failed is not None:
                raise self._failed
            async with self._storing:
                if fetched and await self._store_all(consumer, dead_letters):
                    progressed = time.monotonic()
                await self._publish(consumer)
            if time.monotonic() - progressed > STALLED_AFTER_S:
                await self._check_stalled(consumer)
                progressed = time.monotonic()

    async def _gather(self, consumer: AIOKafkaConsumer, stopping: asyncio.Event) -> bool:
        """Fetch for as long as the batches may fill; whether anything is there to store."""
        end = time.monotonic() + self._settings.linger_ms / 1000
        size = 0
        while True:
            left_ms = max(0, round((end - time.monotonic()) * 1000))
            found = await consumer.getmany(timeout_ms=left_ms)
            async with self._storing:  # an assignment under way comes first: it says where a partition stands
                size += sum(self._take_in(consumer, name, records) for name, records in found.items())
            if not left_ms or size >= _BATCHES * self._kafka.batch_bytes or stopping.is_set():
                return any(partition.fetched for partition in self._partitions.values())

    def _take_in(self, consumer: AIOKafkaConsumer, name: TopicPartition, records: Sequence[ConsumerRecord]) -> int:
        """Keep what continues the partition without a gap; the bytes kept."""
        partition = self._partitions.get(name)
        if partition is None:
            return 0
        if records[-1].offset < (partition.stored_up_to or 0):
            raise StalledError(f"the offsets of partition {name.partition} start again: the topic was made anew")
        taken = [Fetched.read(record.offset, record.value) for record in records if record.offset >= partition.expected]
        if taken and partition.misses(taken[0].offset):
            # Fetched for an earlier assignment of this partition, which stood further on.
            consumer.seek(name, partition.expected)
            return 0
        partition.fetched += taken
        return sum(record.size for record in taken)

    async def _store_all(self, consumer: AIOKafkaConsumer, dead_letters: DeadLetters) -> bool:
        """Store a range of every partition that has one ready, until none has; whether anything was stored."""
        stored = False
        while not self._revoking.is_set():
            ready = [(p, batch) for p in self._partitions.values() if (batch := self._next_range(p))]
            if not ready or not await self._commit(consumer, {p.name: _intent(batch) for p, batch in ready}):
                return stored
            done = await asyncio.gather(*(self._store_range(p, batch, dead_letters) for p, batch in ready))
            finished = {
                p.name: OffsetAndMetadata(batch[-1].offset + 1, "") for (p, batch), ok in zip(ready, done, strict=True) if ok
            }
            if not finished or not await self._commit(consumer, finished):
                return stored
            stored = True
        return stored

    def _next_range(self, partition: _Partition) -> list[Fetched]:
        return next_range(partition.fetched, partition.replay, self._settings.batch_spans, self._kafka.batch_bytes)

    async def _store_range(self, partition: _Partition, batch: list[Fetched], dead_letters: DeadLetters) -> bool:
        """Insert one range and put aside what cannot be stored; False when the partition was taken away meanwhile."""
        number, last = partition.name.partition, batch[-1].offset
        if partition.replay is not None and len(batch) != partition.replay.count:
            _log.error("replay_incomplete", partition=number, found=len(batch), intended=partition.replay.count)
        records = [(number, record.offset, record.envelope) for record in batch if record.envelope is not None]
        fresh = first_of_each(records, partition.known)
        stored = await self._insert(fresh, dead_letters)
        if stored is None:
            return False
        for record in batch:
            if record.envelope is None:
                await self._put_aside(dead_letters, number, record.offset, record.value, "the record is not an envelope")
        partition.fetched = [record for record in partition.fetched if record.offset > last]
        partition.replay = None
        partition.remember(stored, last)
        return True

    async def _insert(self, records: Sequence[LogRecord], dead_letters: DeadLetters) -> list[LogRecord] | None:
        """Insert, as often as the store's surroundings make necessary; a record it cannot read is found by halving.

        Returns what is in the store now, without the records that were put aside: what is remembered must be what a
        restarted writer reads from the store, else its replay differs. None when the writer has to let go meanwhile.
        """
        if not records:
            return []
        token = deduplication_token(self._kafka.topic, records)
        for attempt in itertools.count():
            try:
                with self._instruments.insert_seconds.time():
                    await insert_records(self._store, records, token=token)
            except (StoreError, MalformedEnvelopeError) as error:
                self._instruments.insert_failures.inc()
                if isinstance(error, MalformedEnvelopeError) or not error.transient:
                    return await self._divide(records, error, dead_letters)
                _log.error("insert_failed", error=error.advice, attempt=attempt)
                if await self._leaving_within(_RETRY_S[min(attempt, len(_RETRY_S) - 1)]):
                    return None
            else:
                self._instruments.spans_written.inc(spans_of(records))
                dead_letters.stored(len(records))
                return list(records)
        raise AssertionError("itertools.count never ends")

    async def _divide(
        self, records: Sequence[LogRecord], error: Exception, dead_letters: DeadLetters
    ) -> list[LogRecord] | None:
        if len(records) > 1:
            middle = len(records) // 2
            first = await self._insert(records[:middle], dead_letters)
            second = None if first is None else await self._insert(records[middle:], dead_letters)
            return None if first is None or second is None else first + second
        number, offset, envelope = records[0]
        await self._put_aside(dead_letters, number, offset, envelope.encode(), str(error))
        return []

    async def _put_aside(self, dead_letters: DeadLetters, number: int, offset: int, value: bytes, error: str) -> None:
        _log.error("dead_letter", partition=number, offset=offset, error=error)
        await dead_letters.put(value, self._kafka.topic, number, offset, error)
        self._instruments.dead_letters.inc()

    async def _leaving_within(self, seconds: float) -> bool:
        """Wait before the next attempt; whether the partitions are taken away, or the writer is stopped, meanwhile."""
        waits = [asyncio.create_task(event.wait()) for event in (self._revoking, self._stopping)]
        done, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return bool(done)

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, OffsetAndMetadata]) -> bool:
        """Commit as the generation of the group that was assigned these partitions; False when it is no longer that."""
        try:
            await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            _log.warning("partitions_lost", error=type(error).__name__)
            self._partitions.clear()
            return False
        return True

    async def _publish(self, consumer: AIOKafkaConsumer) -> None:
        """Tell the readers how far each partition is."""
        now = time.monotonic()
        if now - self._published_at < PUBLISH_EVERY_S:
            return
        self._published_at = now
        found = {
            p.name.partition: Progress(p.stored_up_to or 0, stored_to)
            for p in self._partitions.values()
            if (stored_to := self._watermark(p, consumer)) is not None
        }
        try:
            await self._control.write(lambda conn: publish_progress(conn, self._kafka.topic, found, self._clock()))
        except ControlError as error:  # the readers see an old watermark, and wait; the traces are stored all the same
            _log.error("progress_not_published", error=str(error))

    def _watermark(self, partition: _Partition, consumer: AIOKafkaConsumer) -> datetime | None:
        end, stored = consumer.highwater(partition.name), partition.stored_up_to
        self._instruments.log_lag.labels(str(partition.name.partition)).set(max(0, (end or 0) - (stored or 0)))
        asked_ms = consumer.last_poll_timestamp(partition.name)
        asked_at = datetime.fromtimestamp(asked_ms / 1000, UTC) if asked_ms else None
        found = watermark(stored, end, asked_at, partition.newest)
        return None if found is None else found - SLOWEST_APPEND

    async def _check_stalled(self, consumer: AIOKafkaConsumer) -> None:
        """A consumer may hang without a sign: there are records, and none come.

        Raises:
            StalledError: so it is.
        """
        stored = {name: partition.stored_up_to or 0 for name, partition in self._partitions.items()}
        ends = await consumer.end_offsets(list(stored))
        behind = {name.partition for name, end in ends.items() if end > stored[name]}
        if behind:
            raise StalledError(f"partitions {sorted(behind)} have records and none came for {STALLED_AFTER_S:.0f} s")


def _intent(batch: Sequence[Fetched]) -> OffsetAndMetadata:
    return OffsetAndMetadata(batch[0].offset, Intent(batch[-1].offset, len(batch)).metadata)
