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


def likeness_sketch(n: int, total: float) -> Sketch:
    """The sketch of ν of `n` texts of equal weight whose sum is `total`."""
    return Sketch(n, float(n), float(n), np.array([total])) if n else EMPTY


@dataclass(frozen=True)
class Seen:
    """What there is to look at: the units since the reference up to the look, empty ones included, the newest last.

    `likeness` are the sums of ν over sampled texts of the same units; none where the reference knows no topics.
    """

    units: Sequence[Sketch]
    unit: timedelta
    wealth: tuple[float, ...] = ()
    likeness: Sequence[Sketch] = ()


@dataclass(frozen=True)
class Scanned:
    """What one of the two scans found."""

    look: Look
    threshold: float

    @property
    def excess(self) -> float:
        """By how much the strongest window lies above the threshold."""
        return self.look.strongest.score - self.threshold

    @property
    def alarms(self) -> bool:
        """Whether it does."""
        return self.excess > 0


def decide(blank: LookRow, reference: Reference, seen: Seen) -> LookRow:
    """`blank` with everything that the units say, at its time. The verdict is one of

    drift, no-drift: some window of one of the two scans, or none, lies above its threshold; no-data: the newest unit has no
    texts; not-enough-data: no window has as many texts as it needs.
    """
    known = replace(
        blank,
        threshold=reference.threshold,
        wealth=seen.wealth,
        likeness_n=tuple(unit.count for unit in seen.likeness),
        likeness_sums=tuple(float(unit.total.sum()) for unit in seen.likeness),
    )
    if not seen.units or not seen.units[-1].count:
        return replace(known, verdict="no-data", reason=f"no texts arrived within the last {format_duration(seen.unit)}")
    through = reference.lens.through_all(seen.units)
    wealth = bet(seen.wealth, reference.moments, reference.seen, through[:-1], through[-1])
    found = look(reference.moments, reference.seen, through, reference.scan)
    if found is None:
        texts = sum(unit.count for unit in seen.units)
        reason = f"{texts} texts since the reference; a window needs {reference.scan.min_window} (analysis.drift.min_window)"
        return replace(known, verdict="not-enough-data", reason=reason, wealth=tuple(wealth))
    return _judged(replace(known, wealth=tuple(wealth)), reference, seen, Scanned(found, reference.threshold))


def _judged(known: LookRow, reference: Reference, seen: Seen, means: Scanned) -> LookRow:
    novelty = _novelty(reference, seen)
    # The scan that is surer of an alarm says which window and since when.
    decisive = novelty if novelty is not None and novelty.excess > max(0.0, means.excess) else means
    units, alarm = decisive.look.strongest.units, decisive.alarms
    window = merged([unit for unit in seen.units[-units:] if unit.count])
    distance = distance_of(window, reference)
    reason = _reason(means, seen.unit, f" that holds for {reference.scan.looks} looks")
    if novelty is not None:
        quiet = f"novelty scores {novelty.look.strongest.score:.1f}, within {novelty.threshold:.1f}"
        reason += f"; for novelty {_reason(novelty, seen.unit)}" if novelty.alarms else f"; {quiet}"
    return replace(
        known,
        verdict="drift" if alarm else "no-drift",
        reason=reason,
        window_n=window.count,
        window_units=units,
        effect=distance.value,
        effect_low=distance.low,
        effect_high=distance.high,
        score=means.look.strongest.score,
        alarm=int(alarm),
        second_opinion=opinion(known.wealth, reference.scan.looks, reference.alpha),
        onset=known.time - decisive.look.onset_units * seen.unit if alarm else None,
        windows=json.dumps([{"units": one.units, "n": one.count, "score": one.score} for one in means.look.windows]),
        novelty=json.dumps(_told(reference, seen, novelty, decisive=decisive is novelty)),
    )


def _novelty(reference: Reference, seen: Seen) -> Scanned | None:
    """The scan of ν; None where the reference knows no topics or no window has enough sampled texts."""
    if reference.novelty is None or not any(unit.count for unit in seen.likeness):
        return None
    own = reference.novelty.reference
    found = look(own.moments, own.seen, own.lens.through_all(seen.likeness), own.scan)
    return None if found is None else Scanned(found, own.threshold)


def _reason(scanned: Scanned, unit: timedelta, holds: str = "") -> str:
    strongest = scanned.look.strongest
    side = "above" if scanned.alarms else "within"
    length = format_duration(strongest.units * unit)
    return f"the last {length} score {strongest.score:.1f}, {side} the threshold {scanned.threshold:.1f}{holds}"


def _told(reference: Reference, seen: Seen, scanned: Scanned | None, *, decisive: bool) -> dict[str, float | bool]:
    """For the row: the strongest window of the scan of ν, and the mean of ν there and in the reference."""
    if scanned is None or reference.novelty is None:
        return {}
    strongest = scanned.look.strongest
    window = merged([unit for unit in seen.likeness[-strongest.units :] if unit.count])
    return {
        "score": strongest.score,
        "threshold": scanned.threshold,
        "decisive": decisive,
        "units": strongest.units,
        "n": strongest.count,
        "likeness": float(window.mean[0]),
        "likeness_then": float(reference.novelty.reference.sketch.mean[0]),
    }


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
