"""GET /v1/metrics: the catalogue, and metrics over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from api.reading import Parts, Reader, range_of
from schemas.api.metrics import MetricAnswer, MetricCatalogue, MetricEntry, SeriesAnswer
from schemas.api.queries import MetricParameters
from schemas.duration import format_duration
from schemas.metrics import Metric, find_metric
from schemas.metrics import catalogue as all_metrics
from schemas.score_metrics import evaluation_metrics
from storage.evaluation_names import read_evaluation_names
from storage.metrics import MetricQuery, Series, read_series
from storage.scope import Range, epoch_ms

router = APIRouter(tags=["metrics"])

RECENT = timedelta(days=7)


@router.get("/v1/metrics")
async def catalogue(reader: Reader, parts: Parts) -> MetricCatalogue:
    """Every metric with its unit, meaning and dimensions; last those of evaluations reported in the last seven days."""
    now = parts.clock()
    evaluations = await read_evaluation_names(reader, Range(now - RECENT, now, "arrival"))
    reported = (metric for name in evaluations for metric in evaluation_metrics(name))
    return MetricCatalogue(metrics=[_entry(metric) for metric in (*all_metrics(), *reported)])


@router.get("/v1/metrics/{name}")
async def series(reader: Reader, parts: Parts, name: str, asked: Annotated[MetricParameters, Query()]) -> MetricAnswer:
    """One metric over time. Steps start at multiples of the step since 1970; a step without data is null, counts are 0."""
    metric = find_metric(name)
    span = range_of(asked, parts)
    group_by = tuple(dict.fromkeys(asked.group_by))
    query = MetricQuery(reader.project, name, span.start, span.end, asked.step, group_by, asked.filters())
    found = await read_series(reader.store, query, reader.bounds)
    return MetricAnswer(
        metric=name,
        unit=metric.unit,
        start=span.start,
        end=span.end,
        step=None if asked.step is None else format_duration(asked.step),
        series=[_shown(one) for one in found],
    )


def _entry(metric: Metric) -> MetricEntry:
    return MetricEntry(
        name=metric.name,
        unit=metric.unit,
        description=metric.description,
        kind=metric.kind,
        scope=metric.scope,
        worse=metric.worse,
        comparable=metric.comparable,
        dimensions=list(metric.dimensions),
    )


def _shown(series: Series) -> SeriesAnswer:
    return SeriesAnswer(labels=dict(series.labels), points=[(epoch_ms(point.time), point.value) for point in series.points])
