"""Cost over time, what stands out in it, and how a budget stands, for routes and reports alike: unknown cost is no zero."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from analyzers.cost.anomalies import Anomalies, find_anomalies
from analyzers.cost.budget import BudgetState, judge_budget, month_of
from analyzers.cost.seasons import HOUR, WEEK_HOURS, complete_hours
from storage.metrics import MetricQuery, Point, read_series
from storage.scope import ProjectReader, Range

ANOMALY_HISTORY = 8 * WEEK_HOURS * HOUR
BUDGET_HISTORY = 4 * WEEK_HOURS * HOUR


@dataclass(frozen=True)
class Spent:
    """The cost from `time` on: 0 where no model was paid, None where only responses without a price were (`unpriced`)."""

    time: datetime
    usd: float | None
    unpriced: int


async def read_points(
    reader: ProjectReader, metric: str, span: Range, step: timedelta | None, filters: Mapping[str, str]
) -> Sequence[Point]:
    """A metric in steps; without a step one point.

    Raises:
        QueryError: a dimension, the range or the step.
        StoreError: the store refused, or a limit was reached.
    """
    query = MetricQuery(reader.project, metric, span.start, span.end, step, (), filters)
    [series] = await read_series(reader.store, query, reader.bounds)
    return series.points


async def read_spent(reader: ProjectReader, span: Range, step: timedelta | None, filters: Mapping[str, str]) -> list[Spent]:
    """The cost in steps; without a step in one.

    Raises:
        As `read_points`.
    """
    costs, unpriced = await asyncio.gather(
        read_points(reader, "cost.usd", span, step, filters), read_points(reader, "cost.unpriced", span, step, filters)
    )
    return [_spent(cost, int(without.value or 0)) for cost, without in zip(costs, unpriced, strict=True)]


def _spent(cost: Point, unpriced: int) -> Spent:
    known = cost.value if cost.value is not None or unpriced else 0.0
    return Spent(cost.time, known, unpriced)


async def read_anomalies(reader: ProjectReader, span: Range, filters: Mapping[str, str], complete: datetime) -> Anomalies:
    """Whole hours of a range, up to the moment until which data is `complete`, that stand out against the weeks before it.

    An hour in which the whole project sent no span is not judged: it may be free, or nothing arrived.

    Raises:
        As `read_points`.
    """
    end = min(span.end, complete)
    room = timedelta(days=reader.bounds.max_range_days) - (span.end - span.start) - HOUR
    start = span.start - max(timedelta(0), min(ANOMALY_HISTORY, room))
    spent, received = await asyncio.gather(
        read_spent(reader, Range(start, span.end), HOUR, filters), read_points(reader, "spans.count", span, HOUR, {})
    )
    costs = [(hour.time, hour.usd) for hour in spent]
    whole = complete_hours(costs, span.start, max(end, span.start))
    boundary = whole[0].start if whole else span.start
    silent = {hour.time for hour in received if not hour.value}
    judged = [hour for hour in whole if hour.start not in silent]
    found = find_anomalies(complete_hours(costs, start, boundary), judged)
    return replace(found, reason=found.reason + _not_judged(len(whole) - len(judged)))


def _not_judged(hours: int) -> str:
    if not hours:
        return ""
    what = "1 hour without any span of the project is" if hours == 1 else f"{hours} hours without any span of the project are"
    return f"; {what} not judged"


async def read_budget(
    reader: ProjectReader, usd_per_month: float, filters: Mapping[str, str], now: datetime
) -> tuple[BudgetState, int]:
    """How a monthly budget stands, and responses of the month without a price; figures are those of the metrics.

    Raises:
        As `read_points`.
    """
    start, _ = month_of(now)
    begin = min(start, now - BUDGET_HISTORY)
    by_hour, spent = await asyncio.gather(
        read_spent(reader, Range(begin, now), HOUR, filters), _month_so_far(reader, start, now, filters)
    )
    hours = complete_hours(((hour.time, hour.usd) for hour in by_hour), begin, now)
    return judge_budget(usd_per_month, hours, spent.usd or 0.0, now), spent.unpriced


async def _month_so_far(reader: ProjectReader, start: datetime, now: datetime, filters: Mapping[str, str]) -> Spent:
    if now - start < timedelta(milliseconds=1):
        return Spent(start, 0.0, 0)
    [whole] = await read_spent(reader, Range(start, now), None, filters)
    return whole
