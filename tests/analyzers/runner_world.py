"""An analyzer of the tests, and what a runner needs around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from analyzers.contract import Batch, Findings, Part, Score, SpanText
from analyzers.runner import LONGEST_PAUSE_S, AnalyzerRunner, Committed
from analyzers.seats import Seats
from analyzers.stretches import Stretches
from schemas.instruments import Instruments
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from tests.ingest.spans import make_span

TOPIC = "embedded"
POLL_S = 10.0


class LengthAnalyzer:
    """Scores the length of completions. `fails` says how often it raises first, `error` what."""

    name = "length"
    version = "1"
    parts: Sequence[Part] = ("completion",)
    needs_context = True

    def __init__(self, fails: int = 0, error: Exception | None = None) -> None:
        self.fails = fails
        self.error = error or RuntimeError("the model broke")
        self.batches: list[Batch] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def analyze(self, batch: Batch) -> Findings:
        self.batches.append(batch)
        if self.before is not None:
            await self.before()
        if self.fails:
            self.fails -= 1
            raise self.error
        return Findings(tuple(_score(span) for span in batch.spans))


def _score(span: SpanText) -> Score:
    if span.completion == "nan":
        return Score(span, "length", "completion", value=float("nan"), flagged=True)
    if span.completion == "?":
        return Score(span, "length", "completion", reason="too-short")
    return Score(span, "length", "completion", value=float(len(span.completion)), flagged=len(span.completion) > 10)


def chat(prompt: str, completion: str, **more: Any) -> Any:
    """A chat span with its messages; `attributes` are added to those of the messages."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": prompt,
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": completion,
        "tracewarden.target": "assistant",
        "tracewarden.release": "v1",
        **more.pop("attributes", {}),
    }
    return make_span(attributes=attributes, **more)


async def log_end(store: ClickHouseStore) -> dict[int, int]:
    """Up to where the tests' log is stored."""
    rows = await store.query("SELECT log_partition AS p, max(log_offset) + 1 AS end FROM spans GROUP BY p")
    return {row["p"]: row["end"] for row in rows}


class Waiting:
    """A monotonic clock that stands until somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def runner_of(
    analyzer: Any,
    store: ClickHouseStore,
    control: ControlDatabase,
    clock: Callable[[], datetime],
    *,
    texts_per_s: float | None = None,
    seats: Seats | None = None,
    stretches: Stretches | None = None,
    committed: Committed | None = None,
) -> AnalyzerRunner:
    """A runner over everything that is in the store."""
    return AnalyzerRunner(
        analyzer,
        store,
        control,
        seats or Seats(control, TOPIC, clock),
        stretches or Stretches(store),
        committed=committed or (lambda: log_end(store)),
        texts_per_s=texts_per_s,
        poll_s=POLL_S,
        clock=clock,
        instruments=Instruments(),
        monotonic=Waiting(),
    )


async def run_rounds(runner: AnalyzerRunner, rounds: int = 3) -> None:
    """So many rounds, each when every partition is due again."""
    assert isinstance(runner.monotonic, Waiting)
    stop = asyncio.Event()
    for _ in range(rounds):
        await runner.round(stop)
        runner.monotonic.now += LONGEST_PAUSE_S
