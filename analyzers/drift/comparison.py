"""Two stretches of a stream, or one and a stored reference, compared once."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analyzers.drift.bfloat16 import from_bfloat16
from analyzers.drift.decision import distance_of
from analyzers.drift.evidence import Stretch, gather
from analyzers.drift.reference import SAMPLES, Reference, ReferenceTooSmallError, build, sketches_of
from analyzers.drift.references import Known, References
from analyzers.stats.drift_scan import Scan, standardised
from analyzers.stats.mean_embedding import Effect, Sketch, merged
from schemas.analysis import DriftSettings
from schemas.drift import Stream, bucket_of
from storage.clickhouse import ClickHouseStore
from storage.drift import read_samples, read_units

_SEED = 1


class EmbedderMismatchError(ValueError):
    """The two sides were embedded by different embedders, so their distance has no meaning."""


@dataclass(frozen=True)
class Comparison:
    """What differs between `now` and `then`. Above the threshold they differ at the level that the reference holds."""

    embedder: str
    n_now: int
    n_then: int
    effect: Effect
    score: float
    threshold: float
    alpha: float
    evidence: dict[str, Any]

    @property
    def differs(self) -> bool:
        """Whether the score lies above the threshold."""
        return self.score > self.threshold


@dataclass(frozen=True)
class Comparer:
    """Compares stretches, whose bounds are multiples of the bucket of the settings' scales."""

    store: ClickHouseStore
    references: References
    settings: DriftSettings
    threads: Executor | None = None

    @property
    def bucket(self) -> timedelta:
        """The shortest unit of time that sums are kept of."""
        return bucket_of(self.settings.scales)

    async def ranges(self, now: Stretch, then: Stretch) -> Comparison:
        """`now` against `then`, at the settings' false-alarm rate for this one comparison.

        Raises:
            ReferenceTooSmallError: one of the two has too few texts.
            EmbedderMismatchError: they have no embedder in common.
        """
        embedder, units = await self._units(now, None)
        _, before = await self._units(then, embedder)
        samples = await read_samples(self.store, then.stream, embedder, then.start, then.end, SAMPLES)
        feature_map = await self.references.feature_map(embedder)
        features = feature_map(from_bfloat16([text.embedding for text in samples], feature_map.dimensions))
        alpha, least = self.settings.false_alarm_rate, self.settings.min_reference
        scan = Scan((len(units),), len(units), 1)
        loop = asyncio.get_running_loop()
        reference = await loop.run_in_executor(self.threads, lambda: build(before, features, scan, alpha, least, _SEED))
        return await self._compared(now, units, then, reference, embedder)

    async def with_reference(self, now: Stretch, known: Known) -> Comparison:
        """`now` against a reference, at the threshold that holds for all looks at it.

        Raises:
            ReferenceTooSmallError, EmbedderMismatchError: as `ranges`.
        """
        stored = known.stored
        embedder, units = await self._units(now, stored.embedder)
        then = Stretch(stored.stream, stored.starts_at, stored.ends_at)
        return await self._compared(now, units, then, known.reference, embedder)

    async def _units(self, stretch: Stretch, embedder: str | None) -> tuple[str, list[Sketch]]:
        rows = await read_units(self.store, stretch.stream, self.bucket, stretch.start, stretch.end)
        if not rows:
            raise ReferenceTooSmallError(f"no texts arrived from {stretch.start.isoformat()} to {stretch.end.isoformat()}")
        chosen = embedder or rows[-1].embedder
        own = [sketch for _, sketch in sketches_of(row for row in rows if row.embedder == chosen)]
        if not own:
            raise EmbedderMismatchError(f"the texts were embedded with {rows[-1].embedder}, the others with {chosen}")
        count = sum(unit.count for unit in own)
        if count < self.settings.min_window:
            raise ReferenceTooSmallError(f"{count} texts arrived; a comparison needs {self.settings.min_window}")
        return chosen, own

    async def _compared(
        self, now: Stretch, units: list[Sketch], then: Stretch, reference: Reference, embedder: str
    ) -> Comparison:
        window = merged(units)
        direction = window.mean - reference.sketch.mean
        feature_map = await self.references.feature_map(embedder)
        evidence = await gather(self.store, self.threads, feature_map, embedder, now, then, direction, reference.novelty)
        return Comparison(
            embedder=embedder,
            n_now=window.count,
            n_then=reference.sketch.count,
            effect=distance_of(window, reference, evidence.witness_now),
            score=_score(reference, units, window),
            threshold=reference.threshold,
            alpha=reference.alpha,
            evidence=evidence.found,
        )


def _score(reference: Reference, units: list[Sketch], window: Sketch) -> float:
    seen = reference.lens.through(window)
    square = float(np.sum((seen.mean - reference.seen.mean) ** 2))
    concentration = sum(unit.weight**2 for unit in units) / window.weight**2
    found = standardised(reference.moments, np.array([square]), np.array([window.n]), np.array([concentration]))
    return float(found[0])


def between(stream: Stream, start: datetime, end: datetime, bucket: timedelta) -> Stretch:
    """A stretch with its bounds rounded to buckets: down at the start, up at the end."""
    epoch = datetime(1970, 1, 1, tzinfo=start.tzinfo)
    return Stretch(stream, start - (start - epoch) % bucket, end + (epoch - end) % bucket)
