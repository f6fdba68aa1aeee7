"""What every analyzer is made with."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from threadpoolctl import threadpool_limits

from analyzers.embedding.embedder import Embedder
from analyzers.hosting import SideProcess
from schemas.analysis import AnalysisSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase


@dataclass(frozen=True)
class Resources:
    """Shared by the analyzers of one process.

    Models run in `models` and Python code that reads texts in `texts`, processes that step back behind whoever stores or
    answers; linear algebra on `threads`.
    """

    settings: AnalysisSettings
    store: ClickHouseStore
    control: ControlDatabase
    threads: Executor
    models: Executor
    texts: Executor
    embedder: Embedder
    clock: Callable[[], datetime]


def analysis_threads() -> ThreadPoolExecutor:
    """One thread for linear algebra, which is given no others beside it.

    Its own wait for each other by turning, which on busy cores takes many times as long as the work.
    """
    threadpool_limits(1)
    return ThreadPoolExecutor(1, thread_name_prefix="analysis")


def model_process(settings: AnalysisSettings) -> SideProcess:
    """The process of the models: one core stays with whatever else is done."""
    return SideProcess(settings.threads or max(1, (os.cpu_count() or 1) - 1))


def text_process() -> SideProcess:
    """The process of what needs no model, which does not wait for them there."""
    return SideProcess(1)
