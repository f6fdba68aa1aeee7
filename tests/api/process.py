"""`tracewarden` as a process of its own, as an operator starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("tracewarden"))
FREE_PORTS = ("--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 60


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACEWARDEN_")}
    return kept | extra


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment or clean_environment(),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )


@dataclass
class Served:
    """A server that printed `ready`; `addresses` by the name of the listener."""

    process: subprocess.Popen[str]
    addresses: dict[str, str] = field(default_factory=dict)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def serving(data_dir: Path, *arguments: str, role: str = "serve") -> Iterator[Served]:
    """`tracewarden serve` (or a role) on free ports until the block ends; its log is `data_dir.log`."""
    ports = FREE_PORTS if role in ("serve", "ingest") else FREE_PORTS[:2]
    command = [COMMAND, role, "--data-dir", str(data_dir), *ports, *arguments]
    log = data_dir.with_suffix(".log")
    with (
        log.open("a") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=clean_environment()) as process,
    ):
        try:
            yield _ready(process, log)
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str], log: Path) -> Served:
    served = Served(process)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "ready\n":
            return served
        name, _, address = line.strip().partition(": ")
        served.addresses[name] = address
    raise AssertionError(f"it ended with {process.wait()} before it was ready:\n{log.read_text()}")
