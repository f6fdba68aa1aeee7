"""Sums of ν over the sampled texts of units: what the scan of novelty looks at."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from analyzers.drift.decision import EMPTY, likeness_sketch
from analyzers.drift.reference import Novelty, matrix_of
from analyzers.stats.mean_embedding import Sketch
from schemas.drift import Slice
from storage.clickhouse import ClickHouseStore
from storage.drift import LookRow, SampledEmbeddings, StreamGroup, read_embeddings

TEXTS = 500
"""Of each target and unit, at most: a look costs the same whatever the traffic."""


class NovelTexts:
    """Reads the samples of one group of streams; what was read last serves the streams that share it."""

    def __init__(self, store: ClickHouseStore, group: StreamGroup) -> None:
        self._store = store
        self._group = group
        self._asked: tuple[str, datetime, timedelta] | None = None
        self._found: list[SampledEmbeddings] = []

    async def since(
        self,
        start: datetime,
        end: datetime,
        unit: timedelta,
        slice_: Slice,
        embedder: str,
        novelty: Novelty,
        before: LookRow | None,
    ) -> list[Sketch]:
        """Sums of each unit of [start, end) for one slice. `before`: a look at the same reference, a unit ago or earlier,
        whose sums are taken over.
        """
        known: dict[datetime, Sketch] = {}
        if before is not None:
            sums = list(zip(before.likeness_n, before.likeness_sums, strict=True))
            first = before.time - len(sums) * unit
            known = {first + number * unit: likeness_sketch(*each) for number, each in enumerate(sums)}
        times = [start + number * unit for number in range((end - start) // unit)]
        return [known[at] if at in known else await self._sum(at, unit, slice_, embedder, novelty) for at in times]

    async def _sum(self, at: datetime, unit: timedelta, slice_: Slice, embedder: str, novelty: Novelty) -> Sketch:
        if self._asked != (embedder, at, unit):
            self._found = await read_embeddings(self._store, self._group, embedder, at, at + unit, TEXTS)
            self._asked = embedder, at, unit
        own = [texts.embeddings for texts in self._found if slice_.holds(texts.slice)]
        if not own:
            return EMPTY
        likeness = novelty.topics.likeness(matrix_of(own, novelty.topics.dimensions))
        return likeness_sketch(len(likeness), float(np.sum(likeness)))
