"""GET /v1/compare: one release of a target against another."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from alerting.regression import SETTLE, ComparisonQuery, ReleaseComparison, Stretch, compare_releases
from api.problem import Problem
from api.reading import Parts, Reader, range_of
from api.services import Services
from api.stretches import Step, stretches_of
from schemas.api.metrics import ComparisonAnswer, Counts, Window, Windows
from schemas.api.queries import CompareParameters
from schemas.metrics import find_comparable
from storage.metrics import MetricQuery, Series, read_series
from storage.scope import ProjectReader, Range

router = APIRouter(tags=["metrics"])

# What a difference must exceed to matter, and the share of equal releases that may be called different.
MARGIN = 0.1
RATE_MARGIN = 0.02
ALPHA = 0.05

STEPS = 48


@router.get("/v1/compare")
async def compare(reader: Reader, parts: Parts, asked: Annotated[CompareParameters, Query()]) -> ComparisonAnswer:
    """Effect, interval and verdict, valid however often one asks.

    Releases that ran side by side are compared over the time both ran; others each over its own time, with an allowance
    for how much the baseline itself varied.
    """
    if asked.baseline == asked.candidate:
        detail = "`baseline` and `candidate` are the same release: name two."
        raise Problem(400, "There is nothing to compare", detail, type="same-release")
    span = await _range(asked, parts)
    return _shown(await compare_releases(reader.store, await _query(reader, asked, span)))


async def _range(asked: CompareParameters, parts: Services) -> Range:
    """Up to the watermark, unless `to` is given: later requests may still lack some of their spans."""
    watermark = await parts.watermark()
    if asked.end is None and watermark is not None:
        asked = asked.model_copy(update={"end": min(watermark, parts.clock()) - SETTLE})
    return range_of(asked, parts)


async def _query(reader: ProjectReader, asked: CompareParameters, span: Range) -> ComparisonQuery:
    metric = find_comparable(asked.metric)
    step = max((span.end - span.start) / STEPS, timedelta(seconds=1))
    filters = {"target": asked.target}
    counts = MetricQuery(reader.project, "requests.count", span.start, span.end, step, ("release",), filters)
    found = stretches_of(_steps(await read_series(reader.store, counts, reader.bounds), asked, span, step))
    return ComparisonQuery(
        project=reader.project,
        metric=asked.metric,
        target=asked.target,
        candidate=asked.candidate,
        baseline=asked.baseline,
        candidate_window=found.candidate,
        baseline_window=found.baseline,
        concurrent=found.concurrent,
        margin=MARGIN if metric.scale == "log" else RATE_MARGIN,
        alpha=ALPHA,
        axis="event",
        filters={} if asked.scorer is None else {"scorer": asked.scorer},
    )


def _steps(found: list[Series], asked: CompareParameters, span: Range, step: timedelta) -> list[Step]:
    """Requests of both releases by step; a single one over the whole range where there are none."""
    points = {series.labels["release"]: {point.time: point.n for point in series.points} for series in found}
    times = sorted({time for of_release in points.values() for time in of_release})
    steps = [
        Step(
            start=max(time, span.start),
            end=min(time + step, span.end),
            baseline=points.get(asked.baseline, {}).get(time, 0),
            candidate=points.get(asked.candidate, {}).get(time, 0),
        )
        for time in times
    ]
    return steps or [Step(span.start, span.end, 0, 0)]


def _shown(found: ReleaseComparison) -> ComparisonAnswer:
    query = found.query
    known = found.interval_low is not None or found.interval_high is not None
    return ComparisonAnswer(
        metric=query.metric,
        unit=found.unit,
        target=query.target,
        baseline=query.baseline,
        candidate=query.candidate,
        effect=found.effect,
        interval=(found.interval_low, found.interval_high) if known else None,
        confidence=found.confidence,
        n=Counts(baseline=found.n_baseline, candidate=found.n_candidate),
        missing=Counts(baseline=found.missing_baseline, candidate=found.missing_candidate),
        verdict=found.verdict,
        reason=found.reason,
        allowed=found.allowed,
        minimum_detectable_effect=found.minimum_detectable_effect,
        concurrent=query.concurrent,
        windows=Windows(baseline=_window(query.baseline_window), candidate=_window(query.candidate_window)),
        example_traces=list(found.examples),
        scorer=found.scorer or None,
    )


def _window(stretch: Stretch) -> Window:
    return Window(start=stretch.start, end=stretch.end)
