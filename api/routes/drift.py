"""Embedding drift: what each stream's latest look found, references, and comparisons of any two stretches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from analyzers.drift.comparison import Comparer, Comparison, EmbedderMismatchError, between
from analyzers.drift.reference import ReferenceTooSmallError, scan_of
from analyzers.drift.references import References, reference_units
from api.auth import authorise
from api.conditions import caller_of
from api.problem import Problem
from api.reading import Parts, Reader, range_of
from api.services import Services
from schemas.api.drift import (
    Differences,
    DriftAnswer,
    DriftCompareParameters,
    DriftComparison,
    DriftNovelty,
    DriftState,
    DriftWindow,
    ReferenceAnswer,
    ReferenceId,
    ReferenceList,
    ReferenceParameters,
    ReferenceRequest,
    StreamLabels,
    StreamParameters,
)
from schemas.drift import Slice, Stream, floor_to
from schemas.duration import parse_duration
from storage.audit import record
from storage.coverage import read_coverage
from storage.drift import LookRow, last_looks, read_units
from storage.drift_references import StoredReference, list_references, retire_reference
from storage.keys import Principal
from storage.scope import ProjectReader, QueryError, Range

router = APIRouter(tags=["drift"])

Controller = Annotated[Principal, Depends(authorise("control"))]
Id = Annotated[ReferenceId, Path()]

DAY = timedelta(days=1)
LONGEST_REFERENCE = timedelta(days=372)


@router.get("/v1/drift")
async def read_drift(reader: Reader, parts: Parts, asked: Annotated[StreamParameters, Query()]) -> DriftAnswer:
    """The latest look at every stream, drifting ones first."""
    settings, now = parts.settings.analysis.drift, parts.clock()
    watermark = await _watermark(parts)
    found = []
    for scale in settings.scales if asked.scale is None else (_configured(asked.scale, parts),):
        unit = parse_duration(scale)
        since = now - max(DAY, scan_of(settings, unit).looks * unit)
        looks = await last_looks(parts.store, scale, since, reader.project)
        found += [_state(row, watermark, unit) for row in looks if _matches(row, asked)]
    found.sort(key=lambda state: (state.verdict != "drift", state.verdict != "no-drift", -(state.score or 0.0)))
    return DriftAnswer(streams=found, coverage=await _coverage(reader, now), false_alarm_rate=settings.false_alarm_rate)


@router.get("/v1/drift/references")
async def read_references(reader: Reader, parts: Parts, asked: Annotated[ReferenceParameters, Query()]) -> ReferenceList:
    """What streams are compared with, the newest first."""
    found = await parts.control.read(lambda connection: list_references(connection, reader.project, retired=asked.retired))
    return ReferenceList(references=[_reference(one) for one in found])


@router.post("/v1/drift/references", status_code=201)
async def create_reference(body: ReferenceRequest, principal: Controller, parts: Parts, request: Request) -> ReferenceList:
    """Pin a range as the reference of a stream, or make the latest units a reference that rolls on. Takes a few seconds."""
    settings = parts.settings.analysis.drift
    stream = Stream(principal.project, body.part, Slice(body.service, body.target, body.release, body.model))
    references = References(parts.store, parts.control, settings)
    scales = settings.scales if body.scale is None else (_configured(body.scale, parts),)
    with _refusals():
        # All are made before one is put into use: a range too short for one scale changes none.
        prepared = [await _prepare(references, parts, stream, scale, body, principal) for scale in scales]
    made = [await references.use(each) for each in prepared]
    caller, now = caller_of(principal, request), parts.clock()
    for known in made:
        await _audit(parts, known.stored, caller.actor, caller.source, "drift.reference.created", now)
    return ReferenceList(references=[_reference(known.stored) for known in made])


@router.delete("/v1/drift/references/{reference_id}", status_code=204)
async def delete_reference(reference_id: Id, principal: Controller, parts: Parts, request: Request) -> Response:
    """Take a reference out of use: its stream gets its initial one again."""
    caller, now = caller_of(principal, request), parts.clock()
    retired = await parts.control.write(lambda connection: retire_reference(connection, principal.project, reference_id, now))
    if retired is None:
        raise _unknown(reference_id)
    await _audit(parts, retired, caller.actor, caller.source, "drift.reference.retired", now)
    return Response(status_code=204)


@router.get("/v1/drift/compare")
async def compare_stretches(reader: Reader, parts: Parts, asked: Annotated[DriftCompareParameters, Query()]) -> DriftComparison:
    """A stretch of a stream against another stretch, another release, or a reference: effect, verdict and what differs."""
    settings = parts.settings.analysis.drift
    references = References(parts.store, parts.control, settings)
    comparer = Comparer(parts.store, references, settings)
    span = range_of(asked, parts)
    stream = Stream(reader.project, asked.part, Slice(asked.service, asked.target, asked.release, asked.model))
    now = between(stream, span.start, span.end, comparer.bucket)
    with _refusals():
        if asked.reference is not None:
            known = await references.by_id(reader.project, asked.reference)
            if known is None:
                raise _unknown(asked.reference)
            return _comparison(await comparer.with_reference(now, known))
        baseline = _baseline(asked, span, parts)
        other = stream if asked.baseline_release is None else replace(stream, slice=_with_release(stream.slice, asked))
        return _comparison(await comparer.ranges(now, between(other, baseline.start, baseline.end, comparer.bucket)))


def _baseline(asked: DriftCompareParameters, span: Range, parts: Services) -> Range:
    if asked.baseline_from is None and asked.baseline_to is None:
        if asked.baseline_release is None:
            raise QueryError("no-baseline", "give `reference`, or `baseline_from` and `baseline_to`, or `baseline_release`")
        return span
    if asked.baseline_from is None or asked.baseline_to is None:
        raise QueryError("bad-range", "a baseline needs both `baseline_from` and `baseline_to`")
    found = Range(asked.baseline_from, asked.baseline_to)
    found.check(parts.settings.query)
    return found


def _with_release(own: Slice, asked: DriftCompareParameters) -> Slice:
    return replace(own, release=asked.baseline_release or "", model="")


async def _prepare(
    references: References, parts: Services, stream: Stream, scale: str, body: ReferenceRequest, principal: Principal
) -> StoredReference:
    unit, settings, now = parse_duration(scale), parts.settings.analysis.drift, parts.clock()
    start, end = body.start, body.end
    if start is None or end is None:
        closed = floor_to(await _watermark(parts) or now, unit)
        start, end = closed - reference_units(settings, unit) * unit, closed
    start, end = floor_to(start, unit), floor_to(end, unit)
    if end <= start or end - start > LONGEST_REFERENCE:
        raise QueryError("bad-range", f"the range holds no whole unit of {scale}, or more than a year: pick another one")
    rows = await read_units(parts.store, stream, unit, start, end)
    if not rows:
        raise ReferenceTooSmallError(f"the stream has no texts in closed units of {scale} from {start} to {end}")
    return await references.prepare(stream, scale, rows[-1].embedder, start, end, mode=body.mode, by=principal.name, now=now)


async def _audit(parts: Services, stored: StoredReference, actor: str, source: str, action: str, now: datetime) -> None:
    after = {"scale": stored.scale, "from": stored.starts_at.isoformat(), "to": stored.ends_at.isoformat(), "mode": stored.mode}
    after |= {"part": stored.stream.part, **asdict(stored.stream.slice)}
    await parts.control.write(
        lambda connection: record(
            connection,
            project=stored.stream.project,
            actor=actor,
            action=action,
            subject=stored.id,
            before=None,
            after=after,
            source=source,
            now=now,
        )
    )


async def _watermark(parts: Services) -> datetime | None:
    return await parts.analyzed("drift") if parts.analyzed is not None else await parts.watermark()


async def _coverage(reader: ProjectReader, now: datetime) -> float | None:
    found = await read_coverage(reader, Range(now - DAY, now, "arrival"))
    return next((each.share for each in found if each.analyzer == "drift"), None)


def _configured(scale: str, parts: Services) -> str:
    known = parts.settings.analysis.drift.scales
    if scale not in known:
        raise QueryError("bad-scale", f"{scale!r} is not one of analysis.drift.scales: use {', '.join(known)}")
    return scale


def _matches(row: LookRow, asked: StreamParameters) -> bool:
    own = {"part": row.part, **asdict(row.stream.slice)}
    return all(getattr(asked, name) in (None, value) for name, value in own.items())


def _state(row: LookRow, watermark: datetime | None, unit: timedelta) -> DriftState:
    judged = row.effect is not None
    return DriftState(
        stream=_labels(row.stream),
        scale=row.scale,
        verdict=row.verdict,
        reason=row.reason,
        time=row.time,
        stale=watermark is not None and floor_to(watermark, unit) > row.time,
        n=row.n,
        effect=row.effect,
        interval=None if row.effect_low is None or row.effect_high is None else (row.effect_low, row.effect_high),
        score=row.score,
        threshold=row.threshold,
        novelty=DriftNovelty.model_validate(json.loads(row.novelty)) if row.novelty != "{}" else None,
        window_units=row.window_units if judged else None,
        window_n=row.window_n if judged else None,
        windows=[DriftWindow(**window) for window in json.loads(row.windows)],
        onset=row.onset,
        second_opinion=row.second_opinion,
        reference=row.reference_id or None,
        embedder=row.embedder,
        differences=Differences.model_validate(json.loads(row.evidence)) if row.evidence != "{}" else None,
    )


def _labels(stream: Stream) -> StreamLabels:
    return StreamLabels.model_validate({"part": stream.part, **asdict(stream.slice)})


def _reference(stored: StoredReference) -> ReferenceAnswer:
    return ReferenceAnswer(
        id=stored.id,
        stream=_labels(stored.stream),
        scale=stored.scale,
        mode=stored.mode,
        start=stored.starts_at,
        end=stored.ends_at,
        n=stored.n,
        embedder=stored.embedder,
        created_by=stored.created_by,
        created_at=stored.created_at,
        replaced_at=stored.replaced_at,
    )


def _comparison(found: Comparison) -> DriftComparison:
    return DriftComparison(
        verdict="drift" if found.differs else "no-drift",
        effect=found.effect.value,
        interval=(found.effect.low, found.effect.high),
        score=found.score,
        threshold=found.threshold,
        alpha=found.alpha,
        n=found.n_now,
        n_baseline=found.n_then,
        embedder=found.embedder,
        differences=Differences.model_validate(found.evidence),
    )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ReferenceTooSmallError as error:
        raise Problem(422, "There are too few texts", f"{error}.", type="reference-too-small") from error
    except EmbedderMismatchError as error:
        raise Problem(422, "The embedders differ", f"{error}: compare stretches of one.", type="embedders-differ") from error


def _unknown(reference_id: str) -> Problem:
    detail = f"There is no reference {reference_id} in use: GET /v1/drift/references lists them."
    return Problem(404, "Unknown reference", detail, type="unknown-reference")
