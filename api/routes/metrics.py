"""GET /v1/metrics: the catalogue, and metrics over time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.reading import Parts, Reader, Reading, range_of
from schemas.api.metrics import MetricAnswer, MetricCatalogue, MetricEntry, SeriesAnswer
from schemas.api.queries import MetricParameters
from schemas.duration import format_duration
from schemas.metrics import Metric, find_metric
from schemas.metrics import catalogue as all_metrics
from storage.metrics import MetricQuery, Series, read_series
from storage.scope import epoch_ms

router = APIRouter(tags=["metrics"])


@router.get("/v1/metrics")
async def catalogue(_: Reading) -> MetricCatalogue:
    """Every metric with its unit, meaning and dimensions."""
    return MetricCatalogue(metrics=[_entry(metric) for metric in all_metrics()])


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
