"""Which kinds of channels there are. A new one is a file beside this one and a line in `BUILDERS`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from alerting.http import GuardedClient
from alerting.notifiers.contract import Notifier
from alerting.notifiers.slack import SlackNotifier
from alerting.notifiers.webhook import WebhookNotifier
from schemas.sections import Channel, SlackChannel, WebhookChannel
from schemas.settings import read_secret


@dataclass(frozen=True)
class Endpoint:
    """A channel ready for use: `spacing` is the least time between two messages, `address_hash` changes with the address."""

    name: str
    type: str
    notifier: Notifier
    spacing: timedelta
    address_hash: str


Builder = Callable[[Channel, GuardedClient, str | None], Endpoint]


def build_endpoints(channels: Iterable[Channel], client: GuardedClient, public_url: str | None) -> dict[str, Endpoint]:
    """The configured channels by name.

    Raises:
        ValueError: a secret file cannot be read, or a secret is not one; the message names the channel.
    """
    return {channel.name: BUILDERS[channel.type](channel, client, public_url) for channel in channels}


def _webhook(channel: Channel, client: GuardedClient, public_url: str | None) -> Endpoint:
    assert isinstance(channel, WebhookChannel)
    secret = _required(channel.name, read_secret(channel.secret, channel.secret_file))
    if not _is_key(secret.get_secret_value()):
        raise ValueError(
            f"channel {channel.name}: the secret is not `whsec_` and base64: generate one of 24 to 64 random bytes"
        )
    notifier = WebhookNotifier(client, channel.url, secret, public_url)
    return Endpoint(channel.name, channel.type, notifier, timedelta(0), _hash(channel.url))


def _slack(channel: Channel, client: GuardedClient, public_url: str | None) -> Endpoint:
    assert isinstance(channel, SlackChannel)
    url = _required(channel.name, read_secret(channel.url, channel.url_file)).get_secret_value()
    return Endpoint(channel.name, channel.type, SlackNotifier(client, url, public_url), timedelta(seconds=1), _hash(url))


BUILDERS: Mapping[str, Builder] = {"webhook": _webhook, "slack": _slack}


def _is_key(secret: str) -> bool:
    encoded = secret.removeprefix("whsec_").rstrip("=")
    try:
        return bool(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except ValueError:
        return False


def _required(name: str, found: SecretStr | None) -> SecretStr:
    if found is None or not found.get_secret_value():
        raise ValueError(f"channel {name} has an empty secret: set it in place or in its file")
    return found


def _hash(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()
