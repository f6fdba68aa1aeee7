"""Models in a process of their own: real processes, which are killed here too."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from analyzers.hosting import NICENESS, Hosted, ModelUnavailableError, SideProcess, torch_threads


class Remembering:
    """A model that knows where it was made and how often it was asked."""

    def __init__(self, name: str) -> None:
        if name == "missing":
            raise FileNotFoundError(name)
        self.name = name
        self.version = f"remembering@{name}"
        self.asked = 0

    def ask(self, text: str) -> tuple[str, int]:
        self.asked += 1
        return f"{self.name}: {text}", self.asked

    def wait(self) -> None:
        time.sleep(60)

    def process(self) -> tuple[int, int, int]:
        return os.getpid(), os.getpriority(os.PRIO_PROCESS, 0), torch_threads()


@pytest.fixture
def aside() -> Iterator[SideProcess]:
    with SideProcess(threads=3) as process:
        yield process


async def test_a_model_is_made_once_in_a_process_that_steps_back(aside: SideProcess) -> None:
    model = Hosted(aside, Remembering, "a")
    assert await model.call(Remembering.ask, "hello") == ("a: hello", 1)
    assert await Hosted(aside, Remembering, "a").call(Remembering.ask, "again") == ("a: again", 2)
    assert await Hosted(aside, Remembering, "b").call(Remembering.ask, "hello") == ("b: hello", 1)
    pid, niceness, threads = await model.call(Remembering.process)
    assert pid != os.getpid()
    assert niceness == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    assert threads == 3


async def test_what_a_model_raises_arrives_and_the_next_call_tries_again(aside: SideProcess) -> None:
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="missing"):
            await Hosted(aside, Remembering, "missing").call(Remembering.ask, "hello")
    assert (await Hosted(aside, Remembering, "a").call(Remembering.ask, "hello"))[1] == 1


def changed(model: Remembering) -> None:
    model.version = "remembering@changed"


async def test_another_model_in_its_place_is_refused(aside: SideProcess) -> None:
    model = Hosted(aside, Remembering, "a")
    assert await model.loaded() == model.version == "remembering@a"
    await model.call(changed)
    with pytest.raises(ModelUnavailableError, match="remembering@a and is remembering@changed now: restart"):
        await model.call(Remembering.ask, "hello")


async def test_a_process_that_was_killed_is_started_again(aside: SideProcess) -> None:
    model = Hosted(aside, Remembering, "a")
    pid, _, _ = await model.call(Remembering.process)
    under_way = asyncio.ensure_future(model.call(Remembering.wait))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        await under_way
    assert await model.call(Remembering.ask, "hello") == ("a: hello", 1)
    assert (await model.call(Remembering.process))[0] != pid


async def test_what_is_under_way_can_be_broken_off() -> None:
    aside = SideProcess(threads=1)
    model = Hosted(aside, Remembering, "a")
    pid, _, _ = await model.call(Remembering.process)
    under_way = asyncio.ensure_future(model.call(Remembering.wait))
    await asyncio.sleep(0.2)
    await asyncio.wait_for(asyncio.to_thread(aside.shutdown, cancel_futures=True), 10)
    with pytest.raises(BrokenProcessPool):
        await under_way
    assert not _runs(pid)


PARENT = """
import os, time
from analyzers.hosting import SideProcess
if __name__ == "__main__":
    aside = SideProcess(1)
    print(aside.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_ends_with_its_parent_whatever_that_dies_of() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _runs(pid)
        parent.kill()
        deadline = time.monotonic() + 30
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie, which waits for whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
