"""Parts start in order and stop in reverse, whatever fails."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path

import pytest

from api.datadir import DataDirError, DataDirLock, holder
from api.lifecycle import Closing, Component, Loop, Runner, run_until
from api.listeners import ListenError, bind, port_of


class Recorded:
    """A component that writes down what happens to it."""

    def __init__(self, name: str, journal: list[str], fails: str = "") -> None:
        self.name = name
        self.journal = journal
        self.fails = fails

    async def start(self) -> None:
        self._note("start")

    async def stop(self) -> None:
        self._note("stop")

    def _note(self, what: str) -> None:
        self.journal.append(f"{what} {self.name}")
        if self.fails == what:
            raise RuntimeError(f"{self.name} cannot {what}")


async def test_start_in_order_ready_stop_in_reverse() -> None:
    journal: list[str] = []
    stop = asyncio.Event()
    stop.set()
    parts: list[Component] = [Recorded(name, journal) for name in "abc"]
    await run_until(parts, stop, lambda: journal.append("ready"))
    assert journal == ["start a", "start b", "start c", "ready", "stop c", "stop b", "stop a"]


async def test_a_part_that_cannot_start_stops_itself_and_those_before_it() -> None:
    journal: list[str] = []
    parts: list[Component] = [Recorded("a", journal), Recorded("b", journal, "start"), Recorded("c", journal)]
    with pytest.raises(RuntimeError, match="b cannot start"):
        await run_until(parts, asyncio.Event(), lambda: journal.append("ready"))
    assert journal == ["start a", "start b", "stop b", "stop a"]


@pytest.mark.parametrize(("resumes", "ended"), [(True, ["begun", "let go"]), (False, ["begun", "finished", "let go"])])
async def test_what_can_resume_is_broken_off_and_the_rest_is_finished(resumes: bool, ended: list[str]) -> None:
    journal: list[str] = []

    async def run(stop: asyncio.Event) -> None:
        journal.append("begun")
        try:
            await stop.wait()
            await asyncio.sleep(0.05)
            journal.append("finished")
        finally:
            journal.append("let go")

    runner = Runner("work", run, lambda: asyncio.sleep(0), resumes=resumes)
    await runner.start()
    await asyncio.sleep(0)
    await asyncio.wait_for(runner.stop(), 5)
    assert journal == ended


async def test_a_part_that_cannot_stop_does_not_keep_the_others_from_it() -> None:
    journal: list[str] = []
    stop = asyncio.Event()
    stop.set()
    parts: list[Component] = [Recorded("a", journal), Recorded("b", journal, "stop")]
    await run_until(parts, stop, lambda: None)
    assert journal[-2:] == ["stop b", "stop a"]


async def test_a_loop_goes_on_after_a_run_that_failed_and_ends_after_the_one_under_way() -> None:
    runs = 0
    third = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("once")
        if runs == 3:
            third.set()

    loop = Loop("test", 0.001, run)
    await loop.start()
    await asyncio.wait_for(third.wait(), 30)
    await loop.stop()
    await loop.stop()
    ended = runs
    await asyncio.sleep(0.01)
    assert runs == ended


async def test_a_loop_that_was_never_started_stops() -> None:
    async def run() -> None:
        raise AssertionError("not started")

    await Loop("test", 1, run).stop()


async def test_a_resource_is_closed_once() -> None:
    closed: list[int] = []

    async def close() -> None:
        closed.append(1)

    resource = Closing(close)
    await resource.start()
    await resource.stop()
    await resource.stop()
    assert closed == [1]


def test_a_port_in_use_names_the_port_and_the_flag() -> None:
    with bind("127.0.0.1", 0, "--port") as taken:
        port = port_of(taken)
        with pytest.raises(ListenError, match=f"^port {port} is in use: stop the other process or pass --port$"):
            bind("127.0.0.1", port, "--port")


@pytest.mark.parametrize(
    ("host", "said"),
    [("192.0.2.1", "is not an address of this machine: pass --host"), ("no-such-host.invalid", "is not known: pass --host")],
)
def test_a_host_that_cannot_be_bound_is_named(host: str, said: str) -> None:
    with pytest.raises(ListenError, match=said):
        bind(host, 0, "--port")


def test_a_port_that_is_not_allowed_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ListenError, match="pass --port with a port of 1024 or above"):
        bind("127.0.0.1", 80, "--port")


def test_one_process_a_data_directory(tmp_path: Path) -> None:
    first, second = DataDirLock(tmp_path / "data"), DataDirLock(tmp_path / "data")
    assert holder(tmp_path / "data") is None
    first.acquire()
    assert holder(tmp_path / "data")
    with pytest.raises(DataDirError, match=r"used by another tracewarden process \(pid \d+\): stop that process"):
        second.acquire()
    first.release()
    first.release()
    assert holder(tmp_path / "data") is None
    second.acquire()
    second.release()
