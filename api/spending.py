"""Cost over time, as the routes of cost and budgets read it: where it is not known it is no zero."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.metrics import MetricQuery, Point, read_series
from storage.scope import ProjectReader, Range


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
