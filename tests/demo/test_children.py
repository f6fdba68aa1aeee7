"""Processes that end with the demo, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.children import Child, ChildError, Children

READY = "import time; print('web: http://127.0.0.1:1'); print('ready', flush=True); time.sleep(600)"
# It has a child of its own and does not listen to SIGTERM itself.
FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(f"child: {child.pid}")
print("ready", flush=True)
child.wait()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_addresses_are_read_and_nothing_is_left(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("web", python(READY), os.environ)
        assert children.wait_ready(child) == {"web": "http://127.0.0.1:1"}
    assert child.process.poll() is not None


def test_grandchildren_go_too(tmp_path: Path) -> None:
    with Children(tmp_path, stop_timeout_s=0.2) as children:
        pid = int(children.wait_ready(children.start("family", python(FAMILY), os.environ))["child"])
        assert _lives(pid)
    while _lives(pid):  # killed, but the kernel takes a moment; pytest-timeout ends this otherwise
        time.sleep(0.01)


def test_everything_ends_when_the_block_fails(tmp_path: Path) -> None:
    started: list[Child] = []

    def interrupted() -> None:
        with Children(tmp_path) as children:
            started.append(children.start("web", python(READY), os.environ))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert started[0].process.poll() is not None


def test_a_process_that_ends_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("broken", python("import sys; sys.exit('no such port')"), os.environ)
        with pytest.raises(ChildError, match=r"(?s)broken ended with exit code 1.*no such port"):
            children.wait_ready(child)


def test_a_process_that_never_gets_ready_is_an_error(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("slow", python("import time; time.sleep(600)"), os.environ)
        with pytest.raises(ChildError, match="slow was not ready after 0 s"):
            children.wait_ready(child, timeout_s=0)


def _lives(pid: int) -> bool:
    """A killed process without its parent waits as a zombie until somebody collects it."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_processes_end_even_when_the_demo_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from demo.children import Children
children = Children(Path({str(tmp_path)!r}))
child = children.start("web", [sys.executable, "-c", {READY!r}], os.environ)
children.wait_ready(child)
print(child.process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _lives(pid)
        parent.kill()
    while _lives(pid):
        time.sleep(0.01)
