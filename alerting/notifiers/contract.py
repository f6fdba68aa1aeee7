"""What a notifier is, and the errors that decide whether a message is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx

from alerting.http import GuardedClient, OutgoingRefusedError
from alerting.notices import Notice
from alerting.reports import ReportNotice

# These say that this request will never be accepted; every other refusal may pass (a receiver that is being deployed
# answers 404 or 401 for a while).
PERMANENT_STATUS = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431, 501})


@dataclass(frozen=True)
class Envelope:
    """One message, of alerts or of one report: `id` is the same for every attempt, `sent_at` that of this one."""

    id: str
    channel: str
    group_key: str
    sent_at: datetime
    notices: tuple[Notice, ...]
    report: ReportNotice | None = None


class DeliveryError(Exception):
    """A message was not delivered; the text says why."""


class RetryableError(DeliveryError):
    """It may be delivered later; `retry_after` is the time the receiver asked for (it is then not counted as a failure)."""

    def __init__(self, detail: str, retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class PermanentError(DeliveryError):
    """It will never be delivered as it is."""


class EndpointGoneError(PermanentError):
    """The receiver wants no messages any more (410): its channel is disabled."""


class Notifier(Protocol):
    """Sends messages to one channel."""

    async def send(self, envelope: Envelope) -> None:
        """Return when the receiver has accepted the message.

        Raises:
            RetryableError, PermanentError: it has not.
        """
        ...


async def post(client: GuardedClient, url: str, content: bytes, headers: dict[str, str], now: datetime) -> None:
    """POST a message and read the answer as success or as one of the errors above."""
    try:
        answer = await client.post(url, content=content, headers=headers)
    except OutgoingRefusedError as error:
        raise PermanentError(str(error)) from error
    except httpx.HTTPError as error:
        raise RetryableError(f"no answer: {type(error).__name__} {error}") from error
    _raise_for(answer, now)


def _raise_for(answer: httpx.Response, now: datetime) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    text = f"the receiver answered {status} {answer.text[:200]!r}"
    if status == 410:
        raise EndpointGoneError(f"{text}: it is gone; give the channel another address or enable it again")
    if status in PERMANENT_STATUS or 300 <= status < 400:
        raise PermanentError(f"{text}: correct the channel's address or what it accepts, then resend")
    if status in (429, 503):
        raise RetryableError(text, retry_after(answer.headers.get("retry-after"), now) if status == 429 else None)
    raise RetryableError(text)


def retry_after(value: str | None, now: datetime) -> timedelta:
    """Seconds or an HTTP date; a minute where there is none that can be read, an hour at most."""
    length = timedelta(minutes=1)
    if value is not None and value.strip().isdecimal():
        length = timedelta(seconds=min(int(value), 3600))
    elif value is not None:
        length = _until(value, now) or length
    return min(max(length, timedelta(seconds=1)), timedelta(hours=1))


def _until(value: str, now: datetime) -> timedelta | None:
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
