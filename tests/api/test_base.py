"""What every command is opened with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from api.base import BEHIND
from storage.clickhouse import ClickHouseStore

SLOW = "SELECT sum(cityHash64(number)) AS s FROM numbers(300000000)"


def niceness() -> list[int]:
    """Of every thread of this process."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            found.append(os.getpriority(os.PRIO_PROCESS, int(task.name)))
    return found


def may_go_ahead() -> bool:
    """Whether this process may give itself a higher priority again, which is what the store asks before it steps back."""
    capabilities = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(capabilities.split()[1], 16) >> 23 & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
async def test_a_statement_that_steps_back_leaves_no_thread_behind(store: ClickHouseStore) -> None:
    behind = ClickHouseStore(store.url, database=store.database, threads=1, settings=BEHIND)
    before = max(niceness())
    asked = asyncio.create_task(behind.query(SLOW))
    highest = before
    while not asked.done():
        await asyncio.sleep(0.01)
        highest = max(highest, *niceness())
    await asked
    assert highest == (BEHIND["os_thread_priority"] if may_go_ahead() else before)
    await store.query(SLOW)
    assert max(niceness()) == before
    await behind.close()
