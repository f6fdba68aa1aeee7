"""A child process that cannot outlive the Python process that started it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")


class TetheredProcess:
    """Runs `command` in a session of its own, so that a Ctrl-C at the terminal reaches only its parent.

    The kernel kills it with the *thread* that started it; hence that thread is kept here until the end,
    and it does not matter from which thread (or executor) the broker is started again.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
        self._log = log
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tether")
        self._process = self._starter.submit(self._spawn).result()

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        status = self._process.wait(timeout_s)
        self._starter.shutdown()
        return status

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Harmless when it already is."""
        self._process.kill()
        self.wait()

    def terminate(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL if it has not ended by `timeout_s`. Harmless when it has."""
        self._process.terminate()
        try:
            self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
