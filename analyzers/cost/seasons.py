"""What an hour usually costs: the same hour of the week before, or of the day while there are fewer than two weeks."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

HOUR = timedelta(hours=1)
DAY_HOURS = 24
WEEK_HOURS = 168
MIN_DAYS = 4
"""Days of history below which nothing is said."""

Basis = Literal["hour-of-week", "hour-of-day", "none"]


@dataclass(frozen=True)
class Hour:
    """What one whole hour cost, in UTC; an hour without requests cost 0. Hours whose cost is not known are left out."""

    start: datetime
    cost_usd: float


@dataclass(frozen=True)
class Season:
    """The period after which hours resemble each other."""

    basis: Basis
    period: int

    def of(self, start: datetime) -> int:
        """Which hour of the period it is."""
        if self.basis == "hour-of-week":
            return start.weekday() * DAY_HOURS + start.hour
        return start.hour


_SEASONS = ((Season("hour-of-week", WEEK_HOURS), 2), (Season("hour-of-day", DAY_HOURS), MIN_DAYS))
"""The periods, and how often a history must hold each of their hours."""


def season_of(hours: Sequence[Hour]) -> Season:
    """The period that a history is long enough for: two weeks or four days without gaps; `none` for less."""
    for season, least in _SEASONS:
        times = Counter(season.of(hour.start) for hour in hours)
        if len(times) == season.period and min(times.values()) >= least:
            return season
    return Season("none", 0)


def complete_hours(points: Iterable[tuple[datetime, float | None]], start: datetime, end: datetime) -> list[Hour]:
    """Whole hours between two times. Those without a point cost 0, and those whose cost is not known (None) are left out."""
    found = dict(points)
    first = start.replace(minute=0, second=0, microsecond=0)
    first += HOUR if first < start else timedelta(0)
    times = (first + index * HOUR for index in range(max(0, (end - first) // HOUR)))
    costs = ((time, found.get(time, 0.0)) for time in times)
    return [Hour(time, cost) for time, cost in costs if cost is not None and math.isfinite(cost)]


def since_first_cost(hours: Sequence[Hour]) -> Sequence[Hour]:
    """Without the hours before anything cost: the application did not run yet."""
    first = next((index for index, hour in enumerate(hours) if hour.cost_usd > 0), len(hours))
    return hours[first:]


def by_season(hours: Iterable[Hour], season: Season) -> Mapping[int, list[float]]:
    """The costs of a history by hour of the period."""
    found: dict[int, list[float]] = {}
    for hour in hours:
        found.setdefault(season.of(hour.start), []).append(hour.cost_usd)
    return found


def median_deviation(values: Sequence[float], center: float) -> float:
    """1.4826 times the median absolute deviation: the standard deviation, where the values are normal."""
    return 1.4826 * statistics.median(abs(value - center) for value in values)
