"""A monthly budget: what is spent, and where the month will end.

The rest of the month is expected to cost what the same hours of the week cost in the history (of the day, with under two
weeks), scaled by nothing. How far off that may be shows in the days of the history: with d the daily totals less their
expectation, σ their standard deviation, n whole days of history and D days to come,

    σ_end² = σ² · D · w² + σ² · w² · D² / n,   w² = (1 + ρ)/(1 - ρ),

the noise of the days to come and the error of the level that was measured, both widened by the correlation ρ of neighbouring
days. The interval is expected ± t · σ_end with n - 1 degrees of freedom, never below what is spent already.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from scipy import stats

from analyzers.cost.seasons import DAY_HOURS, HOUR, MIN_DAYS, Basis, Hour, Season, by_season, season_of, since_first_cost

CONFIDENCE = 0.9

Verdict = Literal["exceeded", "will_exceed", "may_exceed", "within", "not_yet"]


@dataclass(frozen=True)
class MonthEnd:
    """What the month will have cost, with the interval that holds it in nine of ten months like these."""

    expected_usd: float
    low_usd: float
    high_usd: float


@dataclass(frozen=True)
class BudgetState:
    """A budget now; `month_end` None: too little data, as `reason` says."""

    start: datetime
    end: datetime
    spent_usd: float
    month_end: MonthEnd | None
    basis: Basis
    verdict: Verdict
    reason: str


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """The calendar month of a time, in UTC: its start and its end."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, (start + timedelta(days=32)).replace(day=1)


def judge_budget(usd_per_month: float, history: Sequence[Hour], spent_usd: float, now: datetime) -> BudgetState:
    """How a budget stands.

    Args:
        history: whole hours up to the last full one, also those of the month itself, without those whose cost is not
            known; those before the first that cost anything do not count.
        spent_usd: of the month until now.
        now: in UTC.
    """
    start, end = month_of(now)
    known = since_first_cost(history)
    season = season_of(known)
    found = _month_end(known, season, spent_usd, now, end) if season.period else None
    verdict = _verdict(usd_per_month, spent_usd, found)
    return BudgetState(start, end, spent_usd, found, season.basis, verdict, _reason(verdict, season, known, usd_per_month))


def _month_end(history: Sequence[Hour], season: Season, spent_usd: float, now: datetime, end: datetime) -> MonthEnd:
    usual = {index: statistics.fmean(costs) for index, costs in by_season(history, season).items()}
    expected = spent_usd + _ahead(usual, season, now, end)
    days = _day_rests(history, season, usual)
    spread = _spread(days, max(0.0, (end - now) / timedelta(days=1)))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(days) - 1)) * spread
    return MonthEnd(expected, max(spent_usd, expected - reach), expected + reach)


def _ahead(usual: dict[int, float], season: Season, now: datetime, end: datetime) -> float:
    """What the hours to come cost as usual; of the one that runs, the rest."""
    running = now.replace(minute=0, second=0, microsecond=0)
    count = max(0, -((running - end) // HOUR))
    costs = [usual[season.of(running + index * HOUR)] for index in range(count)]
    passed = (now - running) / HOUR
    return math.fsum(costs) - (passed * costs[0] if costs else 0.0)


def _day_rests(history: Sequence[Hour], season: Season, usual: dict[int, float]) -> list[float]:
    """Of each block of 24 hours, counted back from the end: what it cost less what such hours cost."""
    rests = [hour.cost_usd - usual[season.of(hour.start)] for hour in history]
    whole = len(rests) // DAY_HOURS * DAY_HOURS
    tail = rests[len(rests) - whole :]
    return [math.fsum(tail[index : index + DAY_HOURS]) for index in range(0, whole, DAY_HOURS)]


def _spread(days: Sequence[float], ahead: float) -> float:
    """σ_end. The means took a degree of freedom for each seventh of a week, hence the division by less than n."""
    n = len(days)
    free = max(1, n - (7 if n >= 14 else 1))
    variance = math.fsum(day * day for day in days) / free
    correlation = _correlation(days)
    width = (1 + correlation) / (1 - correlation)
    return math.sqrt(variance * width * (ahead + ahead * ahead / n))


def _correlation(days: Sequence[float]) -> float:
    total = math.fsum(day * day for day in days)
    together = math.fsum(one * other for one, other in pairwise(days))
    return min(0.6, max(0.0, together / total)) if total else 0.0


def _verdict(budget_usd: float, spent_usd: float, found: MonthEnd | None) -> Verdict:
    if spent_usd > budget_usd:
        return "exceeded"
    if found is None:
        return "not_yet"
    if found.low_usd > budget_usd:
        return "will_exceed"
    return "may_exceed" if found.high_usd > budget_usd else "within"


_SAYS = {
    "exceeded": "more is spent than the month's budget",
    "will_exceed": "the whole interval of the month-end estimate lies above the budget",
    "may_exceed": "the interval of the month-end estimate reaches above the budget",
    "within": "the whole interval of the month-end estimate lies within the budget",
    "not_yet": "no estimate yet",
}


def _reason(verdict: Verdict, season: Season, history: Sequence[Hour], budget_usd: float) -> str:
    days = len(history) / DAY_HOURS
    said = f"{_SAYS[verdict]} of ${budget_usd:,.2f}" if verdict != "not_yet" else _SAYS[verdict]
    if season.basis == "none":
        return f"{said}: there is cost since {days:.1f} days, and an estimate needs {MIN_DAYS}"
    if season.basis == "hour-of-day":
        return f"{said}, from {days:.0f} days by hour of day: weekends count as days like others until there are two weeks"
    return f"{said}, from {days:.0f} days by hour of week"
