"""The topics of the trace log on a real broker."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ingest.kafka_topics import KafkaUnusableError, check_topics, connection_options, create_topics
from schemas.sections import KafkaSettings
from tests.kafka.broker import Broker


@pytest.mark.kafka
@pytest.mark.real_kafka
async def test_missing_topics_are_told_and_then_made_once(kafka_broker: Broker) -> None:
    mark = uuid4().hex
    settings = KafkaSettings(
        bootstrap_servers=kafka_broker.bootstrap, topic=f"traces-{mark}", dead_letter_topic=f"dead-{mark}", partitions=3
    )
    with pytest.raises(KafkaUnusableError, match=f"topic traces-{mark} and dead-{mark} is missing"):
        await check_topics(settings)
    assert await create_topics(settings) == [f"traces-{mark}", f"dead-{mark}"]
    await check_topics(settings)
    assert await create_topics(settings) == []


@pytest.mark.kafka
@pytest.mark.real_kafka
async def test_more_copies_than_brokers_are_refused_with_the_fix(kafka_broker: Broker) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka_broker.bootstrap, topic=f"traces-{uuid4().hex}", replication_factor=3)
    with pytest.raises(KafkaUnusableError, match=r"InvalidReplicationFactorError.*check kafka\.replication_factor"):
        await create_topics(settings)


async def test_nobody_there_is_told_with_the_address() -> None:
    with pytest.raises(KafkaUnusableError, match=r"127\.0\.0\.1:1 does not answer"):
        await check_topics(KafkaSettings(bootstrap_servers="127.0.0.1:1"))


def test_a_sign_in_reaches_the_client() -> None:
    settings = KafkaSettings.model_validate(
        {
            "bootstrap_servers": "k:9093",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "username": "tw",
            "password": "hunter2",
        }
    )
    options = connection_options(settings)
    assert options["ssl_context"] is not None
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "tw")
    assert options["sasl_plain_password"] == "hunter2"
