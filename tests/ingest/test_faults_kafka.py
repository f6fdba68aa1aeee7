"""The form with Kafka under faults: each part killed, stopped or slow while senders go on."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

import ingest.kafka_sender
from ingest.kafka_log import KafkaTraceLog
from ingest.trace_log import TraceLogError
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.progress import read_progress
from tests.ingest.logs import until
from tests.ingest.oracle import Ledger, Verdict, delivered, judge, kills, report
from tests.ingest.writer_process import Orders, Point, WriterProcess, kafka_settings
from tests.kafka.broker import MOCK_PARTITIONS, Broker, KafkaBroker
from tests.storage.http_front import HttpFront

KILLS = kills(3)
PATIENCE_S = 120.0
pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.timeout(240 + 60 * KILLS)]


def session_ms(broker: Broker) -> int:
    """As short as the broker allows: ours is set up so, another has Kafka's default."""
    return 3_000 if isinstance(broker, KafkaBroker) else 6_000


class World:
    """A topic, a store behind its HTTP front, writers, and senders that try again until they are acknowledged.

    One request in eight is large enough to travel packed.
    """

    def __init__(self, broker: Broker, topic: str, folder: Path, front: HttpFront) -> None:
        self.front = front
        self.ledger = Ledger()
        self.orders = Orders(broker.bootstrap, topic, front.url, str(folder), session_ms(broker))
        self._folder = folder
        self._writers: list[WriterProcess] = []
        self._batches = 0

    async def writer(self, orders: Orders | None = None) -> WriterProcess:
        """Start one."""
        log = self._folder / f"writer-{len(self._writers)}.log"
        found = await asyncio.to_thread(WriterProcess, orders or self.orders, log)
        self._writers.append(found)
        return found

    @asynccontextmanager
    async def senders(self, count: int = 6) -> AsyncIterator[None]:
        """Send without a pause while the block runs; its end waits for every acknowledgement."""
        log = KafkaTraceLog(kafka_settings(self.orders))
        await log.start()
        leaving = asyncio.Event()
        tasks = [asyncio.create_task(self._send_on(log, leaving)) for _ in range(count)]
        try:
            yield
        finally:
            leaving.set()
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
            await log.stop()

    async def _send_on(self, log: KafkaTraceLog, leaving: asyncio.Event) -> None:
        while not leaving.is_set():
            self._batches += 1
            envelope, spans = self.ledger.batch(10, payload_bytes=200 if self._batches % 8 else 4_000)
            while spans - self.ledger.acknowledged:
                try:
                    await log.append([envelope])
                    self.ledger.acknowledged |= spans
                except TraceLogError:
                    self.ledger.retries += 1
                    await asyncio.sleep(0.1)
            await asyncio.sleep(0.15)

    async def acknowledged(self, more: int) -> None:
        """Wait until so many spans more are."""
        wanted = len(self.ledger.acknowledged) + more
        await until(f"{wanted} spans acknowledged", lambda: len(self.ledger.acknowledged) >= wanted, PATIENCE_S)

    async def fresh_span_flows(self) -> None:
        """One more, after the faults."""
        async with self.senders(count=1):
            await self.acknowledged(1)

    async def verdict(self, name: str, **counts: int) -> Verdict:
        """After everything that was acknowledged went through the writer."""
        await until("the writer has caught up", self.caught_up, PATIENCE_S)
        store = ClickHouseStore(self.front.url)
        found = judge(self.ledger, await delivered(store))
        await store.close()
        report(name, found, retries=self.ledger.retries, **counts)
        return found

    async def caught_up(self) -> bool:
        """Whether the writers have said that they are at the end of every partition."""
        control = ControlDatabase(sqlite_url(self._folder))
        progress = await control.read(lambda connection: read_progress(connection, self.orders.topic))
        await control.close()
        partitions = [TopicPartition(self.orders.topic, number) for number in range(MOCK_PARTITIONS)]
        async with AIOKafkaConsumer(bootstrap_servers=self.orders.bootstrap) as consumer:
            ends = await consumer.end_offsets(partitions)
        return all(number.partition in progress and progress[number.partition].offset >= end for number, end in ends.items())

    def kill_all(self) -> None:
        """Leave nothing running."""
        for writer in self._writers:
            writer.kill9()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[HttpFront]:
    """A store of the test's own."""
    found = HttpFront(tmp_path / "chdb")
    found.start()
    yield found
    found.kill9()


@pytest.fixture
def new_world(tmp_path: Path, front: HttpFront) -> Iterator[Callable[[Broker, str], World]]:
    """Makes the world on a broker and a topic."""
    made: list[World] = []

    def make(broker: Broker, topic: str) -> World:
        broker.create_topic(f"{topic}-dead", 1)
        made.append(World(broker, topic, tmp_path, front))
        return made[0]

    yield make
    for world in made:
        world.kill_all()


@pytest.fixture
def world(new_world: Callable[[Broker, str], World], kafka_broker: Broker, kafka_topic: str) -> World:
    """On the broker that the tests share."""
    return new_world(kafka_broker, kafka_topic)


async def test_kill_9_of_the_writer_at_any_moment(world: World) -> None:
    async with world.senders():
        for _ in range(KILLS):
            writer = await world.writer()
            await world.acknowledged(100)
            await asyncio.sleep(random.uniform(0, 1.0))
            writer.kill9()
        await world.writer()
    await world.fresh_span_flows()
    assert (await world.verdict("Kafka, kill -9 of the writer", kills=KILLS)).clean


