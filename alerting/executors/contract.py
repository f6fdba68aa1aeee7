"""What an executor is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx


@dataclass(frozen=True)
class Order:
    """Serve `to_release` instead of `from_release`: generation `generation` of the target. `webhook` as on the target."""

    rollback_id: str
    project: str
    target: str
    from_release: str
    to_release: str
    generation: int
    webhook: str | None


class ExecutionError(Exception):
    """The order was not taken. `permanent`: asking again would not help."""

    def __init__(self, detail: str, *, permanent: bool = False) -> None:
        super().__init__(detail)
        self.permanent = permanent


class Executor(Protocol):
    """Passes an order on. It may be asked for the same order again after a crash, so the order must be idempotent."""

    async def execute(self, order: Order) -> None:
        """Return when the order was taken; that proves nothing about what is served.

        Raises:
            ExecutionError: it was not taken.
        """


class Poster(Protocol):
    """Outgoing HTTP (`alerting.http.GuardedClient`)."""

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Send, and return whatever the answer is."""
