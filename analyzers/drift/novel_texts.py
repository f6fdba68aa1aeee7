"""Sums of ν over the sampled texts of units: what the scan of novelty looks at."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import numpy as np

from analyzers.drift.bfloat16 import from_bfloat16
from analyzers.drift.decision import EMPTY, likeness_sketch
from analyzers.stats.mean_embedding import Sketch
from analyzers.stats.novelty import Topics
from schemas.analysis import DriftSettings
from schemas.drift import Slice, bucket_of
from storage.clickhouse import ClickHouseStore
from storage.drift import LookRow, SampledEmbeddings, StreamGroup, read_embeddings

TEXTS = 500
"""Of each target and unit, or a few more: a look costs the same whatever the traffic."""


class NovelTexts:
    """Reads the samples of one group of streams; what was read last serves the streams that share it."""

    def __init__(self, store: ClickHouseStore, group: StreamGroup, unit: timedelta, settings: DriftSettings) -> None:
        self._store = store
        self._group = group
        self._unit = unit
        kept = unit // bucket_of(settings.scales) * settings.samples_per_hour
        # To choose takes as long as to read, and is for nothing where no more can have been kept.
        self._limit = TEXTS if kept > TEXTS else None
        self._asked: tuple[str, datetime] | None = None
        self._found: list[SampledEmbeddings] = []

    async def since(
        self, start: datetime, end: datetime, slice_: Slice, embedder: str, topics: Topics, before: LookRow | None
    ) -> list[Sketch]:
        """Sums of each unit of [start, end) of a slice; those of `before`, a look from the same reference, are taken over."""
        known: dict[datetime, Sketch] = {}
        if before is not None:
            sums = list(zip(before.likeness_n, before.likeness_sums, strict=True))
            first = before.time - len(sums) * self._unit
            known = {first + number * self._unit: likeness_sketch(*each) for number, each in enumerate(sums)}
        times = [start + number * self._unit for number in range((end - start) // self._unit)]
        return [known[at] if at in known else await self._sum(at, slice_, embedder, topics) for at in times]

    async def _sum(self, at: datetime, slice_: Slice, embedder: str, topics: Topics) -> Sketch:
        if self._asked != (embedder, at):
            self._found = await read_embeddings(self._store, self._group, embedder, at, at + self._unit, self._limit)
            self._asked = embedder, at
        own = [texts.embeddings for texts in self._found if slice_.holds(texts.slice)]
        if not own:
            return EMPTY
        # Milliseconds for each of many streams: not on the event loop.
        return await asyncio.to_thread(_summed, own, topics)


def _summed(embeddings: list[bytes], topics: Topics) -> Sketch:
    likeness = topics.likeness(from_bfloat16(embeddings, topics.dimensions))
    return likeness_sketch(len(likeness), float(np.sum(likeness)))
