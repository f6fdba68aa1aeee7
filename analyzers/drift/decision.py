"""One look at one stream: from sums to a verdict with its reason. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analyzers.drift.reference import Reference
from analyzers.stats.drift_scan import Look, look
from analyzers.stats.e_detector import bet, opinion
from analyzers.stats.mean_embedding import Effect, Sketch, effect, merged
from schemas.duration import format_duration
from storage.drift import LookRow

EMPTY = Sketch(0, 0.0, 0.0, np.zeros(0))


@dataclass(frozen=True)
class Seen:
    """What there is to look at: the units since the reference up to the look, empty ones included, the newest last."""

    units: Sequence[Sketch]
    unit: timedelta
    wealth: tuple[float, ...]


def decide(blank: LookRow, reference: Reference, seen: Seen) -> LookRow:
    """`blank` with everything that the units say, at its time. The verdict is one of

    drift, no-drift: some window, or none, lies above the threshold; no-data: the newest unit has no texts;
    not-enough-data: no window has as many texts as it needs.
    """
    known = replace(blank, threshold=reference.threshold, wealth=seen.wealth)
    if not seen.units or not seen.units[-1].count:
        return replace(known, verdict="no-data", reason=f"no texts arrived within the last {format_duration(seen.unit)}")
    through = [reference.lens.through(unit) if unit.count else unit for unit in seen.units]
    wealth = bet(seen.wealth, reference.moments, reference.seen, through[:-1], through[-1])
    found = look(reference.moments, reference.seen, through, reference.scan)
    if found is None:
        texts = sum(unit.count for unit in seen.units)
        reason = f"{texts} texts since the reference; a window needs {reference.scan.min_window} (analysis.drift.min_window)"
        return replace(known, verdict="not-enough-data", reason=reason, wealth=tuple(wealth))
    return _judged(replace(known, wealth=tuple(wealth)), reference, seen, found)


def _judged(known: LookRow, reference: Reference, seen: Seen, found: Look) -> LookRow:
    strongest, alarm = found.strongest, found.strongest.score > reference.threshold
    window = merged([unit for unit in seen.units[-strongest.units :] if unit.count])
    distance = distance_of(window, reference)
    length = format_duration(strongest.units * seen.unit)
    side = "above" if alarm else "within"
    limit = f"the threshold {reference.threshold:.1f} that holds for {reference.scan.looks} looks"
    reason = f"the last {length} score {strongest.score:.1f}, {side} {limit}"
    return replace(
        known,
        verdict="drift" if alarm else "no-drift",
        reason=reason,
        window_n=window.count,
        window_units=strongest.units,
        effect=distance.value,
        effect_low=distance.low,
        effect_high=distance.high,
        score=strongest.score,
        alarm=int(alarm),
        second_opinion=opinion(known.wealth, reference.scan.looks, reference.alpha),
        onset=known.time - found.onset_units * seen.unit if alarm else None,
        windows=json.dumps([{"units": one.units, "n": one.count, "score": one.score} for one in found.windows]),
    )


def distance_of(window: Sketch, reference: Reference, witness: NDArray[np.float64] | None = None) -> Effect:
    """The window's MMD with its interval. `witness`: values over a sample of the window, for a variance of its own."""
    direction = window.mean - reference.sketch.mean
    of_reference = reference.lens.variance(direction)
    of_window = of_reference if witness is None or len(witness) < 2 else float(witness.var(ddof=1))
    noise = reference.lens.noise * (1 / window.n + 1 / reference.sketch.n) ** 2
    return effect(window, reference.sketch, (of_window, of_reference), noise)


def consecutive(sketches: dict[datetime, Sketch], start: datetime, end: datetime, unit: timedelta) -> list[Sketch]:
    """The units of [start, end) in order, empty ones where there is nothing."""
    count = max(0, (end - start) // unit)
    return [sketches.get(start + number * unit, EMPTY) for number in range(count)]
