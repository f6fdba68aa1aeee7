"""Topics of a broker, through its own admin protocol."""

import time
from uuid import UUID

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TIMEOUT_S = 20.0


def create_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Create a topic and wait until each of its partitions has a leader."""
    admin = _admin(bootstrap)
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    while _count_led(admin, name) < partitions:
        if time.monotonic() > deadline:
            raise TimeoutError(f"topic {name} got no leaders within {TIMEOUT_S:.0f} s")
        time.sleep(0.02)


def delete_topic(bootstrap: str, name: str) -> None:
    admin = _admin(bootstrap)
    admin.delete_topics([name])[name].result(TIMEOUT_S)


def topic_id(bootstrap: str, name: str) -> UUID:
    """The broker's own id of a topic, new each time a topic of that name is created."""
    admin = _admin(bootstrap)
    described = admin.describe_topics(TopicCollection([name]))[name].result(TIMEOUT_S)
    halves = described.topic_id.get_most_significant_bits(), described.topic_id.get_least_significant_bits()
    high, low = (half % 2**64 for half in halves)
    return UUID(int=high << 64 | low)


def answers(bootstrap: str, timeout_s: float) -> bool:
    """Whether a broker serves there, with a leader for every partition it has."""
    try:
        metadata = _admin(bootstrap).list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    partitions = [p for topic in metadata.topics.values() for p in topic.partitions.values()]
    return bool(metadata.brokers) and all(partition.leader >= 0 for partition in partitions)


def _count_led(admin: AdminClient, name: str) -> int:
    topic = admin.list_topics(timeout=TIMEOUT_S).topics.get(name)
    return sum(partition.leader >= 0 for partition in topic.partitions.values()) if topic else 0


def _admin(bootstrap: str) -> AdminClient:
    """To be held in a name until its futures are done: it drops them when it is collected."""
    # librdkafka writes every lost connection to stderr; the callers report what matters.
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
