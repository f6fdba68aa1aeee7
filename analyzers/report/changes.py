"""How much something changed between two ranges, and whether that is more than it changed before by itself.

The unit is a stretch (a day, mostly) beside the same stretch weeks earlier, not a request: requests of one day resemble
each other, so an interval from their number alone would be far too short (docs/statistics.md). Weekdays cancel in a pair.
The yardstick are the pairs of the two ranges before: a step in the middle of this range must not widen its own interval.
Where there is no such history, the range's own pairs have to do. Sampling noise is the least that is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from analyzers.report.data import Change
from schemas.metrics import Metric

Pair = tuple[float | None, float | None]

FEWEST = 4
CONFIDENCE = 0.95
# Below these a change is not worth a headline, however certain it is.
MATERIAL_RELATIVE = 0.1
MATERIAL_POINTS = 0.01
LARGE_RELATIVE = 0.5
LARGE_POINTS = 0.05


@dataclass(frozen=True)
class Sides:
    """A figure of both ranges with its observations, and pairs of stretches: of both ranges, and of the two before."""

    before: float | None
    after: float | None
    n_before: int
    n_after: int
    pairs: Sequence[Pair] = ()
    history: Sequence[Pair] = ()


def change_of(metric: Metric, sides: Sides) -> Change | None:
    """The change of a figure, with its interval where four stretches or more tell how much it varies. None: unknown."""
    if sides.before is None or sides.after is None:
        return None
    if metric.kind == "rate" or metric.unit == "ratio":
        return _change("points", sides.after - sides.before, _variation(sides, _difference), _binomial(metric, sides))
    if sides.before <= 0:
        return None
    if sides.after <= 0:
        return Change(kind="relative", effect=sides.after / sides.before - 1)
    log = math.log(sides.after / sides.before)
    return _change("relative", log, _variation(sides, _log_ratio), _poisson(metric, sides))


def is_clear(change: Change | None, level: float) -> bool:
    """Whether a change stands out at `level`, and is large enough to matter."""
    return change is not None and change.p is not None and change.p <= level and is_material(change)


def is_large(change: Change | None, level: float) -> bool:
    """Whether a change by itself stands out at `level`, and would matter much: by half, or by five percentage points."""
    if change is None or change.p is None or change.p > level:
        return False
    return abs(change.effect) >= (LARGE_RELATIVE if change.kind == "relative" else LARGE_POINTS)


def is_material(change: Change) -> bool:
    """Whether a change would matter if it is real."""
    return abs(change.effect) >= (MATERIAL_RELATIVE if change.kind == "relative" else MATERIAL_POINTS)


def wilson(share: float, n: int) -> tuple[float, float] | None:
    """The 95 % interval of a share of `n` observations (Wilson 1927)."""
    if n <= 0 or not 0 <= share <= 1:
        return None
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _change(kind: Literal["relative", "points"], size: float, found: tuple[float, int] | None, sampling: float) -> Change:
    """`size` is a difference, or the logarithm of a ratio."""

    def shown(value: float) -> float:
        return value if kind == "points" else math.expm1(min(value, 700.0))

    if found is None:
        return Change(kind=kind, effect=shown(size))
    error, stretches = max(found[0], sampling), found[1]
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, stretches - 1)) * error
    p = float(2 * stats.t.sf(abs(size) / error, stretches - 1)) if error > 0 else float(size == 0)
    return Change(kind=kind, effect=shown(size), low=shown(size - half), high=shown(size + half), p=p, stretches=stretches)


def _variation(sides: Sides, between: Callable[[float, float], float | None]) -> tuple[float, int] | None:
    """Standard error of the mean over pairs, and their number: of history about zero, else of the pairs about their mean."""
    history, own = _between(sides.history, between), _between(sides.pairs, between)
    if len(history) >= FEWEST:
        return math.sqrt(sum(value * value for value in history)) / len(history), len(history)
    if len(own) < FEWEST:
        return None
    mean = sum(own) / len(own)
    return math.sqrt(sum((value - mean) ** 2 for value in own) / (len(own) - 1) / len(own)), len(own)


def _between(pairs: Sequence[Pair], between: Callable[[float, float], float | None]) -> list[float]:
    found = [between(before, after) for before, after in pairs if before is not None and after is not None]
    return [value for value in found if value is not None]


def _difference(before: float, after: float) -> float:
    return after - before


def _log_ratio(before: float, after: float) -> float | None:
    return math.log(after / before) if before > 0 and after > 0 else None


def _binomial(metric: Metric, sides: Sides) -> float:
    """Standard error of a difference of shares if observations were independent."""
    n, m = sides.n_before, sides.n_after
    if metric.kind != "rate" or not n or not m:
        return 0.0
    assert sides.before is not None
    assert sides.after is not None
    # Half an event more on either side (Agresti & Caffo 2000): no share is known to be exactly 0 or 1.
    pooled = (sides.before * n + sides.after * m + 1) / (n + m + 2)
    return math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))


def _poisson(metric: Metric, sides: Sides) -> float:
    """Standard error of the logarithm of a ratio of counts if observations were independent."""
    if metric.kind not in ("count", "sum") or not sides.n_before or not sides.n_after:
        return 0.0
    return math.sqrt(1 / sides.n_before + 1 / sides.n_after)
