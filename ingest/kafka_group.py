"""The group of the writers: a consumer that commits as its member only, and what it committed."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalGenerationError

from ingest.kafka_batch import Intent, parse_intent
from ingest.kafka_topics import connection_options
from schemas.sections import KafkaSettings

SESSION_TIMEOUT_MS = 10_000
FETCH_WAIT_MS = 250


def open_consumer(kafka: KafkaSettings) -> AIOKafkaConsumer:
    """A consumer of the writers' group that commits when it is told to; not started yet."""
    return AIOKafkaConsumer(
        group_id=kafka.consumer_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=kafka.batch_bytes // 4,  # compressed, and text is a quarter then
        fetch_max_bytes=kafka.batch_bytes,
        **connection_options(kafka),
    )


async def read_intents(
    kafka: KafkaSettings, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, Intent | None]]:
    """What the group committed, by partition: the offset, and the range under way from there. Without a commit: left out.

    Raises:
        KafkaError: Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(**connection_options(kafka))
    await admin.start()
    try:
        # The consumer's own committed() drops the metadata.
        found = await admin.list_consumer_group_offsets(kafka.consumer_group, partitions=list(partitions))
    finally:
        await admin.close()
    return {name: (at.offset, parse_intent(at.metadata or "")) for name, at in found.items() if at.offset >= 0}


def fence(consumer: AIOKafkaConsumer) -> None:
    """Let a started consumer commit as a member of its group only.

    Put out of the group, aiokafka forgets its generation and commits without one until it has joined again. Kafka takes that
    while the group has no members: a writer that slept would set the offsets back behind what its heir has stored.
    """
    coordinator = consumer._coordinator
    commit = coordinator._do_commit_offsets

    async def commit_as_member(assignment: object, offsets: object) -> None:
        if coordinator.generation < 0:
            raise IllegalGenerationError
        await commit(assignment, offsets)

    coordinator._do_commit_offsets = commit_as_member
