"""What a stream is compared with: sums, lens, null model and threshold, computed once from a range of its units."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from analyzers.stats.drift_null import FEWEST_SAMPLES, Lens, Moments, null_model
from analyzers.stats.drift_scan import Scan, threshold
from analyzers.stats.mean_embedding import FeatureMap, Sketch, merged
from analyzers.stats.novelty import Topics, topics_of
from schemas.analysis import DriftSettings
from schemas.drift import Stream
from schemas.duration import parse_duration
from storage.drift import UnitSums

Floats = NDArray[np.float64]

_log = structlog.get_logger("drift")

HORIZON_UNITS = 28
"""The false-alarm rate holds for so many units of the longest scale; shorter scales have as many looks as fit into them."""

SAMPLES = 10_000
"""Sampled texts of a reference that are looked at, at most: for the covariance, and for its topics."""


class ReferenceTooSmallError(ValueError):
    """There are too few texts to compare anything with; the message says how many there are."""


@dataclass(frozen=True)
class Reference:
    """Ready to be looked from. `seen` is its sketch through the lens."""

    sketch: Sketch
    lens: Lens
    moments: Moments
    threshold: float
    alpha: float
    scan: Scan
    samples: int
    novelty: Novelty | None = None
    """None where too few texts were sampled, or all are the same; and in one made by a version that knew none."""

    @property
    def seen(self) -> Sketch:
        """The sketch through the lens."""
        return self.lens.through(self.sketch)

    def state(self) -> dict[str, Any]:
        """For the control database."""
        lens, moments = self.lens, self.moments
        return {
            "sketch": {"count": self.sketch.count, "weight": self.sketch.weight, "squares": self.sketch.squares},
            "sums": _packed(self.sketch.total, np.float64),
            "directions": _packed(lens.directions, np.float16),
            "scales": _packed(lens.scales, np.float64),
            "rest": lens.rest,
            "largest": lens.largest,
            "moments": {
                "n": moments.n,
                "units": moments.units,
                "block": moments.block,
                "largest": moments.largest,
                "traces": moments.traces.tolist(),
                "products": moments.products.tolist(),
            },
            "threshold": self.threshold,
            "alpha": self.alpha,
            "windows": list(self.scan.windows),
            "looks": self.scan.looks,
            "min_window": self.scan.min_window,
            "samples": self.samples,
            "novelty": None if self.novelty is None else self.novelty.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Reference:
        """The opposite of `state`."""
        total = _unpacked(state["sums"], np.float64)
        directions = _unpacked(state["directions"], np.float16).reshape(-1, len(total))
        moments = {**state["moments"], "traces": np.array(state["moments"]["traces"])}
        moments["products"] = np.array(state["moments"]["products"])
        return cls(
            sketch=Sketch(total=total, **state["sketch"]),
            lens=Lens(directions, _unpacked(state["scales"], np.float64), state["rest"], state["largest"]),
            moments=Moments(**moments),
            threshold=state["threshold"],
            alpha=state["alpha"],
            scan=Scan(tuple(state["windows"]), state["looks"], state["min_window"]),
            samples=state["samples"],
            novelty=None if state.get("novelty") is None else Novelty.from_state(state["novelty"]),
        )


@dataclass(frozen=True)
class Novelty:
    """Topics, and the reference of the one feature ν that a second scan looks from."""

    topics: Topics
    reference: Reference

    def state(self) -> dict[str, Any]:
        """For the control database."""
        halves = [_packed(half.astype(np.float64), np.float16) for half in self.topics.halves]
        return {"halves": halves, "dimensions": self.topics.dimensions, "reference": self.reference.state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Novelty:
        """The opposite of `state`."""
        rows = (_unpacked(half, np.float16).reshape(-1, state["dimensions"]) for half in state["halves"])
        first, second = (half.astype(np.float32) for half in rows)
        return cls(Topics((first, second)), Reference.from_state(state["reference"]))


@dataclass(frozen=True)
class Sample:
    """Sampled texts of a reference in random order: embeddings of unit length as rows, and the start of the unit of each."""

    embeddings: NDArray[np.floating]
    units: Sequence[datetime]


def scan_of(settings: DriftSettings, unit: timedelta) -> Scan:
    """Windows and looks at one scale."""
    longest = max(parse_duration(scale) for scale in settings.scales)
    looks = max(max(settings.windows), int(HORIZON_UNITS * max(longest, unit) / unit))
    return Scan(tuple(sorted(settings.windows)), looks, settings.min_window)


def alpha_of(settings: DriftSettings) -> float:
    """The false-alarm rate of one scale."""
    return settings.false_alarm_rate / len(settings.scales)


def build(units: Sequence[Sketch], features: Floats, scan: Scan, alpha: float, least: int, seed: int) -> Reference:
    """A reference from the sketches of its units and the features of a random sample of its texts. Takes a few CPU seconds.

    Raises:
        ReferenceTooSmallError: fewer than `least` texts, two units or `FEWEST_SAMPLES` samples; or texts all the same.
    """
    filled = [unit for unit in units if unit.count]
    count = sum(unit.count for unit in filled)
    if count < least:
        raise ReferenceTooSmallError(f"the reference has {count} texts and needs {least} (analysis.drift.min_reference)")
    if len(filled) < 2 or len(features) < FEWEST_SAMPLES:
        found = f"texts in {len(filled)} units and {len(features)} sampled embeddings"
        raise ReferenceTooSmallError(f"the reference has {found}, and needs 2 units and {FEWEST_SAMPLES} embeddings")
    try:
        model, lens = null_model(filled, features)
        found_threshold = threshold(model, scan, alpha, seed)
    except ValueError as error:
        raise ReferenceTooSmallError(str(error)) from error
    return Reference(merged(filled), lens, model.moments, found_threshold, alpha, scan, len(features))


def build_both(
    units: Sequence[Sketch], sample: Sample, feature_map: FeatureMap, scan: Scan, alpha: float, least: int, seed: int
) -> Reference:
    """`build` with the scan of novelty beside that of the means, each at half of `alpha`.

    Raises:
        ReferenceTooSmallError: as `build`.
    """
    novelty = _novelty(sample, scan, alpha / 2, seed)
    share = alpha if novelty is None else alpha / 2
    return replace(build(units, feature_map(sample.embeddings), scan, share, least, seed), novelty=novelty)


def _novelty(sample: Sample, scan: Scan, alpha: float, seed: int) -> Novelty | None:
    if len(sample.embeddings) < FEWEST_SAMPLES:
        return None
    topics, likeness = topics_of(sample.embeddings, seed)
    of_units: dict[datetime, list[int]] = {}
    for index, unit in enumerate(sample.units):
        of_units.setdefault(unit, []).append(index)
    units = [Sketch.of(likeness[of_units[unit]]) for unit in sorted(of_units)]
    try:
        return Novelty(topics, build(units, likeness, scan, alpha, 0, seed))
    except ReferenceTooSmallError:
        return None


def seed_of(stream: Stream, scale: str, start: datetime) -> int:
    """The seed of a reference's simulation: the same reference has the same threshold."""
    text = f"{stream.project}/{stream.key}/{scale}/{start.isoformat()}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def sketches_of(rows: Iterable[UnitSums]) -> Iterator[tuple[UnitSums, Sketch]]:
    """Stored units with their sketches. Those whose sums are not finite are left out and logged."""
    for row in rows:
        total = np.asarray(row.sums, dtype=np.float64)
        if np.isfinite(total).all():
            yield row, Sketch(row.n, row.weight, row.squares, total)
        else:
            _log.error("unit_left_out", start=row.start.isoformat(), embedder=row.embedder, reason="sums of NaN or infinity")


def _packed(values: Floats, kind: type[np.floating[Any]]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def _unpacked(text: str, kind: type[np.floating[Any]]) -> Floats:
    return np.frombuffer(base64.b64decode(text), dtype=np.dtype(kind).newbyteorder("<")).astype(np.float64)
