"""Processes beside the server, in which models and regular expressions hold up nobody who stores or answers."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import structlog

NICENESS = 10
_THREADS = "OMP_NUM_THREADS"

M = TypeVar("M", bound="Model")
R = TypeVar("R")
P = ParamSpec("P")

_log = structlog.get_logger("analysis")
_made: dict[tuple[Callable[..., Any], tuple[Hashable, ...]], Any] = {}
_making = threading.Lock()


class ModelUnavailableError(Exception):
    """A model cannot be loaded; the message says why and what to do."""


class Model(Protocol):
    """What can be hosted."""

    version: str


class Hosted(Generic[M]):
    """A model that an executor makes from `arguments` when it is first called, and keeps.

    With an executor of another process everything that goes there and back is pickled: `make` and the methods are named at the
    top of a module.
    """

    def __init__(self, executor: Executor, make: Callable[..., M], *arguments: Hashable) -> None:
        self._executor = executor
        self._make = make
        self._arguments = arguments
        self._version = ""

    @property
    def version(self) -> str:
        """The model's; known once it was called."""
        if not self._version:
            raise LookupError("the model is not loaded yet")
        return self._version

    async def loaded(self) -> str:
        """Load it; its version.

        Raises:
            ModelUnavailableError: it cannot be loaded; the message names the fix. Another call tries again.
        """
        return await self.call(_version)

    async def call(self, method: Callable[Concatenate[M, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `method` of the model returns or raises.

        Raises:
            ModelUnavailableError: it cannot be loaded, or is another than at the first call.
            BrokenProcessPool: its process ended meanwhile; the next call starts another.
        """
        future = self._executor.submit(_call, self._make, self._arguments, self._version, method, args, kwargs)
        self._version, found = await asyncio.wrap_future(future)
        return found


def _version(model: Model) -> str:
    return model.version


def _call(
    make: Callable[..., M], arguments: tuple[Hashable, ...], expected: str, method: Callable[..., R], args: Any, kwargs: Any
) -> tuple[str, R]:
    with _making:
        model = _made.get((make, arguments))
        if model is None:
            model = _made[make, arguments] = make(*arguments)
    if expected not in ("", model.version):
        raise ModelUnavailableError(
            f"the model was {expected} and is {model.version} now: restart, so that scores of two models are not mixed"
        )
    return model.version, method(model, *args, **kwargs)


class SideProcess(Executor):
    """One process, started when it is first needed, and again when it was killed; `threads` are those of a model in it.

    It steps back behind whoever stores or answers. A thread of the server cannot: one that is put aside while it holds the
    interpreter's lock holds up everyone, and a regular expression keeps that lock until it is through.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._open()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As `Executor.submit`; what was under way when the process ended fails with BrokenProcessPool."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool as error:
            _log.warning("side_process_ended", detail=f"another is started: {error}")
            self._leash.close()
            self._open()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Executor.shutdown`, but `cancel_futures` breaks off what is under way too: it may take half a minute."""
        if cancel_futures:
            self._leash.close()
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        self._leash.close()

    def _open(self) -> None:
        # Spawned, not forked: the threads and connections of this process are none of its business.
        context = multiprocessing.get_context("spawn")
        end, self._leash = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self._threads, end))


def torch_threads() -> int:
    """The threads that models may use: what the process was given, else one."""
    return int(os.environ.get(_THREADS, "1"))


def _begin(threads: int, leash: Connection) -> None:
    """Of the new process: its priority, its threads, and that it ends when the other end of the leash is let go of."""
    os.environ[_THREADS] = str(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()


def _end_with(leash: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        leash.recv()
    os._exit(1)
