"""A look at drift: reading the units and newest samples of 20 streams, deciding and writing, whatever stood behind them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.drift.decision import Seen, consecutive, decide
from analyzers.drift.novel_texts import NovelTexts
from analyzers.drift.reference import Reference, Sample, build_both, scan_of, sketches_of
from analyzers.stats.mean_embedding import FEATURES, FeatureMap
from schemas.analysis import DriftSettings
from schemas.drift import Slice, Stream
from storage.clickhouse import ClickHouseStore
from storage.drift import LookRow, StreamGroup, insert_looks, read_group, read_units
from storage.migrations import migrate_store

STREAMS, DAYS, TEXTS_PER_HOUR = 20, 42, 20_000
DIMENSIONS = 384
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
COLUMNS = (
    "unit_s project part embedder slice_service slice_target slice_release slice_model unit n weight squares sums square_sums"
)

Result = dict[str, Any]


async def look(folder: Path) -> Result:
    """Milliseconds of a look at each scale, over streams of 20,000 texts an hour, and CPU milliseconds beside them."""
    folder.mkdir(parents=True)
    store = ClickHouseStore(f"chdb://{folder.resolve() / 'chdb'}", threads=1)
    await migrate_store(store)
    rng = np.random.default_rng(1)
    streams = [Stream("p", "prompt", Slice("service", f"target {number}")) for number in range(STREAMS)]
    for day in range(DAYS):
        await _insert_day(store, streams, START + day * DAY, rng)
    await _insert_samples(store, START + (DAYS - 1) * DAY)
    found = {scale: await _looks(store, streams, scale, unit) for scale, unit in (("1h", HOUR), ("1d", DAY))}
    await store.close()
    return found


async def _insert_day(store: ClickHouseStore, streams: list[Stream], day: datetime, rng: np.random.Generator) -> None:
    rows: list[list[Any]] = []
    for stream in streams:
        hours = [_sums(TEXTS_PER_HOUR, rng) for _ in range(24)]
        rows += [_row(stream, 3600, day + number * HOUR, TEXTS_PER_HOUR, sums) for number, sums in enumerate(hours)]
        rows.append(_row(stream, 86400, day, 24 * TEXTS_PER_HOUR, np.sum(hours, axis=0)))
    await store.insert_rows("embedding_units", COLUMNS.split(), rows)


async def _insert_samples(store: ClickHouseStore, day: datetime) -> None:
    """Every slot of every hour of the newest day, of every target."""
    slots = DriftSettings().samples_per_hour
    await store.command(
        "INSERT INTO embedding_samples (project, part, embedder, service, target, bucket, slot, rank, trace_id, span_id, time, "
        "received_at, preview, embedding) "
        "SELECT 'p', 'prompt', 'e', 'service', concat('target ', toString(intDiv(number, {of_target:UInt32}))) AS target, "
        "fromUnixTimestamp({day:Int64}) + toIntervalHour(intDiv(number % {of_target:UInt32}, {slots:UInt32})) AS bucket, "
        "number % {slots:UInt32}, number, randomFixedString(16), randomFixedString(8), now64(), now64(), repeat('text ', 40), "
        "unhex(arrayStringConcat(arrayMap(x -> hex(reinterpretAsFixedString("
        "toBFloat16(randNormal(0, {spread:Float64}, x + number)))), range({dimensions:UInt32})))) "
        "FROM numbers({streams:UInt32} * {of_target:UInt32})",
        {
            "of_target": 24 * slots,
            "slots": slots,
            "day": int(day.timestamp()),
            "dimensions": DIMENSIONS,
            "spread": DIMENSIONS**-0.5,
            "streams": STREAMS,
        },
    )


def _sums(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(n * 0.02 + rng.normal(size=FEATURES) * np.sqrt(n / FEATURES))


def _row(stream: Stream, unit_s: int, at: datetime, n: int, sums: NDArray[np.float64]) -> list[Any]:
    own = stream.slice
    labels = [stream.project, stream.part, "e", own.service, own.target, own.release, own.model]
    return [unit_s, *labels, at, n, float(n), float(n), sums.tolist(), [n / FEATURES] * FEATURES]


async def _looks(store: ClickHouseStore, streams: list[Stream], scale: str, unit: timedelta) -> Result:
    settings = DriftSettings()
    end = START + DAYS * DAY
    stored = await read_units(store, streams[0], unit, START, START + 14 * DAY)
    sample = np.random.default_rng(2).normal(size=(2000, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    scan = scan_of(DriftSettings(scales=(scale,)), unit)
    sampled = Sample(sample, [START + number % 14 * unit for number in range(len(sample))])
    reference = build_both(
        [sketch for _, sketch in sketches_of(stored)],
        sampled,
        FeatureMap(DIMENSIONS, 1.2),
        scan,
        settings.false_alarm_rate,
        settings.min_reference,
        1,
    )
    wall_ms, cpu_ms = [], []
    for _ in range(10):
        began, used = time.perf_counter(), time.process_time()
        rows = await _decided(store, scale, unit, end, reference)
        wall_ms.append(1000 * (time.perf_counter() - began) / len(rows))
        cpu_ms.append(1000 * (time.process_time() - used) / len(rows))
    return {"ms": float(np.median(wall_ms)), "p95_ms": float(np.quantile(wall_ms, 0.95)), "cpu_ms": float(np.median(cpu_ms))}


async def _decided(store: ClickHouseStore, scale: str, unit: timedelta, end: datetime, reference: Reference) -> list[LookRow]:
    """The looks at the end of one unit, of all streams, as the product makes them."""
    start = end - max(reference.scan.windows) * unit
    group = StreamGroup("p", "prompt", "service")
    found = await read_group(store, group, unit, start, end)
    texts = NovelTexts(store, group, unit, DriftSettings())
    assert reference.novelty is not None
    rows = []
    for stream, stored in found.items():
        units = consecutive({row.start: sketch for row, sketch in sketches_of(stored)}, start, end, unit)
        own, n = stream.slice, len(units) - 1
        labels = (stream.project, end, stream.part, scale, own.service, own.target, own.release, own.model)
        blank = LookRow(*labels, "e", "no-data", "", units[-1].count, end)
        before = replace(blank, time=end - unit, likeness_n=(500,) * n, likeness_sums=(100.0,) * n)
        likeness = await texts.since(start, end, own, "e", reference.novelty.topics, before)
        rows.append(decide(blank, reference, Seen(units, unit, likeness=likeness)))
    await insert_looks(store, rows)
    return rows


if __name__ == "__main__":
    # A process can host one embedded store.
    print(json.dumps(asyncio.run(look(Path(sys.argv[1])))))
