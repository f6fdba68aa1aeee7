"""Reads the sampled texts of two stretches of a stream and says in which they differ."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.drift.explanation import Texts, explain
from analyzers.drift.reference import features_of
from analyzers.stats.mean_embedding import FeatureMap
from schemas.drift import Stream
from storage.clickhouse import ClickHouseStore
from storage.drift import read_samples

MOST_TEXTS = 1_000
_SEED = 1


@dataclass(frozen=True)
class Stretch:
    """Texts of a stream that arrived in [start, end)."""

    stream: Stream
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Evidence:
    """What differs, and the witness values of the sampled texts of now and then."""

    found: dict[str, Any]
    witness_now: NDArray[np.float64]
    witness_then: NDArray[np.float64]


async def gather(
    store: ClickHouseStore,
    threads: Executor | None,
    feature_map: FeatureMap,
    embedder: str,
    now: Stretch,
    then: Stretch,
    direction: NDArray[np.float64],
) -> Evidence:
    """Compare the samples of two stretches; `direction` is the difference of their means."""
    rows = [await read_samples(store, each.stream, embedder, each.start, each.end, MOST_TEXTS) for each in (now, then)]

    def work() -> Evidence:
        ours, theirs = (
            Texts(
                texts,
                _matrix([text.embedding for text in texts], feature_map.dimensions),
                features_of(feature_map, [text.embedding for text in texts]),
            )
            for texts in rows
        )
        found = explain(ours, theirs, direction, _SEED)
        return Evidence(found, ours.features @ direction, theirs.features @ direction)

    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _matrix(rows: list[tuple[float, ...]], dimensions: int) -> NDArray[np.float64]:
    return np.asarray(rows, dtype=np.float64).reshape(-1, dimensions)
