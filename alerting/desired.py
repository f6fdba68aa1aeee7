"""Waiting for the next generation of a target, for gateways that poll."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from storage.control import ControlDatabase
from storage.targets import read_generations

# Other processes change targets too; they are noticed within this time, by one query for all that wait.
LOOK_EVERY_S = 1.0


class DesiredFeed:
    """Wakes whoever waits for a target to change: at once for changes of this process, else within `look_every_s`."""

    def __init__(self, control: ControlDatabase, look_every_s: float = LOOK_EVERY_S) -> None:
        self._control = control
        self._look_every_s = look_every_s
        self._changed = asyncio.Event()
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._generations: Mapping[tuple[str, str], int] = {}
        self._closed = False

    def notify(self) -> None:
        """Some target has changed: wake everybody now."""
        self._looked_at = float("-inf")
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """Let everybody who waits go, now and later: the process ends. Safe to call twice."""
        self._closed = True
        self.notify()

    async def wait(self, project: str, target: str, generation: int, timeout_s: float) -> None:
        """Return when the target is no longer at `generation`, or after `timeout_s`."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        while True:
            changed = self._changed
            if self._closed or clock() >= deadline or await self._generation(project, target) != generation:
                return
            try:
                await asyncio.wait_for(changed.wait(), min(self._look_every_s, max(deadline - clock(), 0)))
            except TimeoutError:
                continue

    async def _generation(self, project: str, target: str) -> int | None:
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_at >= self._look_every_s:
                # Taken before the query: a change made while it runs resets it and is looked for again.
                self._looked_at = now
                self._generations = await self._control.read(read_generations)
        return self._generations.get((project, target))
