"""What is computed about spans: the analyzers and what rests on them, as the settings and roles ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime

from analyzers.contract import Analyzer
from analyzers.drift.looks import DriftLooks
from analyzers.embedding.embedder import Embedder
from analyzers.evaluations import EvaluationCollector
from analyzers.registry import UnknownAnalyzerError, create, register_metrics
from analyzers.resources import Resources, analysis_threads, model_process, text_process
from analyzers.runner import AnalyzerRunner, Committed
from analyzers.seats import Seats
from analyzers.stretches import Stretches
from api.base import Base, StartError, open_store
from api.intake import Analyzed, Intake
from api.lifecycle import Closing, Component, Runner
from schemas.metrics import DuplicateMetricError
from schemas.score_metrics import EVALUATIONS
from storage.analysis import EMBEDDED_TOPIC, Progress, read_analysis

ANALYSIS_THREADS = 2
DRIFT = "drift"


def assemble_analysis(base: Base, intake: Intake) -> list[Component]:
    """The analyzers of this process, each at its own pace, the looks at drift, and what collects evaluations.

    Raises:
        StartError: one of `analysis.analyzers` is not known or what it needs is not installed.
    """
    settings = base.settings.analysis
    # Threads of its own: reading texts for analyzers does not hold up the queries of people.
    store = open_store(base.settings, ANALYSIS_THREADS, behind=True)
    threads, models, texts = analysis_threads(), model_process(settings), text_process()
    embedder = Embedder(settings.embedder, models)
    resources = Resources(settings, store, base.control, threads, models, texts, embedder, base.clock)
    analyzers = [_create(name, resources) for name in dict.fromkeys(settings.analyzers)]
    seats, stretches = Seats(base.control, topic(base), base.clock), Stretches(store)
    runners = [_runner(base, analyzer, resources, seats, stretches, intake.committed) for analyzer in analyzers]
    closing = [Closing(each.close) for each in analyzers if hasattr(each, "close")]
    looks = [_looks(base, resources, intake)] if DRIFT in settings.analyzers else []
    collector = _collector(base, resources, seats, intake.committed)
    executors = [Closing(_joined(each)) for each in (threads, models, texts)]
    return [Closing(store.close), *executors, *closing, *runners, *looks, collector]


def register_installed_metrics() -> None:
    """Make the metrics of installed analyzers known to API and rules.

    Raises:
        StartError: a package declares one whose name is taken, or cannot be imported.
    """
    try:
        register_metrics()
    except (DuplicateMetricError, ImportError) as error:
        raise StartError(f"an installed package's metrics cannot be registered ({error}): update or remove it") from error


def progress(base: Base, intake: Intake) -> Callable[[], Awaitable[list[Progress]]]:
    """How far each analyzer and what collects evaluations are, whichever process they run in; without those switched off."""

    async def read() -> list[Progress]:
        committed, watermark = await intake.committed(), await intake.watermark()
        found = await base.control.read(lambda connection: read_analysis(connection, topic(base), committed, watermark))
        known = {each.analyzer: each for each in found}
        unread = Progress("", sum(committed.values()), None, 0, None)
        names = dict.fromkeys((*base.settings.analysis.analyzers, EVALUATIONS))
        return [known.get(name, replace(unread, analyzer=name)) for name in names]

    return read


def watermark_of(progress: Callable[[], Awaitable[list[Progress]]]) -> Analyzed:
    """Up to which arrival time an analyzer has read everything; None while that is unknown or it is switched off."""

    async def read(analyzer: str) -> datetime | None:
        return next((each.watermark for each in await progress() if each.analyzer == analyzer), None)

    return read


def topic(base: Base) -> str:
    """The topic whose offsets the cursors are in."""
    return base.settings.kafka.topic if base.settings.kafka else EMBEDDED_TOPIC


def _create(name: str, resources: Resources) -> Analyzer:
    try:
        return create(name, resources)
    except UnknownAnalyzerError as error:
        raise StartError(str(error)) from error
    except ImportError as error:
        raise StartError(
            f"the analyzer {name} cannot be loaded ({error}): install what it needs, or leave it out of analysis.analyzers"
        ) from error


def _runner(
    base: Base, analyzer: Analyzer, resources: Resources, seats: Seats, stretches: Stretches, committed: Committed
) -> Component:
    runner = AnalyzerRunner(
        analyzer,
        resources.store,
        base.control,
        seats,
        stretches,
        committed=committed,
        texts_per_s=resources.settings.texts_per_s.get(analyzer.name),
        poll_s=resources.settings.poll_s,
        clock=base.clock,
        instruments=base.instruments,
    )
    return Runner(f"analyzer-{analyzer.name}", runner.run, _ready, resumes=True)


def _collector(base: Base, resources: Resources, seats: Seats, committed: Committed) -> Component:
    collector = EvaluationCollector(
        resources.store,
        base.control,
        seats,
        committed=committed,
        poll_s=resources.settings.poll_s,
        clock=base.clock,
        instruments=base.instruments,
    )
    return Runner(EVALUATIONS, collector.run, _ready, resumes=True)


def _looks(base: Base, resources: Resources, intake: Intake) -> Component:
    drift_watermark = watermark_of(progress(base, intake))
    looks = DriftLooks(
        resources.store,
        base.control,
        resources.settings.drift,
        watermark=lambda: drift_watermark(DRIFT),
        clock=base.clock,
        threads=resources.threads,
        instruments=base.instruments,
    )
    return Runner("drift-looks", looks.run, _ready, resumes=True)


async def _ready() -> None:
    """An analyzer needs nothing before its first stretch: models are loaded when there is something to look at."""


def _joined(executor: Executor) -> Callable[[], Awaitable[None]]:
    """What is at work when the interpreter ends would crash it."""

    async def join() -> None:
        await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)

    return join
