"""The embedded form under faults: kill -9, SIGTERM, a full disk, a store that stands still."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from google.rpc.status_pb2 import Status

from ingest.routes import PROTOBUF
from ingest.writer import MIN_FREE_DISK_BYTES
from tests.ingest.logs import until
from tests.ingest.oracle import Ledger, Verdict, judge, kills, report
from tests.ingest.served import ServeProcess, post, senders, stored

KILLS = kills(3)
pytestmark = pytest.mark.timeout(120 + 60 * KILLS)


def may_mount() -> bool:
    """Whether this process can mount a file system, tried in a namespace of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServeProcess]:
    """Not started yet."""
    found = ServeProcess(tmp_path / "data")
    yield found
    found.kill9()


async def until_acknowledged(ledger: Ledger, more: int) -> None:
    wanted = len(ledger.acknowledged) + more
    await until(f"{wanted} spans acknowledged", lambda: len(ledger.acknowledged) >= wanted)


async def a_fresh_span_flows(served: ServeProcess, ledger: Ledger) -> None:
    """From a sender to the query API."""
    envelope, spans = ledger.batch(1)
    async with httpx.AsyncClient(timeout=30) as client:
        assert await post(client, served, envelope.request) == 200
        ledger.acknowledged |= spans
        found = await client.get(f"{served.api}/v1/spans", params={"limit": 100})
    [(span_id, _)] = spans
    assert span_id in found.text


async def verdict_of(name: str, served: ServeProcess, ledger: Ledger, **counts: int) -> Verdict:
    verdict = judge(ledger, await stored(served.data_dir))
    report(name, verdict, retries=ledger.retries, **counts)
    return verdict


async def test_kill_9_at_any_moment_loses_nothing_and_doubles_nothing(served: ServeProcess) -> None:
    ledger = Ledger()
    await served.start()
    async with senders(served, ledger):
        for _ in range(KILLS):
            await until_acknowledged(ledger, 200)
            await asyncio.sleep(random.uniform(0, 1.0))
            served.kill9()
            await served.start()
        await until_acknowledged(ledger, 200)
    await a_fresh_span_flows(served, ledger)
    assert await served.terminate() == 0
    verdict = await verdict_of("embedded, kill -9", served, ledger, kills=KILLS)
    assert verdict.clean
    assert ledger.retries > 0


async def test_sigterm_under_load_keeps_what_was_acknowledged_and_ends_with_0(served: ServeProcess) -> None:
    ledger = Ledger()
    await served.start()
    async with senders(served, ledger) as giving_up:
        await until_acknowledged(ledger, 400)
        assert await served.terminate() == 0
        giving_up.set()
    assert (await verdict_of("embedded, SIGTERM", served, ledger)).clean
    assert "Traceback" not in served.log.read_text()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """With too little free for an insert while the block runs."""
    filler = folder / "filler"
    space = os.statvfs(folder)
    size = space.f_bavail * space.f_frsize - MIN_FREE_DISK_BYTES // 2
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    try:
        yield
    finally:
        filler.unlink()


async def until_refused(served: ServeProcess, ledger: Ledger) -> None:
    """Until a sender is told to keep its spans; with the fix, and when to come back."""
    async with httpx.AsyncClient(timeout=60) as client:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            envelope, spans = ledger.batch(5)
            answer = await client.post(served.traces, content=envelope.request, headers={"content-type": PROTOBUF})
            if answer.status_code != 200:
                break
            ledger.acknowledged |= spans
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5")
    message = Status.FromString(answer.content).message
    assert "the trace store cannot write now" in message
    assert "shorten ingest.retention_days" in message


async def through_a_full_disk(served: ServeProcess, disk: Path) -> None:
    ledger = Ledger()
    await served.start()
    async with senders(served, ledger, count=3):
        await until_acknowledged(ledger, 200)
        with filled(disk):
            await until_refused(served, ledger)
            await asyncio.sleep(1)
        await until_acknowledged(ledger, 200)
    await a_fresh_span_flows(served, ledger)
    assert await served.terminate() == 0
    assert (await verdict_of("embedded, full disk", served, ledger)).clean


@pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
async def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        served = ServeProcess(tmp_path / "data")
        try:
            await through_a_full_disk(served, tmp_path)
        finally:
            served.kill9()


async def test_more_than_the_store_can_take_is_refused_until_it_can(tmp_path: Path) -> None:
    config = tmp_path / "tracewarden.yaml"
    config.write_text('{"ingest": {"max_in_flight_bytes": 30000}}')
    served = ServeProcess(tmp_path / "data", "--config", str(config))
    ledger = Ledger()
    try:
        await served.start()
        async with senders(served, ledger, count=12):
            await until_acknowledged(ledger, 1000)
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"{served.api}/metrics")).text
        assert 'requests_rejected_total{reason="overloaded",transport="http"}' in metrics
        assert await served.terminate() == 0
        assert (await verdict_of("embedded, overloaded", served, ledger)).clean
    finally:
        served.kill9()
