"""Whether Kafka answers and has what the trace log needs."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from schemas.sections import KafkaSettings
from schemas.settings import read_secret

REQUEST_TIMEOUT_MS = 5_000


async def check_kafka(settings: KafkaSettings) -> str | None:
    """What is wrong, with the fix; None when all is there."""
    try:
        admin = AIOKafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **connection_options(settings))
        await admin.start()
    except (KafkaError, OSError, ValueError) as error:
        place = settings.bootstrap_servers
        return f"{place} does not answer ({error}): check kafka.bootstrap_servers, the sign-in, and that the broker runs"
    try:
        found = {topic["topic"]: topic for topic in await admin.describe_topics()}
    except KafkaError as error:
        return f"the topics cannot be read ({error}): give the user the right to describe them"
    finally:
        await admin.close()
    return _missing(settings, found)


def _missing(settings: KafkaSettings, found: dict[str, object]) -> str | None:
    missing = [name for name in (settings.topic, settings.dead_letter_topic) if name not in found]
    return f"topic {' and '.join(missing)} is missing: run `tracewarden migrate`" if missing else None


def connection_options(settings: KafkaSettings) -> dict[str, object]:
    """The arguments by which every client of aiokafka connects."""
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
