"""Merges of the embedded store and their priority."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.merge_threads import STEP

# In a process of its own: threads keep the priority that they were given.
STEPS_BACK = """
import asyncio, os, sys
from pathlib import Path
from storage.clickhouse import ClickHouseStore, embedded_url
from storage.merge_threads import merges_step_back
from storage.migrations import migrate_store

async def main():
    store = ClickHouseStore(embedded_url(Path(sys.argv[1])), threads=1)
    await migrate_store(store)
    print(merges_step_back())
    for task in Path("/proc/self/task").iterdir():
        print((task / "comm").read_text().strip(), os.getpriority(os.PRIO_PROCESS, int(task.name)))
    await store.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
def test_only_the_threads_that_merge_step_back(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STEPS_BACK, str(tmp_path)], check=True, capture_output=True, text=True)
    count, *threads = done.stdout.splitlines()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    merging = {line for line in threads if line.startswith("MergeMutate ")}
    assert int(count) > 0
    assert merging == {f"MergeMutate {min(19, before + STEP)}"}
    # Some of the store's own threads go ahead; none but those that merge stays behind.
    assert all(int(line.rpartition(" ")[2]) <= before for line in threads if line not in merging)
