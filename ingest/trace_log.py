"""The seam between receivers and the store: a durable log of envelopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ingest.envelope import Envelope


class TraceLogError(Exception):
    """The envelopes are not acknowledged; the sender keeps them and tries again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RefusedRecordError(Exception):
    """The store cannot take this one envelope, now or later: trying again is of no use."""


class TraceLog(Protocol):
    """Where every receiver puts what it accepted.

    `append` returns when every envelope given is durable: it survives `kill -9` of this process and will be in the store,
    each span once, also when the same envelope was appended before (a sender's retry). One envelope that cannot be
    stored never fails another. After `stop` nothing is in memory that is not durable.
    """

    async def start(self) -> None:
        """Make ready to append.

        Raises:
            StoreError, TraceLogError: it cannot; the message names the fix.
        """

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        """Store `envelopes`.

        Raises:
            TraceLogError: not all of them are durable; appending all again is safe.
            RefusedRecordError: one of them can never be stored.
        """

    async def stop(self) -> None:
        """Finish what was appended. Safe to call twice, and without start."""
