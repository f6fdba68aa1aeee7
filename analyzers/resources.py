"""What every analyzer is made with."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from threadpoolctl import threadpool_limits

from analyzers.embedding.embedder import Embedder
from schemas.analysis import AnalysisSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase

NICENESS = 10


@dataclass(frozen=True)
class Resources:
    """Shared by the analyzers of one process.

    Models run on `threads`, which step back behind whoever stores or answers. Python code that is heavy runs on threads that do
    not (`asyncio.to_thread`): one that steps back while it has the interpreter's lock holds up everyone.
    """

    settings: AnalysisSettings
    store: ClickHouseStore
    control: ControlDatabase
    threads: ThreadPoolExecutor
    embedder: Embedder
    clock: Callable[[], datetime]


def model_threads(settings: AnalysisSettings) -> ThreadPoolExecutor:
    """The threads of the models: one core stays with whatever else the process does.

    Linear algebra is given no threads beside them. Its own wait for each other by turning, which on busy cores takes many times
    as long as the work.
    """
    threadpool_limits(1)
    count = settings.threads or max(1, (os.cpu_count() or 1) - 1)
    return ThreadPoolExecutor(count, thread_name_prefix="model", initializer=_step_back)


def _step_back() -> None:
    """Where the system has priorities of threads, whoever stores or answers comes before the models."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
