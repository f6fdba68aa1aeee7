"""Metrics over time, from spans. What one observation is, per metric, stands in schemas/metrics.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas.metrics import Metric, find_metric
from schemas.settings import QuerySettings
from storage.arms import ArmData, ArmQuery, Block, read_arm
from storage.clickhouse import ClickHouseStore
from storage.dimensions import alias, check_dimensions, filter_parameters, requests, responses, single_spans
from storage.readings import READINGS, Reading
from storage.scope import DEFAULT_BOUNDS, Axis, ProjectReader, QueryError, Range, epoch_ms, from_epoch_ms

__all__ = ["ArmData", "ArmQuery", "Block", "MetricQuery", "Point", "Series", "read_arm", "read_series"]


@dataclass(frozen=True)
class MetricQuery:
    """One metric of one project between `start` (included) and `end`.

    `step` None asks for one point over the whole range. `axis` says whether times are those of the events or of their
    arrival. A filter's empty value means: not given.
    """

    project: str
    metric: str
    start: datetime
    end: datetime
    step: timedelta | None = None
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    axis: Axis = "event"


@dataclass(frozen=True)
class Point:
    """A value over one step from `time` on, resting on `n` observations; None where there is none to tell it from."""

    time: datetime
    value: float | None
    n: int


@dataclass(frozen=True)
class Series:
    """The points of one combination of dimensions, in order and without gaps."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Steps:
    """The points of a range: `start` or, with a step, its multiples since 1970 (the first and the last may be partial)."""

    start_ms: int
    end_ms: int
    step_ms: int | None

    def times(self) -> list[int]:
        """When each point starts, in epoch milliseconds."""
        if self.step_ms is None:
            return [self.start_ms]
        return list(range(self.start_ms // self.step_ms * self.step_ms, self.end_ms, self.step_ms))


async def read_series(store: ClickHouseStore, query: MetricQuery, bounds: QuerySettings = DEFAULT_BOUNDS) -> list[Series]:
    """The series of a query, one for each combination of `group_by` found, in the order of its labels.

    Without `group_by` there is always exactly one.

    Raises:
        UnknownMetricError: no such metric.
        QueryError: a dimension, the range, the step or the size of the answer; the message names the bound and the fix.
        StoreError: the store refused, or a limit was reached.
    """
    metric = find_metric(query.metric)
    check_dimensions(metric, (*query.group_by, *query.filters))
    steps = _steps(query, bounds)
    reader = ProjectReader(store, query.project, bounds)
    parameters = {**filter_parameters(_filters(query)), "step": steps.step_ms or 1, "limit": bounds.max_rows + 1}
    rows = await reader.fetch(_statement(metric, query), Range(query.start, query.end, query.axis), parameters)
    return _series(rows, query, metric, steps, bounds)


def _steps(query: MetricQuery, bounds: QuerySettings) -> Steps:
    Range(query.start, query.end).check(bounds)
    start_ms, end_ms = epoch_ms(query.start), epoch_ms(query.end)
    if query.step is None:
        return Steps(start_ms, end_ms, None)
    step_ms = query.step // timedelta(milliseconds=1)
    if step_ms < 1000:
        raise QueryError("bad-step", "the step is shorter than a second: ask for 1s or more")
    if (end_ms - start_ms) / step_ms > bounds.max_rows:
        raise _too_many(f"{(end_ms - start_ms) // step_ms} points a series", bounds)
    return Steps(start_ms, end_ms, step_ms)


def _too_many(what: str, bounds: QuerySettings) -> QueryError:
    return QueryError(
        "too-many-points",
        f"{what}: an answer has at most {bounds.max_rows} points. Ask for a longer step, a shorter range, fewer groups or a "
        "filter, or raise query.max_rows",
    )


def _filters(query: MetricQuery) -> dict[str, str]:
    return {**query.filters, "release": ""} if query.metric == "spans.without_release" else dict(query.filters)


def _statement(metric: Metric, query: MetricQuery) -> str:
    reading = READINGS[metric.name]
    at = "toInt64(intDiv(toUnixTimestamp64Milli(at), {step:Int64}) * {step:Int64})" if query.step else "{start:Int64}"
    labels = [alias(name) for name in query.group_by]
    keys = ", ".join([*labels, "t"])
    chosen = ", ".join([*labels, f"{at} AS t", f"{reading.value} AS value", f"{reading.n} AS n"])
    observations = _observations(metric, query, reading)
    rest = f"GROUP BY {keys} ORDER BY {keys} LIMIT {{limit:UInt64}}"
    return f"SELECT {chosen} FROM ({observations}) {rest}"  # noqa: S608 - fixed text; values are bound


def _observations(metric: Metric, query: MetricQuery, reading: Reading) -> str:
    if metric.scope == "span":
        return single_spans(
            query.axis, reading.columns, query.group_by, _filters(query), once=metric.kind in ("quantile", "mean")
        )
    observed = requests if metric.scope == "request" else responses
    return observed(query.axis, reading.columns, query.group_by, _filters(query))


def _series(
    rows: list[dict[str, Any]], query: MetricQuery, metric: Metric, steps: Steps, bounds: QuerySettings
) -> list[Series]:
    found: dict[tuple[str, ...], dict[int, Point]] = {} if query.group_by else {(): {}}
    for row in rows:
        found.setdefault(tuple(row[alias(name)] for name in query.group_by), {})[row["t"]] = _point(row)
    times = steps.times()
    if max(len(rows), len(found) * len(times)) > bounds.max_rows:
        raise _too_many(f"{len(found)} or more series of {len(times)} points", bounds)
    nothing = 0.0 if metric.kind == "count" else None
    return [
        Series(
            dict(zip(query.group_by, labels, strict=True)),
            tuple(points.get(time) or Point(from_epoch_ms(time), nothing, 0) for time in times),
        )
        for labels, points in found.items()
    ]


def _point(row: Mapping[str, Any]) -> Point:
    value = row["value"]
    return Point(from_epoch_ms(row["t"]), None if value is None else float(value), row["n"])
