"""Streams of made-up texts on real stores: every text is `topic:number`, and its embedding lies near its topic's centre."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analyzers.contract import Batch, Findings, Message, SpanText
from analyzers.drift.analyzer import DriftAnalyzer, create
from analyzers.drift.looks import DriftLooks
from analyzers.embedding.embedder import Embedder
from analyzers.resources import Resources
from schemas.analysis import AnalysisSettings, DriftSettings
from schemas.instruments import Instruments
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase

START = datetime(2026, 3, 2, tzinfo=UTC)
DIMENSIONS = 32
MINUTE = timedelta(minutes=1)

SETTINGS = DriftSettings(
    scales=("1m",), windows=(1, 2, 4), reference_units=6, min_reference=200, min_window=20, samples_per_hour=100
)


class TopicModel(Embedder):
    """An embedder whose model is a table of topics; `name` is its version."""

    def __init__(self, threads: ThreadPoolExecutor, name: str = "topics@1/float32") -> None:
        super().__init__(AnalysisSettings().embedder, threads)
        self.name = name
        self.broken: set[str] = set()

    @property
    def version(self) -> str:
        return self.name

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([self._row(text) for text in texts], dtype=np.float32)

    def _row(self, text: str) -> NDArray[np.float64]:
        if text in self.broken:
            return np.full(DIMENSIONS, np.nan)
        topic = text.partition(":")[0]
        row = _drawn(topic) + 0.7 * _drawn(text)
        return np.asarray(row / np.linalg.norm(row))


def _drawn(text: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=DIMENSIONS)


class DriftWorld:
    """One process that analyzes and looks. Time stands where `until` put it."""

    def __init__(self, store: ClickHouseStore, control: ControlDatabase, settings: DriftSettings = SETTINGS) -> None:
        self.store = store
        self.control = control
        self.settings = settings
        self.threads = ThreadPoolExecutor(1)
        self.model = TopicModel(self.threads)
        self.now = START
        self.offset = 0
        self.analyzer = self.new_analyzer()
        self.looks = self.new_looks()

    def new_analyzer(self) -> DriftAnalyzer:
        """As after a restart."""
        settings = AnalysisSettings(drift=self.settings)
        threads = self.threads
        return create(Resources(settings, self.store, self.control, threads, threads, threads, self.model, lambda: self.now))

    def new_looks(self) -> DriftLooks:
        """As after a restart, with metrics of its own in `instruments`."""
        self.instruments = Instruments()
        return DriftLooks(
            self.store,
            self.control,
            self.settings,
            watermark=self._watermark,
            clock=lambda: self.now,
            threads=self.threads,
            instruments=self.instruments,
        )

    async def _watermark(self) -> datetime | None:
        return self.now

    async def minutes(
        self, first: int, count: int, per_minute: int = 60, *, share_new: float = 0.0, share_odd: float = 0.0, **labels: str
    ) -> None:
        """Traffic of 8 topics; `share_new` of it is of the topic `new`, and of `share_odd` every text of one of its own."""
        rng = np.random.default_rng(first)
        for minute in range(first, first + count):
            topics = rng.choice(8, per_minute)
            new = rng.random(per_minute) < share_new
            odd = rng.random(per_minute) < share_odd
            names = [f"odd{minute}.{i}" if odd[i] else "new" if new[i] else f"t{topics[i]}" for i in range(per_minute)]
            texts = [f"{name}:{minute}.{i}" for i, name in enumerate(names)]
            await self.send(texts, START + minute * MINUTE, **labels)

    async def send(self, texts: Sequence[str], start: datetime, **labels: str) -> Batch:
        """One batch of prompts that arrived from `start` on, within a minute."""
        spans = [
            span(text, start + index * MINUTE / (len(texts) + 1), self.offset + index, **labels)
            for index, text in enumerate(texts)
        ]
        batch = Batch(tuple(spans), {}, 0, self.offset)
        self.offset += len(texts)
        await self.write(await self.analyzer.analyze(batch))
        return batch

    async def write(self, findings: Findings) -> None:
        """As the runner does."""
        for table in findings.tables:
            await self.store.insert_rows(table.table, list(table.columns), [list(row) for row in table.rows])

    async def look_at(self, minute: float) -> int:
        """A look once everything before `minute` is analyzed."""
        self.now = START + minute * MINUTE
        return await self.looks.run_once(self.now)

    async def close(self) -> None:
        """Join the threads."""
        self.threads.shutdown()


def span(text: str, at: datetime, number: int, **labels: str) -> SpanText:
    """A chat span whose prompt is `text`."""
    plain = SpanText(
        project="ours",
        trace_id=f"{number + 1:032x}",
        span_id=f"{number + 1:016x}",
        log_partition=0,
        log_offset=number,
        received_at=at,
        time=at,
        operation="chat",
        service="assistant",
        environment="",
        provider="openai",
        model="",
        target="bot",
        release="",
        user="",
        conversation="",
        status="ok",
        error_type="",
        finish_reasons=(),
        input=(Message("user", text),),
        output=(),
    )
    return replace(plain, **labels)  # type: ignore[arg-type]  # every label is a text field
