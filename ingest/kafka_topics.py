"""The topics that the trace log needs: whether they are there, and making them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.helpers import create_ssl_context

from schemas.sections import KafkaSettings
from schemas.settings import read_secret

REQUEST_TIMEOUT_MS = 10_000
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""A record stays below 1 MB unless a single span is larger; the largest span allowed must still fit."""


class KafkaUnusableError(Exception):
    """Kafka does not answer or lacks something; the message names the fix."""


async def check_topics(settings: KafkaSettings) -> None:
    """Nothing, when both topics are there.

    Raises:
        KafkaUnusableError: Kafka does not answer, or a topic is missing.
    """
    async with _admin(settings) as admin:
        missing = await _missing(admin, settings)
    if missing:
        raise KafkaUnusableError(f"topic {' and '.join(missing)} is missing: run `tracewarden migrate`")


async def create_topics(settings: KafkaSettings) -> list[str]:
    """Make the topics that are missing; their names. Existing ones stay as they are. Several processes may call this at once.

    Raises:
        KafkaUnusableError: Kafka does not answer, or refuses.
    """
    async with _admin(settings) as admin:
        missing = await _missing(admin, settings)
        wanted = [_new_topic(settings, name) for name in missing]
        answer = await admin.create_topics(wanted) if wanted else None
    for name, code, *rest in answer.topic_errors if answer else ():
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise KafkaUnusableError(
                f"topic {name} cannot be made ({error.__name__}{_said(rest)}): check kafka.replication_factor against the "
                "number of brokers, and the right to create topics"
            )
    return missing


def _new_topic(settings: KafkaSettings, name: str) -> NewTopic:
    configs = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    return NewTopic(name, _partitions(settings, name), settings.replication_factor, topic_configs=configs)


def _said(rest: list[object]) -> str:
    return f": {rest[0]}" if rest and rest[0] else ""


def _partitions(settings: KafkaSettings, topic: str) -> int:
    return settings.partitions if topic == settings.topic else 1


async def _missing(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> list[str]:
    found = await admin.list_topics()
    return [name for name in (settings.topic, settings.dead_letter_topic) if name not in found]


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    place = settings.bootstrap_servers
    try:
        admin = AIOKafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **connection_options(settings))
        await admin.start()
    except (KafkaError, OSError) as error:
        why = f"{place} does not answer ({type(error).__name__}): check kafka.bootstrap_servers, the sign-in, and that it runs"
        raise KafkaUnusableError(why) from error
    try:
        yield admin
    except KafkaError as error:
        raise KafkaUnusableError(f"{place} refuses ({error}): check the rights of the user") from error
    finally:
        await admin.close()


def connection_options(settings: KafkaSettings) -> dict[str, object]:
    """The arguments by which every client of aiokafka connects.

    Raises:
        ValueError: the password is given twice, or its file cannot be read.
    """
    options: dict[str, object] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if settings.security_protocol.startswith("SASL"):
        password = read_secret(settings.password, settings.password_file)
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options
