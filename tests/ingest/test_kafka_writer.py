"""The writer on a broker: what it puts aside, when it halts, what it tries again, what it tells the readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from ingest.envelope import Envelope
from ingest.kafka_group import fence, open_consumer
from ingest.kafka_writer import _Partition
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.progress import read_progress, read_watermark
from tests.ingest.logs import KafkaUnderTest, ids_of, kafka_log, span_ids, until
from tests.ingest.spans import make_envelope, make_span
from tests.kafka.broker import MOCK_PARTITIONS, Broker, KafkaBroker

pytestmark = pytest.mark.kafka
NOT_A_REQUEST = b"\x0a\xff\xff\xff\xff\x0f not a request"


@pytest.fixture
async def on_kafka(
    kafka_broker: Broker, kafka_topic: str, store: ClickHouseStore, tmp_path: Path
) -> AsyncIterator[KafkaUnderTest]:
    """A log with its writer."""
    async with kafka_log(kafka_broker, kafka_topic, store, tmp_path) as found:
        yield found


def one() -> Envelope:
    return make_envelope("default", [make_span()])


def poison() -> Envelope:
    return Envelope("default", one().received_at_ns, 1, NOT_A_REQUEST + one().request[:20])


async def produce(broker: Broker, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
    """Straight into one partition, past the log."""
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        for value in values:
            await producer.send(topic, value, key=b"key", partition=partition)


async def dead_letters(broker: Broker, topic: str) -> list[ConsumerRecord]:
    """Everything that was put aside."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(f"{topic}-dead", number) for number in range(MOCK_PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(name) < end for name, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
        return found


async def stored(store: ClickHouseStore, envelopes: Sequence[Envelope]) -> None:
    expected = ids_of(*envelopes)

    async def there() -> bool:
        return await span_ids(store) == expected

    await until(f"exactly {len(expected)} spans in the store", there)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"not an envelope", "not an envelope"),
        (None, "not an envelope"),
        (Envelope("default", 2**62, 1, b"x").encode(), "not an envelope"),
        (poison().encode(), "Code:"),
        (replace(one(), request=b"not a frame", packed_bytes=100_000).encode(), "unpack"),
    ],
    ids=["garbage", "tombstone", "absurd time", "unreadable request", "no zstd frame"],
)
async def test_a_bad_record_is_put_aside_alone(
    on_kafka: KafkaUnderTest, store: ClickHouseStore, kafka_broker: Broker, kafka_topic: str, bad: bytes | None, error: str
) -> None:
    good = [one() for _ in range(30)]
    values = [envelope.encode() for envelope in good]
    await on_kafka.stop_writer()
    await produce(kafka_broker, kafka_topic, [*values[:11], bad, *values[11:]], partition=2)
    await on_kafka.start_writer()
    await stored(store, good)

    async def put_aside() -> bool:
        return len(await dead_letters(kafka_broker, kafka_topic)) == 1

    await until("one dead letter", put_aside)
    [letter] = await dead_letters(kafka_broker, kafka_topic)
    headers = {name: value.decode() for name, value in letter.headers}
    assert letter.value == (bad or b"")
    assert error in headers["error"]
    assert json.loads(headers["origin"]) == {"topic": kafka_topic, "partition": 2, "offset": 11}
    assert kafka_topic in headers["replay"]
    assert on_kafka.writer.halted is None


async def test_a_dead_letter_replayed_after_the_fix_is_stored(
    on_kafka: KafkaUnderTest, store: ClickHouseStore, kafka_broker: Broker, kafka_topic: str
) -> None:
    """A body that was put aside does not count as stored."""
    bad = poison().encode()
    await produce(kafka_broker, kafka_topic, [bad])
    good = one()
    await on_kafka.log.append([good])
    await stored(store, [good])

    async def put_aside(times: int) -> bool:
        return len(await dead_letters(kafka_broker, kafka_topic)) == times

    await until("it is put aside", lambda: put_aside(1))
    await produce(kafka_broker, kafka_topic, [bad])
    await until("it is tried again, and put aside again", lambda: put_aside(2))


async def test_much_that_is_bad_halts_the_writer_in_its_place(
    on_kafka: KafkaUnderTest, store: ClickHouseStore, kafka_broker: Broker, kafka_topic: str
) -> None:
    good = [one() for _ in range(38)]
    await produce(kafka_broker, kafka_topic, [envelope.encode() for envelope in good])
    await stored(store, good)
    await produce(kafka_broker, kafka_topic, [b"bad %d" % number for number in range(10)])
    await until("the writer halts", lambda: on_kafka.writer.halted)
    assert "of the last" in (on_kafka.writer.halted or "")
    assert "start it again" in (on_kafka.writer.halted or "")
    assert len(await dead_letters(kafka_broker, kafka_topic)) <= 3
    later = one()
    await produce(kafka_broker, kafka_topic, [later.encode()])
    await on_kafka.stop_writer()
    await on_kafka.start_writer()  # the fault was looked into: few of many, seen from here
    await stored(store, [*good, later])


