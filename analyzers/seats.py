"""Which partitions are ours: analyzer processes share them by lease, each about as many."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

from storage.analysis import LeaseLostError, Seat, count_processes, leave_seat, take_seat
from storage.control import ControlDatabase

LEASE = timedelta(seconds=30)
RENEW_S = 10.0

_LONG_AGO = datetime(1971, 1, 1, tzinfo=UTC)


class Seats:
    """The seats of this process on one topic, of all its analyzers."""

    def __init__(self, control: ControlDatabase, topic: str, clock: Callable[[], datetime]) -> None:
        self._control = control
        self._topic = topic
        self._clock = clock
        self._holder = uuid.uuid4().hex
        self._held: dict[str, set[int]] = {}
        self._taken: dict[Seat, tuple[int, datetime]] = {}

    async def take(self, analyzer: str, partitions: Sequence[int]) -> AsyncIterator[tuple[Seat, tuple[str, int]]]:
        """The seats of `analyzer` that are ours, each with its holder and token, while the caller works on them.

        Every process has its fair share at most, and gives back what is above it when another process joins.
        """
        held = self._held.setdefault(analyzer, set())
        fair = await self._fair_share(analyzer, len(partitions))
        for partition in sorted(partitions, key=lambda number: (number not in held, number)):
            seat = Seat(analyzer, self._topic, partition)
            if len(held - {partition}) >= fair:
                await self._leave(seat)
                continue
            token = await self._take(seat)
            if token is not None:
                yield seat, (self._holder, token)

    @contextlib.asynccontextmanager
    async def kept(self, seat: Seat, lease: tuple[str, int]) -> AsyncIterator[None]:
        """Prolongs a lease while something takes long.

        Raises:
            LeaseLostError: it was lost on the way; what was found must not be written.
        """
        renewing = asyncio.create_task(self._renew(seat, lease), name=f"lease-{seat.lease}")
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    async def leave(self, analyzer: str) -> None:
        """Give back every seat of `analyzer`."""
        for partition in sorted(self._held.pop(analyzer, ())):
            await self._give_back(Seat(analyzer, self._topic, partition))

    async def _fair_share(self, analyzer: str, partitions: int) -> int:
        if partitions <= 1:
            return partitions
        here, now = Seat(f"{analyzer[:20]}.{self._holder[:16]}", self._topic, -1), self._clock()
        await self._control.write(lambda connection: take_seat(connection, here, self._holder, now, LEASE))
        processes = await self._control.read(lambda connection: count_processes(connection, analyzer[:20], now))
        return math.ceil(partitions / max(1, processes))

    async def _take(self, seat: Seat) -> int | None:
        now = self._clock()
        token, at = self._taken.get(seat, (0, _LONG_AGO))
        if now - at < timedelta(seconds=RENEW_S):
            return token
        return await self._take_now(seat, now)

    async def _take_now(self, seat: Seat, now: datetime) -> int | None:
        token = await self._control.write(lambda connection: take_seat(connection, seat, self._holder, now, LEASE))
        held = self._held.setdefault(seat.analyzer, set())
        if token is None:
            held.discard(seat.partition)
            self._taken.pop(seat, None)
        else:
            held.add(seat.partition)
            self._taken[seat] = token, now
        return token

    async def _leave(self, seat: Seat) -> None:
        held = self._held.setdefault(seat.analyzer, set())
        if seat.partition in held:
            held.discard(seat.partition)
            await self._give_back(seat)

    async def _give_back(self, seat: Seat) -> None:
        self._taken.pop(seat, None)
        await self._control.write(lambda connection: leave_seat(connection, seat, self._holder, self._clock()))

    async def _renew(self, seat: Seat, lease: tuple[str, int]) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            if await self._take_now(seat, self._clock()) != lease[1]:
                raise LeaseLostError(seat.lease)
