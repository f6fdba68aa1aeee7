"""Metrics over time, from spans and scores. What one observation is, per metric, stands in schemas/metrics.py."""

from __future__ import annotations

from schemas.metrics import LookMetric, Metric, ScoreMetric, find_metric
from schemas.settings import QuerySettings
from storage.arms import ArmData, ArmQuery, Block, read_arm
from storage.clickhouse import ClickHouseStore
from storage.dimensions import alias, check_dimensions, filter_parameters, requests, responses, single_spans
from storage.readings import READINGS, Reading
from storage.scope import DEFAULT_BOUNDS, ProjectReader, Range
from storage.score_series import read_looks, read_scores
from storage.series import MetricQuery, Point, Series, Steps, gathered, steps_of

__all__ = ["ArmData", "ArmQuery", "Block", "MetricQuery", "Point", "Series", "read_arm", "read_series"]


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
    steps = steps_of(query, bounds)
    reader = ProjectReader(store, query.project, bounds)
    if isinstance(metric, ScoreMetric):
        return await read_scores(reader, metric, query, steps)
    if isinstance(metric, LookMetric):
        return await read_looks(reader, metric, query, steps)
    parameters = {**filter_parameters(_filters(query)), "step": steps.step_ms or 1, "limit": bounds.max_rows + 1}
    rows = await reader.fetch(_statement(metric, query, steps), Range(query.start, query.end, query.axis), parameters)
    labels = {name: alias(name) for name in query.group_by}
    nothing = 0.0 if metric.kind == "count" else None
    return gathered(rows, labels, steps, bounds, nothing=nothing, always=() if labels else [()])


def _filters(query: MetricQuery) -> dict[str, str]:
    return {**query.filters, "release": ""} if query.metric == "spans.without_release" else dict(query.filters)


def _statement(metric: Metric, query: MetricQuery, steps: Steps) -> str:
    reading = READINGS[metric.name]
    labels = [alias(name) for name in query.group_by]
    keys = ", ".join([*labels, "t"])
    chosen = ", ".join([*labels, f"{steps.grid('at')} AS t", f"{reading.value} AS value", f"{reading.n} AS n"])
    observations = _observations(metric, query, reading)
    rest = f"GROUP BY {keys} ORDER BY {keys} LIMIT {{limit:UInt64}}"
    return f"SELECT {chosen} FROM ({observations}) {rest}"


def _observations(metric: Metric, query: MetricQuery, reading: Reading) -> str:
    if metric.scope == "span":
        return single_spans(
            query.axis, reading.columns, query.group_by, _filters(query), once=metric.kind in ("quantile", "mean")
        )
    observed = requests if metric.scope == "request" else responses
    return observed(query.axis, reading.columns, query.group_by, _filters(query))