# The disk is too full for inserts, and reads go on.
FULL = "ALTER TABLE spans MODIFY SETTING min_free_disk_ratio_to_perform_insert = 1"
FREE = "ALTER TABLE spans RESET SETTING min_free_disk_ratio_to_perform_insert"


async def test_an_error_of_the_surroundings_is_tried_again(on_kafka: KafkaUnderTest, store: ClickHouseStore) -> None:
    sent = [one() for _ in range(5)]
    await store.command(FULL)
    await on_kafka.log.append(sent[:3])
    await asyncio.sleep(1)
    await store.command(FREE)
    await on_kafka.log.append(sent[3:])
    await stored(store, sent)


async def test_it_begins_where_kafka_begins(private_broker: KafkaBroker, store: ClickHouseStore, tmp_path: Path) -> None:
    """Nothing was stored yet, and Kafka no longer has the first records."""
    topic = "aged"
    sent = [one() for _ in range(5)]
    await asyncio.to_thread(private_broker.create_topic, topic, MOCK_PARTITIONS)
    await produce(private_broker, topic, [envelope.encode() for envelope in sent])
    admin = AIOKafkaAdminClient(bootstrap_servers=private_broker.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    async with kafka_log(private_broker, topic, store, tmp_path):
        await stored(store, sent[3:])


async def test_the_oldest_record_that_waits_is_known(on_kafka: KafkaUnderTest, store: ClickHouseStore) -> None:
    sent = [one() for _ in range(3)]
    oldest = min(envelope.received_at for envelope in sent)

    async def seen() -> bool:
        return on_kafka.writer.oldest_unwritten() == oldest

    await store.command(FULL)
    await on_kafka.log.append(sent)
    await until("the oldest record that waits is the first that was received", seen)
    await store.command(FREE)
    await stored(store, sent)

    async def nothing_waits() -> bool:
        return on_kafka.writer.oldest_unwritten() is None

    await until("nothing waits", nothing_waits)


async def test_the_writer_stops_while_the_store_is_away(on_kafka: KafkaUnderTest, store: ClickHouseStore) -> None:
    sent = [one() for _ in range(5)]
    await store.command(FULL)
    await on_kafka.log.append(sent)
    await asyncio.sleep(1)
    await on_kafka.stop_writer()
    await store.command(FREE)
    await on_kafka.start_writer()
    await stored(store, sent)


async def test_the_watermark_follows_the_clock_when_idle_and_stands_still_without_a_writer(
    on_kafka: KafkaUnderTest, store: ClickHouseStore, kafka_topic: str, tmp_path: Path
) -> None:
    control = ControlDatabase(sqlite_url(tmp_path))

    async def passes(moment: datetime) -> bool:
        found = await read_watermark(control, kafka_topic)
        progress = await control.read(lambda connection: read_progress(connection, kafka_topic))
        return found is not None and found > moment and len(progress) == MOCK_PARTITIONS

    await on_kafka.log.append([one()])
    start = datetime.now(UTC)
    await until("the watermark passes the start", lambda: passes(start))
    await on_kafka.stop_writer()
    last = await read_watermark(control, kafka_topic)
    await on_kafka.log.append([one()])
    await asyncio.sleep(1)
    assert await read_watermark(control, kafka_topic) == last
    assert last is not None
    assert last < datetime.now(UTC) - timedelta(seconds=1)
    await control.close()


@pytest.mark.parametrize("fenced", [True, False])
async def test_who_is_out_of_the_group_commits_nothing(on_kafka: KafkaUnderTest, kafka_topic: str, *, fenced: bool) -> None:
    await on_kafka.stop_writer()
    consumer = open_consumer(on_kafka.settings)
    await consumer.start()
    try:
        if fenced:
            fence(consumer)
        consumer.subscribe([kafka_topic])
        await until("it has partitions", consumer.assignment)
        name = min(consumer.assignment())
        assert await on_kafka.writer._commit(consumer, {name: OffsetAndMetadata(0, "")})
        await consumer._coordinator._maybe_leave_group()
        # Without the fence Kafka takes the commit of a stranger, since the group is empty now.
        assert await on_kafka.writer._commit(consumer, {name: OffsetAndMetadata(0, "")}) is not fenced
    finally:
        await consumer.stop()


def test_a_gap_is_asked_for_once() -> None:
    partition = _Partition(TopicPartition("t", 0))
    assert partition.misses(17)  # nothing is stored yet, and what was fetched for an earlier assignment may come first
    assert not partition.misses(17)
    partition.stored_up_to = 5
    assert not partition.misses(5)
    assert partition.misses(9)
    assert not partition.misses(9)  # Kafka itself has nothing in between
    partition.stored_up_to = 9
    assert partition.misses(12)
