"""Hours that cost more or less than their like, and steps after which everything does.

An hour is compared with the same hour of the week in the history (of the day, with under two weeks), on the log scale since
traffic varies in proportion:

    z = (x - median of its like) / s,   x = log(cost + c),   s = 1.4826 · MAD,

the median absolute deviation of what each hour of the history differs from the median of the *others* of its like: so s holds
the error of a median of few hours too. It is at least `MIN_SPREAD`. c is a hundredth of the usual cost, so that hours
without traffic stay finite. An hour is an anomaly when |z| reaches `TAIL` times the 99.5th percentile of the history's own |z|,
and at least `THRESHOLD`: traffic whose ordinary hours stray far gets a wide band.

A step is found by a two-sided CUSUM (Page 1954) over z, each cut at ±`CLIP` so that one hour is no step:

    S ← max(0, S ± z/w - 1/2),   alarm above h.

w is the long-run standard deviation of z in the history, from its sums over days, because neighbouring hours resemble each
other; it is widened by its own error, 1/√(2 days). h is Siegmund's (1985): the mean time to a false alarm of one side is
2 (e^b - b - 1) with b = h + 1.166, and h is chosen so that both sides together alarm with probability `FALSE_STEPS` in 28 days.
The onset is the hour after the sum was last 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from analyzers.cost.seasons import (
    DAY_HOURS,
    HOUR,
    WEEK_HOURS,
    Basis,
    Hour,
    Season,
    by_season,
    median_deviation,
    season_of,
    since_first_cost,
)

THRESHOLD = 5.0
TAIL = 2.2
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
    """Of each hour of the season the median on the log scale; the spread around it, how far z may stray, its long-run sd."""

    season: Season
    medians: Mapping[int, float]
    spread: float
    threshold: float
    width: float
    floor_usd: float

    def change(self, hour: Hour) -> float:
        """How far it is from its like, as a logarithm."""
        return math.log(hour.cost_usd + self.floor_usd) - self.medians[self.season.of(hour.start)]

    def expected_usd(self, hour: Hour) -> float:
        return max(0.0, math.exp(self.medians[self.season.of(hour.start)]) - self.floor_usd)


def find_anomalies(history: Sequence[Hour], looked_at: Sequence[Hour]) -> Anomalies:
    """The hours and steps of `looked_at` that stand out against the whole hours before it, from the first with cost on."""
    history = since_first_cost(history)
    season = season_of(history)
    usual = _usual(history, season) if season.period else None
    if usual is None:
        costs = "no hour of the history cost anything" if season.period else f"{len(history)} hours of history"
        return Anomalies(
            "none", len(history), (), (), f"{costs}: four days with cost are needed, two weeks for hours of the week"
        )
    scores = [(hour, usual.change(hour) / usual.spread) for hour in looked_at]
    found = tuple(
        Anomaly(hour.start, hour.cost_usd, usual.expected_usd(hour), z) for hour, z in scores if abs(z) >= usual.threshold
    )
    steps = tuple(_steps(scores, usual))
    return Anomalies(season.basis, len(history), found, steps, _reason(season, len(history), len(found), len(steps)))


def _reason(season: Season, hours: int, found: int, steps: int) -> str:
    what = f"{_counted(found, 'hour')} and {_counted(steps, 'step')}" if found or steps else "no hour and no step"
    stand = "stand" if found + steps > 1 else "stands"
    return f"{what} {stand} out against the same {season.basis.replace('-', ' ')} in {hours / 24:.0f} days before"


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count <= 1 else 's'}"


def _usual(history: Sequence[Hour], season: Season) -> _Usual | None:
    paid = [hour.cost_usd for hour in history if hour.cost_usd > 0]
    if not paid:
        return None
    floor_usd = statistics.median(paid) / 100
    logs = {index: [math.log(cost + floor_usd) for cost in costs] for index, costs in by_season(history, season).items()}
    rest = _left_out(history, season, logs)
    spread = max(MIN_SPREAD, median_deviation(rest, 0.0))
    scores = [value / spread for value in rest]
    threshold = max(THRESHOLD, TAIL * float(np.quantile(np.abs(scores), 0.995)))
    medians = {index: statistics.median(values) for index, values in logs.items()}
    return _Usual(season, medians, spread, threshold, _long_run_sd(scores), floor_usd)


def _left_out(history: Sequence[Hour], season: Season, logs: Mapping[int, list[float]]) -> list[float]:
    """What each hour of the history differs from the median of the others of its like."""
    turn = dict.fromkeys(logs, 0)
    found = []
    for hour in history:
        index = season.of(hour.start)
        values, own = logs[index], turn[index]
        found.append(values[own] - statistics.median(values[:own] + values[own + 1 :]))
        turn[index] += 1
    return found


def _long_run_sd(scores: Sequence[float]) -> float:
    """√(variance of the sums over a day / 24), each score cut at ±CLIP, widened by its error; at least 1."""
    cut = np.clip(scores, -CLIP, CLIP)
    days = len(cut) // DAY_HOURS
    sums = cut[len(cut) - days * DAY_HOURS :].reshape(days, DAY_HOURS).sum(axis=1)
    sd = math.sqrt(float(np.mean(sums**2)) / DAY_HOURS)
    return max(1.0, float(np.std(cut)), sd) * (1 + 1 / math.sqrt(2 * days))


def _steps(scores: Sequence[tuple[Hour, float]], usual: _Usual) -> Iterator[Step]:
    """The first step of each direction; after it the level is another, and the history no longer its measure."""
    limit = step_limit(FALSE_STEPS, STEP_HORIZON_HOURS)
    for sign in (1, -1):
        total, onset = 0.0, 0
        for index, (_, z) in enumerate(scores):
            if total == 0.0:
                onset = index
            total = max(0.0, total + sign * min(CLIP, max(-CLIP, z)) / usual.width - ALLOWANCE)
            if total > limit:
                yield _step(scores[onset : index + 1], scores[onset:], usual)
                break


def _step(until_alarm: Sequence[tuple[Hour, float]], since: Sequence[tuple[Hour, float]], usual: _Usual) -> Step:
    changes = [usual.change(hour) for hour, _ in since]
    detected = until_alarm[-1][0].start + HOUR
    return Step(until_alarm[0][0].start, detected, math.exp(statistics.median(changes)))


def step_limit(probability: float, horizon: int) -> float:
    """h for the probability of a false alarm of either side within `horizon` hours (Siegmund 1985, at allowance 1/2)."""
    wanted = 2 * horizon / -math.log1p(-probability)
    b = math.log(wanted / 2)
    for _ in range(50):  # a fixed point: b = log(wanted/2 + b + 1), which contracts
        b = math.log(wanted / 2 + b + 1)
    return b - 1.166
