"""Embeddings of prompts, completions and retrieval queries, summed up by slice and time of arrival, and a sample of them."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.contract import AnalyzerUnavailableError, Batch, Findings, SpanText, TableRows
from analyzers.drift.bfloat16 import to_bfloat16
from analyzers.drift.sampling import slot_and_rank
from analyzers.hosting import ModelUnavailableError
from analyzers.resources import Resources
from analyzers.stats.mean_embedding import FEATURES, SEED, FeatureMap, median_distance
from schemas.drift import PARTS, DriftPart, Slice, bucket_of, floor_to
from storage.drift_references import Features, fix_features, read_features

PREVIEW_CHARS = 300

USUAL_BANDWIDTH = 1.2
"""For a first batch of too few texts: the median distance of unrelated texts under usual sentence embeddings."""

BANDWIDTH_TEXTS = 100
SHORTEST_BANDWIDTH, LONGEST_BANDWIDTH = 0.3, 2.0

SKETCH_COLUMNS = (
    "project",
    "part",
    "embedder",
    "slice_service",
    "slice_target",
    "slice_release",
    "slice_model",
    "bucket",
    "log_partition",
    "first_offset",
    "n",
    "weight",
    "squares",
    "sums",
    "square_sums",
    "updated_at",
)
SAMPLE_COLUMNS = (
    "project",
    "part",
    "embedder",
    "service",
    "target",
    "bucket",
    "slot",
    "rank",
    "release",
    "model",
    "trace_id",
    "span_id",
    "time",
    "received_at",
    "preview",
    "embedding",
)

Key = tuple[str, DriftPart, Slice, datetime]


@dataclass(frozen=True)
class Item:
    """One text of a span, and how many it stands for."""

    span: SpanText
    part: DriftPart
    text: str
    weight: float


class DriftAnalyzer:
    """Turns texts into sketches. What they amount to is decided once for each closed unit: analyzers/drift/looks.py."""

    name = "drift"
    version = "1"
    parts = PARTS

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._bucket = bucket_of(resources.settings.drift.scales)
        self._map: tuple[str, FeatureMap] | None = None

    async def analyze(self, batch: Batch) -> Findings:
        """Sketches by slice and bucket, and sampled embeddings. Texts without a finite embedding are left out.

        Raises:
            AnalyzerUnavailableError: the embedder cannot be loaded.
        """
        items = list(_items(batch))
        if not items:
            return Findings()
        try:
            embeddings = await self._resources.embedder.embed([item.text for item in items])
        except ModelUnavailableError as error:
            raise AnalyzerUnavailableError(str(error)) from error
        finite = np.isfinite(embeddings.sum(axis=1))
        items, embeddings = [items[index] for index in np.flatnonzero(finite)], embeddings[finite]
        if not items:
            return Findings()
        version, features_of = await self._feature_map(embeddings)
        return await asyncio.to_thread(lambda: self._findings(batch, items, embeddings, version, features_of(embeddings)))

    async def _feature_map(self, embeddings: NDArray[np.float32]) -> tuple[str, FeatureMap]:
        version = self._resources.embedder.version
        if self._map is None or self._map[0] != version:
            control = self._resources.control
            fixed = await control.read(lambda connection: read_features(connection, version))
            if fixed is None:
                wanted = Features(version, embeddings.shape[1], FEATURES, SEED, bandwidth_of(embeddings))
                now = self._resources.clock()
                fixed = await control.write(lambda connection: fix_features(connection, wanted, now))
            self._map = version, FeatureMap(fixed.dimensions, fixed.bandwidth, fixed.features, fixed.seed)
        return self._map

    def _findings(
        self,
        batch: Batch,
        items: Sequence[Item],
        embeddings: NDArray[np.float32],
        version: str,
        features: NDArray[np.float64],
    ) -> Findings:
        groups: dict[Key, list[int]] = defaultdict(list)
        for index, item in enumerate(items):
            bucket = floor_to(item.span.received_at, self._bucket)
            for level in levels_of(item.span):
                groups[item.span.project, item.part, level, bucket].append(index)
        now = self._resources.clock()
        weights = np.array([item.weight for item in items])
        sketches = [
            _sketch_row(key, version, batch, features[its], weights[its], now)
            for key, its in sorted(groups.items(), key=_order)
        ]
        samples = self._samples(items, embeddings, version)
        return Findings(
            tables=(
                TableRows("embedding_sketches", SKETCH_COLUMNS, tuple(sketches)),
                TableRows("embedding_samples", SAMPLE_COLUMNS, tuple(samples)),
            )
        )

    def _samples(self, items: Sequence[Item], embeddings: NDArray[np.float32], version: str) -> list[tuple[Any, ...]]:
        best: dict[tuple[Any, ...], tuple[int, int]] = {}
        for index, item in enumerate(items):
            span = item.span
            slots = self._resources.settings.drift.samples_per_hour
            slot, rank = slot_and_rank(span.trace_id, span.span_id, item.part, item.weight, slots)
            key = span.project, item.part, version, span.service, span.target, floor_to(span.received_at, self._bucket), slot
            best[key] = max(best.get(key, (-1, -1)), (rank, index))
        stored = to_bfloat16(embeddings[[index for _, index in best.values()]])
        return [
            (*key, rank, *_sample(items[index]), embedding)
            for (key, (rank, index)), embedding in zip(best.items(), stored, strict=True)
        ]


def create(resources: Resources) -> DriftAnalyzer:
    """For the registry."""
    return DriftAnalyzer(resources)


def levels_of(span: SpanText) -> list[Slice]:
    """The slices that a span counts in: its service and target, and within them its release and its model.

    Not their combinations: the number of slices stays the sum of what there is, not the product.
    """
    levels = [Slice(span.service, span.target)]
    if span.release:
        levels.append(Slice(span.service, span.target, release=span.release))
    if span.model:
        levels.append(Slice(span.service, span.target, model=span.model))
    return levels


def bandwidth_of(embeddings: NDArray[np.float32]) -> float:
    """The median distance of the first batch, or the usual one where it is small or nearly all the same."""
    if len(np.unique(embeddings, axis=0)) < BANDWIDTH_TEXTS:
        return USUAL_BANDWIDTH
    return min(LONGEST_BANDWIDTH, max(SHORTEST_BANDWIDTH, median_distance(embeddings)))


def _texts(span: SpanText) -> Iterator[tuple[DriftPart, str]]:
    for part in PARTS:
        text = span.text_of(part)
        if text.strip():
            yield part, text


def _items(batch: Batch) -> Iterator[Item]:
    weights: Iterable[float] = batch.weights or itertools.repeat(1.0)
    for span, weight in zip(batch.spans, weights, strict=bool(batch.weights)):
        for part, text in _texts(span):
            yield Item(span, part, text, weight)


def _order(entry: tuple[Key, list[int]]) -> Key:
    return entry[0]


def _sketch_row(
    key: Key,
    version: str,
    batch: Batch,
    features: NDArray[np.float64],
    weights: NDArray[np.float64],
    now: datetime,
) -> tuple[Any, ...]:
    project, part, level, bucket = key
    labels = (level.service, level.target, level.release, level.model)
    place = (bucket, batch.log_partition, batch.first_offset)
    counts = (len(weights), float(weights.sum()), float(weights @ weights))
    return (
        project,
        part,
        version,
        *labels,
        *place,
        *counts,
        (weights @ features).tolist(),
        (weights @ features**2).tolist(),
        now,
    )


def _sample(item: Item) -> tuple[Any, ...]:
    span = item.span
    ids = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    return span.release, span.model, *ids, span.time, span.received_at, _storable(item.text[:PREVIEW_CHARS])


def _storable(text: str) -> str:
    """Without halves of surrogate pairs, which are no UTF-8."""
    return text.encode("utf-8", "replace").decode()
