"""Sending what is in the outbox: claim, send, store the outcome. Several processes may do so at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from alerting.notifiers import DeliveryError, Endpoint, EndpointGoneError, Envelope, PermanentError, RetryableError
from alerting.outbox import Message, claim_message, settle
from storage.control import ControlDatabase, ControlError
from storage.deliveries import change_channel, sync_channels

_log = structlog.get_logger("dispatch")

Clock = Callable[[], datetime]
Counted = Callable[[str, str], None]

RETRY_DELAYS: tuple[timedelta, ...] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)

GIVE_UP = sum(RETRY_DELAYS, timedelta(0))
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Outcome:
    """What becomes of a message: its next state, and when it is tried again (None: never by itself)."""

    state: str
    reason: str
    again_at: datetime | None = None
    hold_channel_until: datetime | None = None
    disable_channel: bool = False


def judge(attempt: int, error: DeliveryError | None, created_at: datetime, now: datetime) -> Outcome:
    """What the result of attempt number `attempt` (from 1) means. Waiting as told by the receiver ends after `GIVE_UP`."""
    if error is None:
        return Outcome("delivered", "")
    if isinstance(error, PermanentError):
        return Outcome("dead", str(error), disable_channel=isinstance(error, EndpointGoneError))
    assert isinstance(error, RetryableError)
    if error.retry_after is not None and now - created_at < GIVE_UP:
        again_at = now + error.retry_after
        return Outcome("pending", str(error), again_at, hold_channel_until=again_at)
    if attempt > len(RETRY_DELAYS):
        return Outcome("dead", f"given up after {attempt} attempts: {error}")
    return Outcome("pending", str(error), now + RETRY_DELAYS[attempt - 1])


class Dispatcher:
    """Empties the outbox into the endpoints. `counted(channel, outcome)` hears of every attempt."""

    def __init__(
        self, control: ControlDatabase, endpoints: Mapping[str, Endpoint], clock: Clock, counted: Counted = lambda _c, _o: None
    ) -> None:
        self._control = control
        self._endpoints = endpoints
        self._clock = clock
        self._counted = counted
        self._worker = secrets.token_hex(8)

    async def prepare(self) -> None:
        """Store which channels are configured; call it before anything is put into the outbox."""
        configured = {name: (endpoint.type, endpoint.address_hash) for name, endpoint in self._endpoints.items()}
        await self._control.write(lambda connection: sync_channels(connection, configured))

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; a database that cannot be reached is tried again."""
        while not stop.is_set():
            try:
                busy = await self.run_once()
            except ControlError as error:
                _log.warning("outbox_unreachable", error=str(error))
                busy = False
            if not busy:
                await _pause(stop)

    async def run_once(self) -> bool:
        """Send at most one message; whether there was one."""
        message = await self.claim()
        if message is None:
            return False
        await self.finish(message, await self.send(message))
        return True

    async def claim(self) -> Message | None:
        """Take the next message."""
        now = self._clock()
        return await self._control.write(lambda connection: claim_message(connection, now, self._worker, list(self._endpoints)))

    async def send(self, message: Message) -> DeliveryError | None:
        """Try to deliver a message; the error, if any."""
        endpoint = self._endpoints[message.channel]
        try:
            now = self._clock()
            envelope = Envelope(message.id, message.channel, message.group_key, now, message.notices, message.report)
            await endpoint.notifier.send(envelope)
        except DeliveryError as error:
            return error
        except Exception as error:  # a message that cannot be made must not block those behind it: it is a dead letter
            _log.exception("message_failed", channel=message.channel, message=message.id)
            return PermanentError(f"the message cannot be made ({type(error).__name__}): the cause is in the log")
        return None

    async def finish(self, message: Message, error: DeliveryError | None) -> bool:
        """Store what became of a message; False when its claim ran out meanwhile and another sends it."""
        now = self._clock()
        outcome = judge(message.attempt, error, message.rows[0].created_at, now)
        stored = await self._control.write(lambda connection: self._store(connection, message, outcome, now))
        self._counted(message.channel, outcome.state if error is None or outcome.state == "dead" else "retried")
        if error is not None:
            _log.warning("delivery_failed", channel=message.channel, message=message.id, error=str(error), next=outcome.state)
        return stored

    def _store(self, connection: Connection, message: Message, outcome: Outcome, now: datetime) -> bool:
        spacing = self._endpoints[message.channel].spacing
        held = outcome.hold_channel_until or (now + spacing if spacing else None)
        if held is not None:
            change_channel(connection, message.channel, {"not_before": held})
        if outcome.disable_channel:
            change_channel(connection, message.channel, {"disabled_at": now, "disabled_reason": outcome.reason})
        return settle(
            connection,
            message,
            outcome.state,
            outcome.reason,
            now=now,
            again_at=outcome.again_at,
            counted=outcome.hold_channel_until is None,
        )


async def _pause(stop: asyncio.Event) -> None:
    waits: Awaitable[bool] = stop.wait()
    try:
        await asyncio.wait_for(waits, LOOK_EVERY_S)
    except TimeoutError:
        return
