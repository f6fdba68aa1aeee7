"""`tracewarden serve` as a benchmark meets it: a process of its own on free ports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

START_TIMEOUT_LINES = 200


@dataclass
class Server:
    """A running server; use as a context manager."""

    data_dir: Path
    settings: dict[str, Any]
    process: subprocess.Popen[str] | None = None
    api: str = ""
    otlp_port: int = 0

    def __enter__(self) -> Server:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        config = self.data_dir / "config.yaml"
        config.write_text(yaml.safe_dump(self.settings))
        command = [str(Path(sys.executable).with_name("tracewarden")), "serve", "--data-dir", str(self.data_dir / "data")]
        command += ["--config", str(config), "--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"]
        log = (self.data_dir / "log").open("w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ))
        assert self.process.stdout is not None
        self._read_ports(self.process.stdout)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) and error is None:
            raise RuntimeError(f"the server ended with {self.process.returncode}: see {self.data_dir / 'log'}")

    def _read_ports(self, lines: IO[str]) -> None:
        for _, line in zip(range(START_TIMEOUT_LINES), lines, strict=False):
            if line.strip() == "ready":
                return
            if found := re.search(r"(http://[\d.:]+)", line):
                if "otlp" in line.lower():
                    self.otlp_port = int(found[1].rsplit(":", 1)[1])
                else:
                    self.api = found[1]
        raise RuntimeError(f"the server did not start: see {self.data_dir / 'log'}")

    def get(self, path: str) -> Any:
        """A JSON document of the API."""
        with urllib.request.urlopen(self.api + path) as answer:
            return json.load(answer)

    def cpu_s(self) -> float:
        """CPU seconds the server has used."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
