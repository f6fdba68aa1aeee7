"""Reads the sampled texts of two stretches of a stream and says in which they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.drift.bfloat16 import from_bfloat16
from analyzers.drift.explanation import Texts, explain
from analyzers.drift.reference import Novelty
from analyzers.stats.mean_embedding import FeatureMap
from schemas.drift import Stream
from storage.clickhouse import ClickHouseStore
from storage.drift import SampledText, read_samples

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
    novelty: Novelty | None,
) -> Evidence:
    """Compare the samples of two stretches; `direction` is the difference of their means, `novelty` the earlier's topics."""
    rows = [await read_samples(store, each.stream, embedder, each.start, each.end, MOST_TEXTS) for each in (now, then)]

    def work() -> Evidence:
        ours, theirs = (_texts(each, feature_map) for each in rows)
        found = explain(ours, theirs, direction, novelty.topics if novelty else None, _SEED)
        return Evidence(found, ours.features @ direction, theirs.features @ direction)

    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _texts(rows: Sequence[SampledText], feature_map: FeatureMap) -> Texts:
    embeddings = from_bfloat16([text.embedding for text in rows], feature_map.dimensions)
    return Texts(rows, embeddings, feature_map(embeddings))
