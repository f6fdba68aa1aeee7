"""Whether cost rises or falls over days: the Theil-Sen slope with its interval (Sen 1968)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

MIN_DAYS = 7
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trend:
    """Change a day, and between which bounds it lies; None with `reason` while there are too few days."""

    usd_per_day: float | None
    low_usd: float | None
    high_usd: float | None
    direction: Literal["up", "down", "none", "not_yet"]
    days: int
    reason: str


def find_trend(daily_usd: Sequence[float | None]) -> Trend:
    """The trend of the costs of successive whole days. A direction is stated when the interval leaves out 0.

    Days whose cost is not known (None) do not count.
    """
    known = [(day, usd) for day, usd in enumerate(daily_usd) if usd is not None]
    days = len(known)
    if days < MIN_DAYS:
        return Trend(None, None, None, "not_yet", days, f"{days} whole days: a trend needs {MIN_DAYS}")
    numbers, costs = np.array(known).T
    slope, _, low, high = (float(value) for value in stats.theilslopes(costs, numbers, alpha=CONFIDENCE))
    direction: Literal["up", "down", "none"] = "up" if low > 0 else "down" if high < 0 else "none"
    said = {"up": "rises", "down": "falls", "none": "has no clear direction"}[direction]
    return Trend(slope, low, high, direction, days, f"daily cost {said} over {days} days (Theil-Sen, 95 %)")
