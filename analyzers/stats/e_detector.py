"""A second opinion on drift that needs no simulation: an e-detector (Shin, Ramdas & Rinaldo 2024, "E-detectors").

Unit after unit it bets on the direction u in which the stream departed before, with the increment

    x_t = ⟨u, A(μ̂_t - μ̂_ref)⟩,      L_t(λ) = exp(λ(x_t - e) - λ²v_t/2),

where v_t bounds the variance of x_t in any direction and e the length of the reference's own error (at 95 %). Without drift
E[L_t | past] ≤ 1, whatever the dependence on the past, so for M_t = (M_{t-1} + 1)·L_t the process M_t - t is a
supermartingale: P(M_t ≥ m/α within m looks) ≤ α. M is averaged over a few λ. Slow, but valid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzers.stats.drift_null import Moments
from analyzers.stats.mean_embedding import Sketch, merged

Floats = NDArray[np.float64]

STAKES = (0.125, 0.25, 0.5, 1.0, 2.0)
MEMORY = 7
_LARGEST = 1e100


def bet(wealth: Sequence[float], moments: Moments, reference: Sketch, before: Sequence[Sketch], unit: Sketch) -> list[float]:
    """M after `unit`, one for each stake; `before` are the units ahead of it. All are seen through the lens.

    `wealth` is empty at the start. A unit without texts changes nothing, one without any before it is not bet on.
    """
    held = list(wealth) or [0.0] * len(STAKES)
    past = [one for one in before[-MEMORY:] if one.count]
    if not unit.count or not past:
        return held
    direction = merged(past).mean - reference.mean
    length = float(np.linalg.norm(direction))
    if length == 0.0:
        return held
    gain = float(direction @ (unit.mean - reference.mean)) / length - reference_error(moments)
    variance = _variance(moments, unit.n)
    return [min(_LARGEST, (each + 1) * _factor(stake, gain, variance)) for each, stake in zip(held, STAKES, strict=True)]


def opinion(wealth: Sequence[float], looks: int, alpha: float) -> float:
    """M over its threshold looks/α: an alarm from 1 on."""
    return float(np.mean(wealth)) * alpha / looks if wealth else 0.0


def reference_error(moments: Moments) -> float:
    """A length that the error of the reference's mean exceeds with probability 5 % at most."""
    weights = moments.own_weights
    trace = float(weights @ moments.traces)
    return math.sqrt(trace + 2.4 * math.sqrt(2 * float(weights @ moments.products @ weights)))


def _variance(moments: Moments, n: float) -> float:
    return moments.largest / n + float(moments.traces[1] + moments.traces[2])


def _factor(stake: float, gain: float, variance: float) -> float:
    rate = stake / math.sqrt(variance)
    return math.exp(min(200.0, rate * gain - rate**2 * variance / 2))