async def test_kill_9_of_the_writer_together_with_its_store(world: World, tmp_path: Path) -> None:
    """The store is chDB within the writer: what was not on disk is gone with it."""
    world.front.kill9()
    own = replace(world.orders, store_url=f"chdb://{tmp_path / 'chdb'}")
    async with world.senders():
        for _ in range(KILLS):
            writer = await world.writer(own)
            await world.acknowledged(100)
            await asyncio.sleep(random.uniform(0, 1.0))
            writer.kill9()
        writer = await world.writer(own)
    await world.fresh_span_flows()
    await until("the writer has caught up", world.caught_up, PATIENCE_S)
    assert await asyncio.to_thread(writer.stop) == 0
    world.front.start()
    assert (await world.verdict("Kafka, kill -9 of writer and store", kills=KILLS)).clean


POINTS: tuple[Point, ...] = ("before the intent", "after the intent", "after the insert", "after the last commit")


async def deaths(world: World, orders: Orders, times: int) -> None:
    for _ in range(times):
        writer = await world.writer(orders)
        assert await asyncio.to_thread(writer.wait) == -signal.SIGKILL


async def test_a_writer_that_dies_between_any_two_steps(world: World) -> None:
    async with world.senders():
        for point in POINTS:
            await deaths(world, replace(world.orders, dies_at=point), 1)
        await world.writer()
    await world.fresh_span_flows()
    assert (await world.verdict("Kafka, death at each step", kills=len(POINTS))).clean


async def test_without_deduplication_the_same_deaths_double(world: World) -> None:
    """The negative control: this oracle can fail."""
    careless = replace(world.orders, deduplicates=False)
    async with world.senders():
        await deaths(world, replace(careless, dies_at="after the insert"), 1)
        await world.writer(careless)
    verdict = await world.verdict("Kafka, without deduplication", kills=1)
    assert verdict.doubled > 0
    assert verdict.lost == 0


async def test_kill_9_of_the_broker_under_load(new_world: Callable[[Broker, str], World], private_broker: KafkaBroker) -> None:
    private_broker.create_topic("killed", MOCK_PARTITIONS)
    world = new_world(private_broker, "killed")
    await world.writer()
    async with world.senders(count=12):
        for _ in range(max(1, KILLS // 2)):
            await world.acknowledged(200)
            await asyncio.sleep(random.uniform(0, 0.5))
            await asyncio.to_thread(private_broker.kill9)
            await asyncio.sleep(random.uniform(0, 2))
            await asyncio.to_thread(private_broker.start)
        await world.acknowledged(200)
    await world.fresh_span_flows()
    assert (await world.verdict("Kafka, kill -9 of the broker", kills=max(1, KILLS // 2))).clean


@pytest.mark.parametrize("point", ["after the intent", "after the insert"])
async def test_a_writer_that_wakes_up_after_its_partitions_went_to_another(world: World, point: Point) -> None:
    """Between the steps of a range it is stopped for longer than its session; then it goes on where it was."""
    async with world.senders():
        sleeper = await world.writer(replace(world.orders, dies_at=point, dies_after=5, dies_by=signal.SIGSTOP))
        await until("it is stopped", sleeper.is_stopped, PATIENCE_S)
        heir = await world.writer()
        await asyncio.sleep(world.orders.session_timeout_ms / 1000 + 2)
        sleeper.send(signal.SIGCONT)
        await world.acknowledged(200)
        assert await asyncio.to_thread(heir.stop) == 0
        await world.acknowledged(100)
    await world.fresh_span_flows()
    assert (await world.verdict(f"Kafka, asleep {point}, and rebalances")).clean
    assert "partitions_lost" in sleeper.said()


async def test_an_outage_longer_than_the_producer_waits(
    new_world: Callable[[Broker, str], World], private_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the broker took before it died and could not acknowledge is sent again, as a second record."""
    monkeypatch.setattr(ingest.kafka_sender, "REQUEST_TIMEOUT_MS", 1_500)
    private_broker.create_topic("away", MOCK_PARTITIONS)
    world = new_world(private_broker, "away")
    writer = await world.writer()
    async with world.senders(count=12):
        await world.acknowledged(200)
        await asyncio.to_thread(private_broker.kill9)
        await until("a sender is told to try again", lambda: world.ledger.retries > 5, PATIENCE_S)
        await asyncio.to_thread(private_broker.start)
        await world.acknowledged(200)
    await world.fresh_span_flows()
    assert (await world.verdict("Kafka, broker away", kills=1)).clean
    await asyncio.to_thread(private_broker.kill9)
    assert await asyncio.to_thread(writer.stop) == 0  # also while the broker is away


async def test_a_server_that_stands_still_and_one_that_dies(world: World) -> None:
    writer = await world.writer()
    async with world.senders():
        await world.acknowledged(200)
        world.front.send(signal.SIGSTOP)
        await asyncio.sleep(2)
        world.front.send(signal.SIGCONT)
        for _ in range(max(1, KILLS // 2)):
            await world.acknowledged(200)
            world.front.kill9()
            await asyncio.sleep(random.uniform(0, 1))
            await asyncio.to_thread(world.front.start)
    await world.fresh_span_flows()
    assert (await world.verdict("Kafka, the server killed and stopped", kills=max(1, KILLS // 2))).clean
    world.front.kill9()
    async with world.senders(count=1):
        await world.acknowledged(1)
    assert await asyncio.to_thread(writer.stop) == 0  # also while the server is away
