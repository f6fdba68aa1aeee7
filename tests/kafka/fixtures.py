"""pytest plugin: the brokers and topics that tests ask for, and which tests this machine's broker can serve."""

import os
import shutil
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.kafka.broker import (
    MOCK_PARTITIONS,
    Broker,
    BrokerChoice,
    KafkaBroker,
    announcement,
    choose_broker,
    open_broker,
)

CHOICE = pytest.StashKey[BrokerChoice]()
LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHOICE] = choose_broker(os.environ)
    config.stash[LEFT_OUT] = 0


def pytest_report_header(config: pytest.Config) -> str:
    return announcement(config.stash[CHOICE])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    choice = config.stash[CHOICE]
    left_out = [item for item in items if not can_serve(choice, item)]
    if left_out:
        config.stash[LEFT_OUT] = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if can_serve(choice, item)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash[LEFT_OUT]:
        reason = config.stash[CHOICE].missing
        terminalreporter.line(f"kafka: {left_out} tests were left out, they need a real Kafka: {reason}", yellow=True)


def can_serve(choice: BrokerChoice, item: pytest.Item) -> bool:
    """Whether the test can run: a broker that it may kill is always our own Apache Kafka."""
    if "unstarted_broker" in getattr(item, "fixturenames", ()):
        return choice.missing is None
    return choice.kind != "mock" or item.get_closest_marker("real_kafka") is None


@pytest.fixture(scope="session")
def kafka_broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The one broker that the tests share: do not stop it."""
    data_dir = tmp_path_factory.mktemp("kafka")
    broker = open_broker(pytestconfig.stash[CHOICE], data_dir)
    yield broker
    broker.stop()
    shutil.rmtree(data_dir)


@pytest.fixture
def kafka_topic(request: pytest.FixtureRequest, kafka_broker: Broker) -> Iterator[str]:
    """The name of a fresh topic with four partitions, as the mock cluster makes them.

    Another number: `@pytest.mark.parametrize("kafka_topic", [1], indirect=True)`, together with
    `@pytest.mark.real_kafka`.
    """
    name = f"test-{uuid4().hex}"
    kafka_broker.create_topic(name, getattr(request, "param", MOCK_PARTITIONS))
    yield name
    kafka_broker.delete_topic(name)


@pytest.fixture
def unstarted_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """An Apache Kafka of the test's own that has not been started yet."""
    broker = KafkaBroker(tmp_path_factory.mktemp("private-kafka"))
    yield broker
    broker.stop()
    shutil.rmtree(broker.data_dir)


@pytest.fixture
def private_broker(unstarted_broker: KafkaBroker) -> KafkaBroker:
    """An Apache Kafka of the test's own, to kill and to restart."""
    unstarted_broker.start()
    return unstarted_broker
