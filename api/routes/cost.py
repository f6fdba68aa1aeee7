"""GET /v1/cost: where the money goes, why it changed, what was wasted, what stands out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from analyzers.cost.anomalies import Anomalies
from analyzers.cost.decomposition import Change, Model, by_model, decompose
from analyzers.cost.seasons import HOUR
from analyzers.cost.spending import read_anomalies, read_points, read_spent
from analyzers.cost.trend import find_trend
from api.reading import Parts, Reader, range_of
from schemas.api.cost import (
    AnomaliesAnswer,
    AnomalyAnswer,
    ChangeAnswer,
    ChangeOf,
    ChangeParameters,
    CostAnswer,
    CostGroupAnswer,
    CostParameters,
    GroupChange,
    ModelChange,
    SpreadAnswer,
    StepAnswer,
    TokensAnswer,
    TrendAnswer,
    WasteAnswer,
    WasteEntry,
    WasteKind,
    WasteParameters,
)
from schemas.api.metrics import Window
from schemas.api.queries import UsageParameters
from schemas.duration import format_duration
from storage.cost_analytics import (
    CACHE_MIN_CHARS,
    CACHE_WINDOW_S,
    CostGroup,
    CostQuery,
    ModelUsage,
    Spread,
    WasteFound,
    read_cache_misses,
    read_costs,
    read_model_usage,
    read_repeated_prompts,
)
from storage.metrics import Point
from storage.scope import ProjectReader, Range, epoch_ms

router = APIRouter(tags=["cost"])

DAY = timedelta(days=1)
_FEW_DAYS = timedelta(days=4)

_REPEATED = (
    "Requests to one model whose messages are equal to the letter and that were answered: what their answers cost less the "
    "dearest one."
)
_MISSES = (
    f"Prompts whose first message is the same, of at least {CACHE_MIN_CHARS} characters, in {CACHE_WINDOW_S // 60} minutes, "
    "without cache reads: nine tenths of its tokens at the input's price less the cache's, less one miss and what writing "
    "costs. A lower bound."
)


@router.get("/v1/cost")
async def distribution(reader: Reader, parts: Parts, asked: Annotated[CostParameters, Query()]) -> CostAnswer:
    """What was spent: the whole and its groups with their spread over requests and users, and the trend."""
    span, filters = range_of(asked, parts), asked.filters()
    step = asked.step or (HOUR if span.end - span.start < _FEW_DAYS else DAY)
    grouped = tuple(dict.fromkeys(asked.group_by))
    whole_query, query = CostQuery(span, (), filters), CostQuery(span, grouped, filters, asked.limit)
    query.check()
    [whole], groups, points, days = await asyncio.gather(
        read_costs(reader, whole_query),
        read_costs(reader, query),
        read_points(reader, "cost.usd", span, step, filters),
        _whole_days(reader, span, filters),
    )
    return CostAnswer(
        start=span.start,
        end=span.end,
        whole=_group(whole, whole.cost_usd),
        groups=[_group(group, whole.cost_usd) for group in groups] if grouped else [],
        trend=_trend(points, step, days),
    )


async def _whole_days(reader: ProjectReader, span: Range, filters: Mapping[str, str]) -> list[float | None]:
    start, end = _ceiling(span.start), span.end.replace(hour=0, minute=0, second=0, microsecond=0)
    if end <= start:
        return []
    return [day.usd for day in await read_spent(reader, Range(start, end), DAY, filters)]


def _ceiling(time: datetime) -> datetime:
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == time else midnight + DAY


def _trend(points: Sequence[Point], step: timedelta, days: Sequence[float | None]) -> TrendAnswer:
    found = find_trend(days)
    interval = None if found.low_usd is None or found.high_usd is None else (found.low_usd, found.high_usd)
    return TrendAnswer(
        step=format_duration(step),
        points=[(epoch_ms(point.time), point.value) for point in points],
        direction=found.direction,
        usd_per_day=found.usd_per_day,
        interval=interval,
        days=found.days,
        reason=found.reason,
    )


def _group(group: CostGroup, whole_usd: float | None) -> CostGroupAnswer:
    return CostGroupAnswer(
        labels=dict(group.labels),
        cost_usd=group.cost_usd,
        share=group.cost_usd / whole_usd if whole_usd and group.cost_usd is not None else None,
        responses=group.responses,
        unpriced=group.unpriced,
        requests=group.requests,
        tokens=TokensAnswer(**group.tokens),
        per_request=_spread(group.per_request),
        per_user=_spread(group.per_user),
    )


def _spread(spread: Spread | None) -> SpreadAnswer | None:
    if spread is None:
        return None
    p50, p90, p95, p99 = spread.quantiles_usd
    return SpreadAnswer(n=spread.n, mean=spread.mean_usd, p50=p50, p90=p90, p95=p95, p99=p99, max=spread.max_usd)


@router.get("/v1/cost/change")
async def change(reader: Reader, parts: Parts, asked: Annotated[ChangeParameters, Query()]) -> ChangeAnswer:
    """Why cost changed from one range to another: by volume, model mix, tokens, cache share and price, in dollars."""
    span, filters = range_of(asked, parts), asked.filters()
    baseline = _baseline(asked, span, parts.settings.query.max_range_days)
    baseline.check(parts.settings.query)
    grouped = tuple(dict.fromkeys(asked.group_by))
    before, after = await asyncio.gather(
        *(read_model_usage(reader, CostQuery(each, grouped, filters)) for each in (baseline, span))
    )
    unpriced = await asyncio.gather(*(read_points(reader, "cost.unpriced", each, None, filters) for each in (baseline, span)))
    found = decompose(by_model(before), by_model(after))
    counts = [int(points[0].value or 0) for points in unpriced]
    return ChangeAnswer(
        start=span.start,
        end=span.end,
        baseline=Window(start=baseline.start, end=baseline.end),
        whole=_change(found.whole),
        models=[_model_change(model, each) for model, each in found.models[: asked.limit]],
        groups=_group_changes(before, after)[: asked.limit] if grouped else [],
        unpriced={"before": counts[0], "after": counts[1]},
        note=_note(baseline, span, counts),
    )


def _baseline(asked: ChangeParameters, span: Range, max_days: int) -> Range:
    end = asked.baseline_end or span.start
    length = min(span.end - span.start, timedelta(days=max_days))
    return Range(asked.baseline_start or end - length, end)


def _group_changes(before: Sequence[ModelUsage], after: Sequence[ModelUsage]) -> list[GroupChange]:
    labels = {tuple(each.labels.values()): dict(each.labels) for each in (*before, *after)}
    changes = []
    for key, names in labels.items():
        sides = [by_model([each for each in used if tuple(each.labels.values()) == key]) for used in (before, after)]
        changes.append(GroupChange(labels=names, **_change(decompose(*sides).whole).model_dump()))
    return sorted(changes, key=lambda each: -abs(each.delta_usd))


def _change(found: Change) -> ChangeOf:
    return ChangeOf(
        before_usd=found.before_usd,
        after_usd=found.after_usd,
        delta_usd=found.delta_usd,
        parts=dict(found.parts_usd),
    )


def _model_change(model: Model, found: Change) -> ModelChange:
    return ModelChange(provider=model[0], model=model[1], **_change(found).model_dump())


def _note(baseline: Range, span: Range, unpriced: Sequence[int]) -> str:
    notes = ["Parts are Shapley values and add up to the change; a group's are those of the group by itself."]
    before, after = baseline.end - baseline.start, span.end - span.start
    if before != after:
        notes.append(f"The ranges differ in length ({before} and {after}), which shows as volume.")
    if any(unpriced):
        notes.append("Responses without a price are left out.")
    return " ".join(notes)


@router.get("/v1/cost/waste")
async def waste(reader: Reader, parts: Parts, asked: Annotated[WasteParameters, Query()]) -> WasteAnswer:
    """Prompts that were paid more than once, and long beginnings of prompts that no cache served."""
    span, filters = range_of(asked, parts), asked.filters()
    query = CostQuery(span, (), filters, asked.limit)
    repeated, misses, points = await asyncio.gather(
        read_repeated_prompts(reader, query),
        read_cache_misses(reader, query),
        read_points(reader, "cost.usd", span, None, filters),
    )
    return WasteAnswer(
        start=span.start,
        end=span.end,
        cost_usd=points[0].value,
        repeated_prompts=_waste(repeated, _REPEATED),
        cache_misses=_waste(misses, _MISSES),
    )


def _waste(found: WasteFound, how: str) -> WasteKind:
    worst = [WasteEntry(**vars(each)) for each in found.worst]
    return WasteKind(wasted_usd=found.wasted_usd, prompts=found.prompts, responses=found.responses, how=how, worst=worst)


@router.get("/v1/cost/anomalies")
async def anomalies(reader: Reader, parts: Parts, asked: Annotated[UsageParameters, Query()]) -> AnomaliesAnswer:
    """Whole hours of the range that cost unusually much or little for their hour of the week, and lasting steps."""
    span, filters = range_of(asked, parts), asked.filters()
    complete = await parts.watermark() or parts.clock()
    return _anomalies(span, await read_anomalies(reader, span, filters, complete))


def _anomalies(span: Range, found: Anomalies) -> AnomaliesAnswer:
    return AnomaliesAnswer(
        start=span.start,
        end=span.end,
        basis=found.basis,
        history_hours=found.history_hours,
        anomalies=[AnomalyAnswer(**vars(each)) for each in found.anomalies],
        steps=[StepAnswer(**vars(each)) for each in found.steps],
        reason=found.reason,
    )
