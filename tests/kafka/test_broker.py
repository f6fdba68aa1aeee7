import asyncio
import os
import signal
import socket
from collections import Counter
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from tests.kafka import topics
from tests.kafka.broker import (
    MOCK_PARTITIONS,
    Broker,
    BrokerError,
    ExternalBroker,
    KafkaBroker,
    MockBroker,
    announcement,
    choose_broker,
    open_broker,
)

pytestmark = pytest.mark.kafka


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        await asyncio.gather(*[producer.send_and_wait(topic, value) for value in values])


async def consume(bootstrap: str, topic: str) -> Counter[bytes]:
    """Everything the topic holds now."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topic, p) for p in await partitions_of(bootstrap, topic)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: Counter[bytes] = Counter()
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=1_000)
            found.update(record.value for records in batches.values() for record in records)
        return found


async def partitions_of(bootstrap: str, topic: str) -> set[int]:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        return set(await producer.partitions_for(topic))


async def test_records_come_back_once(kafka_broker: Broker, kafka_topic: str) -> None:
    values = [b"record %d" % i for i in range(200)]
    await produce(kafka_broker.bootstrap, kafka_topic, values)
    assert await consume(kafka_broker.bootstrap, kafka_topic) == Counter(values)


async def test_a_topic_has_four_partitions(kafka_broker: Broker, kafka_topic: str) -> None:
    assert await partitions_of(kafka_broker.bootstrap, kafka_topic) == set(range(MOCK_PARTITIONS))


@pytest.mark.real_kafka
@pytest.mark.parametrize("kafka_topic", [1, 7], indirect=True)
async def test_a_topic_has_the_partitions_asked_for(
    kafka_broker: Broker, kafka_topic: str, request: pytest.FixtureRequest
) -> None:
    wanted = request.node.callspec.params["kafka_topic"]
    assert await partitions_of(kafka_broker.bootstrap, kafka_topic) == set(range(wanted))


async def test_committed_metadata_comes_back_through_the_admin_client(kafka_broker: Broker, kafka_topic: str) -> None:
    await produce(kafka_broker.bootstrap, kafka_topic, [b"a"] * 20)
    partition = TopicPartition(kafka_topic, 0)
    committed = OffsetAndMetadata(3, "B:9:7")
    async with AIOKafkaConsumer(
        kafka_topic, bootstrap_servers=kafka_broker.bootstrap, group_id=kafka_topic, enable_auto_commit=False
    ) as consumer:
        await consumer.commit({partition: committed})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(kafka_topic, partitions=[partition])
    finally:
        await admin.close()
    assert offsets == {partition: committed}


@pytest.mark.real_kafka
def test_a_topic_created_again_has_another_id(kafka_broker: Broker) -> None:
    def created_id() -> UUID:
        topics.create_topic(kafka_broker.bootstrap, "again", 1)
        found = topics.topic_id(kafka_broker.bootstrap, "again")
        topics.delete_topic(kafka_broker.bootstrap, "again")
        return found

    first, second = created_id(), created_id()
    assert first != second
    assert first.int != 0


async def keep_sending(producer: AIOKafkaProducer, name: str, acknowledged: list[bytes], stop: asyncio.Event) -> None:
    for i in count():
        if stop.is_set():
            return
        value = f"{name} {i}".encode()
        await producer.send_and_wait("kept", value)
        acknowledged.append(value)


async def grows_to(acknowledged: list[bytes], size: int) -> None:
    async with asyncio.timeout(60):
        while len(acknowledged) < size:
            await asyncio.sleep(0.01)


@pytest.mark.real_kafka
async def test_acknowledged_records_outlive_kill_9(private_broker: KafkaBroker) -> None:
    private_broker.create_topic("kept", 2)
    bootstrap = private_broker.bootstrap
    acknowledged: list[bytes] = []
    stop = asyncio.Event()
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer,
        asyncio.TaskGroup() as senders,
    ):
        for name in "abcdefgh":
            senders.create_task(keep_sending(producer, name, acknowledged, stop))
        await grows_to(acknowledged, 200)
        await asyncio.to_thread(private_broker.kill9)
        await asyncio.to_thread(private_broker.restart)
        await grows_to(acknowledged, len(acknowledged) + 200)
        stop.set()
    assert private_broker.bootstrap == bootstrap
    assert await consume(bootstrap, "kept") == Counter(acknowledged)


@pytest.mark.real_kafka
async def test_a_clean_restart_keeps_port_and_data(private_broker: KafkaBroker) -> None:
    private_broker.create_topic("kept", 1)
    await produce(private_broker.bootstrap, "kept", [b"one"])
    pid = private_broker.pid
    await asyncio.to_thread(private_broker.restart)
    assert private_broker.pid != pid
    assert await consume(private_broker.bootstrap, "kept") == Counter([b"one"])


@pytest.mark.real_kafka
def test_a_broker_that_dies_while_starting_shows_its_log(unstarted_broker: KafkaBroker) -> None:
    log_dir = unstarted_broker.data_dir / "log"
    log_dir.mkdir()
    (log_dir / "meta.properties").write_text("version=1\nnode.id=2\ncluster.id=TTTTTTTTTTTTTTTTTTTTTg\n")
    with pytest.raises(BrokerError, match=r"while starting(?s:.*)Stored node id 2 doesn't match"):
        unstarted_broker.start()


@pytest.mark.real_kafka
def test_a_directory_that_cannot_be_formatted_is_named(unstarted_broker: KafkaBroker) -> None:
    (unstarted_broker.data_dir / "log").write_text("a file where the directory should be")
    with pytest.raises(BrokerError, match=r"could not format its data directory \(status 1\)"):
        unstarted_broker.start()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} is in use: stop the other process or pass --port"):
            KafkaBroker(tmp_path, port).start()


def test_a_broker_that_does_not_run_has_no_pid(tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path)
    broker.kill9()
    broker.stop()
    with pytest.raises(BrokerError, match="does not run: start it first"):
        os.kill(broker.pid, signal.SIGSTOP)


def test_the_mock_refuses_a_number_of_partitions_it_cannot_make() -> None:
    mock = MockBroker()
    with pytest.raises(BrokerError, match="have 4 partitions, not 1"):
        mock.create_topic("t", 1)
    mock.stop()


async def test_the_mock_serves_what_the_fixtures_ask_for(tmp_path: Path) -> None:
    mock = open_broker(choose_broker({"PATH": ""}), tmp_path)
    mock.create_topic("t", MOCK_PARTITIONS)
    await produce(mock.bootstrap, "t", [b"one", b"two"])
    assert await consume(mock.bootstrap, "t") == Counter([b"one", b"two"])
    mock.delete_topic("t")
    mock.stop()


def test_without_java_the_choice_is_the_mock_and_says_what_to_install() -> None:
    choice = choose_broker({"PATH": ""})
    assert choice.kind == "mock"
    assert "java was not found: install Java and Maven (Debian: apt-get install default-jre-headless maven)" in (
        announcement(choice)
    )


def test_an_old_java_is_named(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.22\" 2024-01-16' >&2\n")
    java.chmod(0o755)
    (tmp_path / "kafka_2.13-4.1.1.jar").touch()
    choice = choose_broker({"PATH": str(tmp_path)}, tmp_path)
    assert choice.missing is not None
    assert "is Java 11, Kafka needs 17 or newer" in choice.missing


def test_missing_jars_are_named(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.touch(0o755)
    choice = choose_broker({"PATH": str(tmp_path)}, tmp_path)
    assert choice.missing is not None
    assert choice.missing.startswith(f"{tmp_path} does not hold Kafka's jars: install")


def test_the_variable_names_another_broker(tmp_path: Path) -> None:
    mock = MockBroker()
    choice = choose_broker({"PATH": "", "KAFKA_BOOTSTRAP": mock.bootstrap})
    assert announcement(choice) == f"kafka: the broker at {mock.bootstrap} (KAFKA_BOOTSTRAP)"
    external = open_broker(choice, tmp_path)
    assert external.bootstrap == mock.bootstrap
    external.stop()
    mock.stop()


def test_a_variable_that_names_no_broker_is_refused() -> None:
    with pytest.raises(BrokerError, match=r"KAFKA_BOOTSTRAP=127\.0\.0\.1:1: start it, or unset the variable"):
        ExternalBroker("127.0.0.1:1", timeout_s=0.5)
