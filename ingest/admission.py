"""How much may be in memory between receipt and acknowledgement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ingest.trace_log import TraceLogError
from schemas.instruments import Instruments

RETRY_AFTER_S = 2


class OverloadedError(TraceLogError):
    """The cap on bytes in flight is reached: 429 with Retry-After, or RESOURCE_EXHAUSTED."""


class Reservation:
    """The bytes of one request."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.bytes = 0

    def grow(self, count: int) -> None:
        """Take `count` more bytes.

        Raises:
            OverloadedError: the cap would be passed.
        """
        self._admission.take(count)
        self.bytes += count


class Admission:
    """Counts the bytes in flight of all receivers together."""

    def __init__(self, max_bytes: int, instruments: Instruments) -> None:
        self._max_bytes = max_bytes
        self._gauge = instruments.bytes_in_flight
        self.bytes = 0

    @contextmanager
    def request(self) -> Iterator[Reservation]:
        """Hold what a request takes until it is answered."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.take(-reservation.bytes)

    def take(self, count: int) -> None:
        """Add to the bytes in flight; a negative count gives back."""
        if count > 0 and self.bytes + count > self._max_bytes:
            raise OverloadedError(
                f"{self.bytes} bytes wait to be stored; ingest.max_in_flight_bytes is {self._max_bytes}: send again later",
                RETRY_AFTER_S,
            )
        self.bytes += count
        self._gauge.set(self.bytes)
