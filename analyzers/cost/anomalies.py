"""Hours that cost more or less than their like, and steps after which everything does.

An hour is compared with the same hour of the week in the history (of the day, with under two weeks): on the log scale, since
traffic varies in proportion,

    z = (x - median of its like) / (s √(1 + π/2k)),   x = log(cost + c),

k hours of its like, and s = 1.4826 · MAD of what the hours of the history differ from their own medians: all of them, which
are far more numbers than the k of one hour. s is widened by √(k/(k-1)), because those medians follow them, and is at least
`MIN_SPREAD`. The root is the error of a median beside that of the hour itself. From |z| = `THRESHOLD` on an hour is an
anomaly. c is a hundredth of the usual cost, so that hours without traffic stay finite.

A step is found by a two-sided CUSUM (Page 1954) over z, each cut at ±`CLIP` so that one hour is no step:

    S ← max(0, S ± z/w - 1/2),   alarm above h.

Neighbouring hours resemble each other: w² = (1 + ρ)/(1 - ρ) with the correlation ρ of neighbours in the history. h is
Siegmund's (1985): the mean time to a false alarm of one side is 2 (e^b - b - 1) with b = h + 1.166, and h is chosen so that
both sides together alarm with probability `FALSE_STEPS` in 28 days. The onset is the hour after the sum was last 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from analyzers.cost.seasons import HOUR, WEEK_HOURS, Basis, Hour, Season, by_season, median_deviation, season_of

THRESHOLD = 6.0
MIN_SPREAD = 0.05
CLIP = 3.0
ALLOWANCE = 0.5
FALSE_STEPS = 0.05
STEP_HORIZON_HOURS = 4 * WEEK_HOURS


@dataclass(frozen=True)
class Anomaly:
    """An hour that stands out. `expected_usd` is the median of its like."""

    start: datetime
    cost_usd: float
    expected_usd: float
    z: float


@dataclass(frozen=True)
class Step:
    """Costs that changed and stayed: from `onset` on, known at `detected`; `ratio` is the mean change since the onset."""

    onset: datetime
    detected: datetime
    ratio: float


@dataclass(frozen=True)
class Anomalies:
    """What stands out in a range, against a history of `history_hours`; `basis` none: nothing can be said, for `reason`."""

    basis: Basis
    history_hours: int
    anomalies: tuple[Anomaly, ...]
    steps: tuple[Step, ...]
    reason: str


@dataclass(frozen=True)
class _Usual:
    """Of each hour of the season, on the log scale: the median and how many it rests on; the spread of all; the floor c."""

    season: Season
    medians: Mapping[int, tuple[float, int]]
    spread: float
    correlation: float
    floor_usd: float

    def z(self, hour: Hour) -> float:
        median, count = self.medians[self.season.of(hour.start)]
        return (self.log(hour.cost_usd) - median) / (self.spread * math.sqrt(1 + math.pi / 2 / count))

    def log(self, cost_usd: float) -> float:
        return math.log(cost_usd + self.floor_usd)

    def expected_usd(self, hour: Hour) -> float:
        return max(0.0, math.exp(self.medians[self.season.of(hour.start)][0]) - self.floor_usd)


def find_anomalies(history: Sequence[Hour], looked_at: Sequence[Hour]) -> Anomalies:
    """The hours and steps of `looked_at` that stand out against the whole hours before it."""
    season = season_of(history)
    usual = _usual(history, season) if season.period else None
    if usual is None:
        costs = "no hour of the history cost anything" if season.period else f"{len(history)} hours of history"
        return Anomalies(
            "none", len(history), (), (), f"{costs}: four days with cost are needed, two weeks for hours of the week"
        )
    scores = [(hour, usual.z(hour)) for hour in looked_at]
    found = tuple(Anomaly(hour.start, hour.cost_usd, usual.expected_usd(hour), z) for hour, z in scores if abs(z) >= THRESHOLD)
    steps = tuple(_steps(scores, usual))
    return Anomalies(season.basis, len(history), found, steps, _reason(season, len(history), len(found), len(steps)))


def _reason(season: Season, hours: int, found: int, steps: int) -> str:
    return f"{found} hours and {steps} steps stand out against the {season.basis.replace('-', ' ')} in {hours / 24:.0f} days"


def _usual(history: Sequence[Hour], season: Season) -> _Usual | None:
    paid = [hour.cost_usd for hour in history if hour.cost_usd > 0]
    if not paid:
        return None
    floor_usd = statistics.median(paid) / 100
    logs = {index: [math.log(cost + floor_usd) for cost in costs] for index, costs in by_season(history, season).items()}
    medians = {index: (statistics.median(values), len(values)) for index, values in logs.items()}
    rest = [math.log(hour.cost_usd + floor_usd) - medians[season.of(hour.start)][0] for hour in history]
    fewest = min(count for _, count in medians.values())
    spread = median_deviation(rest, 0.0) * math.sqrt(fewest / (fewest - 1))
    return _Usual(season, medians, max(MIN_SPREAD, spread), _correlation(rest), floor_usd)


def _correlation(rest: Sequence[float]) -> float:
    """Of neighbours, between 0 and 0.9; each cut at three spreads, so that an outlier does not decide."""
    edge = 3 * max(MIN_SPREAD, median_deviation(rest, 0.0))
    cut = [min(edge, max(-edge, value)) for value in rest]
    mean = statistics.fmean(cut)
    variance = math.fsum((value - mean) ** 2 for value in cut)
    together = math.fsum((one - mean) * (other - mean) for one, other in pairwise(cut))
    return min(0.9, max(0.0, together / variance)) if variance else 0.0


def _steps(scores: Sequence[tuple[Hour, float]], usual: _Usual) -> Iterator[Step]:
    """The first step of each direction; after it the level is another, and the history no longer its measure."""
    width = math.sqrt((1 + usual.correlation) / (1 - usual.correlation))
    limit = step_limit(FALSE_STEPS, STEP_HORIZON_HOURS)
    for sign in (1, -1):
        total, onset = 0.0, 0
        for index, (_, z) in enumerate(scores):
            if total == 0.0:
                onset = index
            total = max(0.0, total + sign * min(CLIP, max(-CLIP, z)) / width - ALLOWANCE)
            if total > limit:
                yield _step(scores[onset : index + 1], scores[onset:], usual)
                break


def _step(until_alarm: Sequence[tuple[Hour, float]], since: Sequence[tuple[Hour, float]], usual: _Usual) -> Step:
    changes = [usual.log(hour.cost_usd) - usual.medians[usual.season.of(hour.start)][0] for hour, _ in since]
    detected = until_alarm[-1][0].start + HOUR
    return Step(until_alarm[0][0].start, detected, math.exp(statistics.median(changes)))


def step_limit(probability: float, horizon: int) -> float:
    """h for the probability of a false alarm of either side within `horizon` hours (Siegmund 1985, at allowance 1/2)."""
    wanted = 2 * horizon / -math.log1p(-probability)
    b = math.log(wanted / 2)
    for _ in range(50):  # a fixed point: b = log(wanted/2 + b + 1), which contracts
        b = math.log(wanted / 2 + b + 1)
    return b - 1.166
