"""The processes of the demo: started in groups of their own, watched, and ended together with it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.1
PR_SET_PDEATHSIG = 1


class ChildError(Exception):
    """A process did not start or ended too early; the message has the end of its log."""


@dataclass
class Child:
    """A running process. `log` takes its standard error, `out` the addresses that it announces."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    out: Path

    def addresses(self) -> dict[str, str] | None:
        """What it announced by name, once it is ready."""
        lines = self.out.read_text().splitlines()
        if "ready" not in lines:
            return None
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) or "(its log is empty)"


class Children:
    """Starts processes; at the end of the `with` block none of them, nor of their children, is left."""

    def __init__(self, folder: Path, stop_timeout_s: float = STOP_TIMEOUT_S) -> None:
        self._folder = folder
        self._stop_timeout_s = stop_timeout_s
        self._running: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a process without waiting for it."""
        log, out = self._folder / f"{name}.log", self._folder / f"{name}.out"
        with log.open("ab") as stderr, out.open("wb") as stdout:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                start_new_session=True,
                preexec_fn=_tether(os.getpid()),
            )
        child = Child(name, process, log, out)
        self._running.append(child)
        return child

    def wait_ready(self, child: Child, timeout_s: float = START_TIMEOUT_S) -> dict[str, str]:
        """The addresses of `child` once it announced them.

        Raises:
            ChildError: it or another process ended, or it took too long.
        """
        deadline = time.monotonic() + timeout_s
        while (addresses := child.addresses()) is None:
            self.check()
            if time.monotonic() > deadline:
                raise ChildError(f"{child.name} was not ready after {timeout_s:g} s; the end of {child.log}:\n{child.tail()}")
            time.sleep(LOOK_EVERY_S)
        return addresses

    def check(self) -> None:
        """Raise ChildError when a process is gone."""
        for child in self._running:
            code = child.process.poll()
            if code is not None:
                raise ChildError(f"{child.name} ended with exit code {code}; the end of {child.log}:\n{child.tail()}")

    def stop(self) -> None:
        """End everything, the last started first; a second Ctrl-C does not hinder it. Safe to call twice."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            for child in reversed(self._running):
                _end(child.process, self._stop_timeout_s)
            self._running.clear()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _tether(parent_pid: int) -> Callable[[], None] | None:
    """What a new process does first, so that it ends even when the demo is killed. Only Linux can do this."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def tether() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:
            os._exit(1)

    return tether
