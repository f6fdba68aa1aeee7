"""Starting and stopping the parts of a process: in order, and back in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

RESTART_S = 1.0

_log = structlog.get_logger("process")


class Component(Protocol):
    """A part of a process that runs beside the others."""

    async def start(self) -> None:
        """Return when it works. Called once."""

    async def stop(self) -> None:
        """Finish what was begun, then let go. Idempotent; does nothing when it was never started."""


class Loop:
    """Work that is repeated until the process ends; a run that fails is logged and the next one comes in its turn.

    A worker that returns or raises outside `run` would be a silent stand-still, so nothing is caught that means a bug in
    the loop itself.
    """

    def __init__(self, name: str, every_s: float, run: Callable[[], Awaitable[object]]) -> None:
        self._name = name
        self._every_s = every_s
        self._run = run
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with the first run at once."""
        self._task = asyncio.create_task(self._repeat(), name=self._name)

    async def stop(self) -> None:
        """Wait for the run that is under way."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _repeat(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._run()
            except Exception as error:  # one failed run must not end the loop; it is logged with its trace
                _log.error("run_failed", loop=self._name, exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every_s)


class Runner:
    """Work that runs until it is told to stop, as a component; `prepare` comes first and must succeed.

    What can be begun again at any place (`resumes`) is broken off instead of waited for.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[asyncio.Event], Awaitable[object]],
        prepare: Callable[[], Awaitable[object]],
        *,
        resumes: bool = False,
    ) -> None:
        self._name = name
        self._run = run
        self._prepare = prepare
        self._resumes = resumes
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it is prepared."""
        await self._prepare()
        self._task = asyncio.create_task(self._keep_running(), name=self._name)

    async def stop(self) -> None:
        """Wait for what is under way, or break it off."""
        self._stopping.set()
        if self._task is None:
            return
        if self._resumes:
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._run(self._stopping)
            except Exception as error:  # one failure must not be the end of all later work; it is logged with its trace
                _log.error("run_failed", loop=self._name, exc_info=error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), RESTART_S)


class Closing:
    """A resource that is open already, as a component: only its closing has a place in the order."""

    def __init__(self, close: Callable[[], Awaitable[object]]) -> None:
        self._close: Callable[[], Awaitable[object]] | None = close

    async def start(self) -> None:
        """Open already."""

    async def stop(self) -> None:
        """Close it once."""
        close, self._close = self._close, None
        if close is not None:
            await close()


async def run_until(components: Sequence[Component], stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Start all, call `ready`, wait for `stop`, stop all in reverse; a failed start stops those before it and raises."""
    started: list[Component] = []
    try:
        for component in components:
            started.append(component)
            await component.start()
        ready()
        await stop.wait()
    finally:
        await stop_all(started)


async def stop_all(components: Sequence[Component]) -> None:
    """Stop in reverse order; one that fails to stop does not keep the others from it."""
    for component in reversed(components):
        try:
            await component.stop()
        except Exception as error:  # the parts below must still be closed; the failure is logged with its trace
            _log.error("stop_failed", component=type(component).__name__, exc_info=error)


def stop_on_signals(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _log.info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
