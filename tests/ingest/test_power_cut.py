"""A power cut: what the disk holds at that moment is all there is; what the system still had in its memory is gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.clickhouse import DEFAULT_DATABASE, ClickHouseStore
from tests.ingest.logs import until
from tests.ingest.oracle import Ledger, Verdict, judge, report
from tests.ingest.served import ServeProcess, senders, stored
from tests.storage.http_front import HttpFront

pytestmark = pytest.mark.timeout(300)
DISK_BYTES = 1024**3
PARTS = 5
"""So many at least are merged into one and deleted before the cut."""


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The file system in `image` at `folder`. What is written there is in `image` once it was forced to disk."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def disk(image: Path, size: int) -> Path:
    """An empty ext4 in a file."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    return image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk, where this process may have one."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("only root on Linux, with mkfs.ext4, can mount a disk of its own")
    found = disk(tmp_path / "disk", DISK_BYTES)
    try:
        with mounted(found, tmp_path / "tried"):
            return found
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no disk can be mounted: {error.stderr.decode().strip()}")


def merged_parts_are_deleted(data_dir: Path) -> bool:
    """Whether there is one part of spans in the place of `PARTS` or more, which are gone."""
    names = [part.name.split("_") for part in (data_dir / "chdb" / "data" / DEFAULT_DATABASE / "spans").glob("2*_*_*_*")]
    parts = [(int(first), int(last), int(level)) for _, first, last, level, *_ in names]
    fresh = {first for first, _, level in parts if not level}
    return any(level and last - first >= PARTS and not fresh & set(range(first, last + 1)) for first, last, level in parts)


async def cut(served: ServeProcess, image: Path) -> tuple[Ledger, Path]:
    """Under load, after merges: what was sent and acknowledged, and what the disk holds."""
    ledger = Ledger()
    await served.start()
    async with senders(served, ledger) as giving_up:
        await until("merged parts are deleted", lambda: merged_parts_are_deleted(served.data_dir))
        await asyncio.sleep(1)  # inserts go on, and force the deletions to disk
        os.kill(served.pid, signal.SIGSTOP)
        at_the_cut = Ledger(set(ledger.sent), set(ledger.acknowledged))
        left = shutil.copyfile(image, image.with_name("left"))
        served.kill9()
        giving_up.set()
    return at_the_cut, left


async def after_a_cut(served: ServeProcess, image: Path, folder: Path) -> tuple[Verdict, str]:
    """The verdict over what is found when the server has started again on what was left, and what it said."""
    ledger, left = await cut(served, image)
    with mounted(left, folder):
        again = ServeProcess(folder / "data")
        try:
            await again.start()
            assert await again.terminate() == 0
            return judge(ledger, await stored(again.data_dir)), again.log.read_text()
        finally:
            again.kill9()


async def never_forced(served: ServeProcess) -> None:
    """The store as ClickHouse would make it: merges leave what they wrote to the system."""
    await served.start()
    assert await served.terminate() == 0
    front = HttpFront(served.data_dir / "chdb")
    await asyncio.to_thread(front.start)
    store = ClickHouseStore(front.url)
    await store.command("ALTER TABLE spans MODIFY SETTING min_rows_to_fsync_after_merge = 0")
    await store.close()
    front.kill9()


@pytest.mark.parametrize("forced", [True, False], ids=["as it is", "negative control"])
async def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path, image: Path, forced: bool) -> None:
    with mounted(image, tmp_path / "before"):
        served = ServeProcess(tmp_path / "before" / "data")
        try:
            if not forced:
                await never_forced(served)
            verdict, said = await after_a_cut(served, image, tmp_path / "after")
        finally:
            served.kill9()
    report(f"embedded, a power cut{'' if forced else ', merges not forced to disk'}", verdict)
    assert verdict.clean == forced
    assert ("parts_unreadable" in said) == (not forced)
    assert (verdict.doubled, verdict.never_sent) == (0, 0)
