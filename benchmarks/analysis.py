"""The analyzers: texts a second on one thread, CPU for a thousand spans, and a look at drift."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analyzers.contract import Batch, Context, Message, SpanText
from analyzers.embedding.embedder import Embedder
from analyzers.registry import BUILT_IN, create
from analyzers.resources import Resources
from benchmarks.spans import prose
from schemas.analysis import AnalysisSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.migrations import migrate_store

SPANS = 100
PROMPT_WORDS, COMPLETION_WORDS, DOCUMENT_WORDS, DOCUMENTS = 40, 120, 150, 4

Result = dict[str, Any]


def analyzers(folder: Path) -> Result:
    """Each built-in analyzer in a process of its own, so that none profits from another's embeddings; and looks at drift."""
    found: Result = {name: _measured("benchmarks.analysis", folder / name, name) for name in BUILT_IN}
    looks = _measured("benchmarks.drift", folder / "looks")
    return found | {f"a look at drift, {scale}": figures for scale, figures in looks.items()}


def _measured(module: str, folder: Path, *arguments: str) -> Result:
    command = [sys.executable, "-m", module, str(folder), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


async def _measure(folder: Path, name: str) -> Result:
    folder.mkdir(parents=True)
    store = ClickHouseStore(f"chdb://{folder.resolve() / 'chdb'}", threads=1)
    await migrate_store(store)
    control = ControlDatabase(sqlite_url(folder))
    await control.migrate()
    settings, threads = AnalysisSettings(), ThreadPoolExecutor(1)
    made = Resources(
        settings, store, control, threads, threads, threads, Embedder(settings.embedder, threads), lambda: datetime.now(UTC)
    )
    analyzer = create(name, made)
    await analyzer.analyze(_batch(20, seed=1))
    batch = _batch(SPANS, seed=2)
    texts = len(batch.spans) * len({*analyzer.parts} - {"query"})
    before, began = os.times(), time.perf_counter()
    findings = await analyzer.analyze(batch)
    seconds, after = time.perf_counter() - began, os.times()
    cpu_s = after.user + after.system - before.user - before.system
    version = analyzer.version
    await store.close()
    await control.close()
    return {
        "texts_per_s": texts / seconds,
        "cpu_s_per_1000_spans": cpu_s / len(batch.spans) * 1000,
        "scores": len(findings.scores),
        "version": version,
    }


def _batch(count: int, seed: int) -> Batch:
    """Spans in which a model answered with unique text, each with a context."""
    source = random.Random(seed)
    spans = tuple(_span(source) for _ in range(count))
    contexts = {
        (span.project, span.trace_id, span.span_id): Context(
            (*(prose(source, DOCUMENT_WORDS) for _ in range(DOCUMENTS - 1)), span.completion[:400])
        )
        for span in spans
    }
    return Batch(spans, contexts)


def _span(source: random.Random) -> SpanText:
    now = datetime.now(UTC)
    return SpanText(
        project="default",
        trace_id=source.randbytes(16).hex(),
        span_id=source.randbytes(8).hex(),
        log_partition=0,
        log_offset=source.randrange(10**6),
        received_at=now,
        time=now,
        operation="chat",
        service="assistant",
        environment="",
        provider="openai",
        model="gpt-4o-mini",
        target="assistant",
        release="v1",
        user="",
        conversation="",
        status="unset",
        error_type="",
        finish_reasons=("stop",),
        input=(Message("user", prose(source, PROMPT_WORDS)),),
        output=(Message("assistant", prose(source, COMPLETION_WORDS)),),
        input_tokens=60,
        output_tokens=160,
        duration_ms=1500.0,
        time_to_first_token_ms=200.0,
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(Path(sys.argv[1]), sys.argv[2]))))
