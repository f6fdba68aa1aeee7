"""The embedded store's merges step back: what is stored or asked meanwhile goes first."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TASKS = Path("/proc/self/task")
_NAME = "MergeMutate"
_NICEST = 19
STEP = 10


def merges_step_back() -> int:
    """Give the threads that merge, there from the store's first table on, a lower priority than the caller's; their number.

    A thread may always step back, while ClickHouse's own setting (os_threads_nice_value_merge_mutate) needs CAP_SYS_NICE.
    On systems without Linux's threads nothing changes.
    """
    found, niceness = 0, min(_NICEST, os.getpriority(os.PRIO_PROCESS, 0) + STEP)
    for task in _TASKS.iterdir() if _TASKS.is_dir() else ():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            if (task / "comm").read_text().strip() == _NAME:
                os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)
                found += 1
    return found
