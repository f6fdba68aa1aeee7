"""What the drift analyzer makes of spans, with the real embedder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from analyzers.contract import AnalyzerUnavailableError, Batch, Message
from analyzers.drift.analyzer import USUAL_BANDWIDTH, bandwidth_of, create, levels_of
from analyzers.drift.sampling import slot_and_rank
from analyzers.embedding.embedder import Embedder
from analyzers.resources import Resources
from analyzers.stats.mean_embedding import FeatureMap, median_distance
from schemas.analysis import AnalysisSettings, EmbedderSettings
from schemas.drift import Slice, Stream, bucket_of, floor_to
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.drift_references import read_features
from tests.analyzers.drift_world import START, span

CHAT = replace(
    span("Where is my card?", START, 0, release="v1", model="gpt-4o"), output=(Message("assistant", "It is on its way."),)
)
RETRIEVAL = replace(span("card delivery", START, 1), operation="retrieval", output=(Message("document", "Cards take a week."),))
TOOL = replace(span("ls", START, 2), operation="execute_tool")


@pytest.fixture
async def resources(store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[Resources]:
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    settings = AnalysisSettings()
    with ThreadPoolExecutor(1) as threads:
        embedder = Embedder(settings.embedder, threads)
        yield Resources(settings, store, control, threads, threads, threads, embedder, lambda: START)
    await control.close()


async def test_prompts_completions_and_queries_are_embedded(resources: Resources) -> None:
    analyzer = create(resources)
    blank = replace(CHAT, input=(Message("user", "  \n"),), output=())
    sketches = (await analyzer.analyze(Batch((CHAT, RETRIEVAL, TOOL, blank)))).tables[0]
    of_part = sketches.columns.index("part")
    assert analyzer.parts == ("prompt", "completion", "query")
    assert {row[of_part] for row in sketches.rows} == {"prompt", "completion", "query"}
    assert {row[sketches.columns.index("n")] for row in sketches.rows} == {1}


def test_slices_are_the_sum_of_what_there_is_not_the_product() -> None:
    assert levels_of(CHAT) == [
        Slice("assistant", "bot"),
        Slice("assistant", "bot", release="v1"),
        Slice("assistant", "bot", model="gpt-4o"),
    ]
    assert levels_of(RETRIEVAL) == [Slice("assistant", "bot")]


async def test_sketches_are_sums_of_weighted_features(resources: Resources) -> None:
    analyzer = create(resources)
    other = replace(CHAT, trace_id="f" * 32, input=(Message("user", "Close my account"),), output=())
    findings = await analyzer.analyze(Batch((CHAT, RETRIEVAL, other), {}, 3, 70, (1.0, 1.0, 4.0)))
    sketches, samples = findings.tables
    rows = [dict(zip(sketches.columns, row, strict=True)) for row in sketches.rows]
    assert {(row["part"], row["slice_release"], row["slice_model"]) for row in rows} == {
        ("prompt", "", ""),
        ("prompt", "v1", ""),
        ("prompt", "", "gpt-4o"),
        ("completion", "", ""),
        ("completion", "v1", ""),
        ("completion", "", "gpt-4o"),
        ("query", "", ""),
    }
    prompt = next(row for row in rows if row["part"] == "prompt" and not row["slice_release"] and not row["slice_model"])
    assert (prompt["n"], prompt["weight"], prompt["squares"]) == (2, 5.0, 17.0)
    assert (prompt["log_partition"], prompt["first_offset"], prompt["bucket"]) == (3, 70, START)
    version = resources.embedder.version
    fixed = await resources.control.read(lambda connection: read_features(connection, version))
    assert fixed is not None
    assert fixed.bandwidth == USUAL_BANDWIDTH
    phi = FeatureMap(fixed.dimensions, fixed.bandwidth)(
        await resources.embedder.embed(["Where is my card?", "Close my account"])
    )
    assert np.allclose(prompt["sums"], phi[0] + 4 * phi[1])
    assert sum(prompt["square_sums"]) == pytest.approx(5.0)
    assert len(samples.rows) == 4
    again = await create(resources).analyze(Batch((CHAT, RETRIEVAL, other), {}, 3, 70, (1.0, 1.0, 4.0)))
    assert again == findings


async def test_odd_texts(resources: Resources) -> None:
    odd = ["a", "\x00\xff\x01 binary \ud800", "混合 mixed текст", "word " * 200_000]
    spans = tuple(replace(span(text, START, number)) for number, text in enumerate(odd))
    findings = await create(resources).analyze(Batch(spans, {}, 0, 0))
    (row,) = findings.tables[0].rows
    assert row[10] == len(odd)
    for table in findings.tables:
        await resources.store.insert_rows(table.table, list(table.columns), [list(each) for each in table.rows])


async def test_without_a_model_the_batch_waits(resources: Resources, tmp_path: Path) -> None:
    missing = Embedder(EmbedderSettings(model=str(tmp_path / "nothing")), resources.models)
    with pytest.raises(AnalyzerUnavailableError, match="nothing"):
        await create(replace(resources, embedder=missing)).analyze(Batch((CHAT,), {}, 0, 0))


async def test_nothing_to_look_at(resources: Resources) -> None:
    assert (await create(resources).analyze(Batch((TOOL,), {}, 0, 0))).tables == ()


def test_bandwidth_comes_from_a_large_enough_batch() -> None:
    rows = np.random.default_rng(1).normal(size=(150, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert bandwidth_of(rows) == pytest.approx(median_distance(rows))
    assert bandwidth_of(rows[:50]) == USUAL_BANDWIDTH
    assert bandwidth_of(np.repeat(rows[:2], 100, axis=0)) == USUAL_BANDWIDTH


def test_samples_are_fair_to_weights() -> None:
    wins = 0
    for number in range(4000):
        light = slot_and_rank(f"{number}", "a", "prompt", 1.0, 1)
        heavy = slot_and_rank(f"{number}", "b", "prompt", 3.0, 1)
        wins += heavy[1] > light[1]
    assert wins / 4000 == pytest.approx(0.75, abs=0.03)
    slots = np.bincount([slot_and_rank(f"{number}", "a", "prompt", 1.0, 20)[0] for number in range(4000)])
    assert slots.min() > 120


def test_units_and_buckets() -> None:
    assert bucket_of(("1h", "1d")) == timedelta(hours=1)
    assert bucket_of(("1d",)) == timedelta(hours=1)
    assert bucket_of(("90s", "10m")) == timedelta(seconds=30)
    assert floor_to(START + timedelta(hours=5, minutes=7), timedelta(days=1)) == START
    streams = {Stream("p", part, Slice("a", "b", release, "")).key for part in ("prompt", "query") for release in ("", "v1")}
    assert len(streams) == 4
