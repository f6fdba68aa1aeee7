"""GET /v1/status: is what was sent already visible?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from api.reading import Reader
from api.services import IngestStatus, Services, services
from schemas.api.status import AnalyzerCoverage, AnalyzerStatus, Status
from storage.analysis import Progress
from storage.coverage import Coverage, read_coverage
from storage.scope import Range

router = APIRouter(tags=["status"])

RECENT = timedelta(hours=1)


@router.get("/v1/status")
async def read_status(reader: Reader, parts: Annotated[Services, Depends(services)]) -> Status:
    """Spans accepted and written by this process, the watermark, how far it lags, and how far each analyzer is."""
    ingest = parts.ingest() if parts.ingest is not None else None
    now = parts.clock()
    covered = {each.analyzer: each for each in await read_coverage(reader, Range(now - RECENT, now, "arrival"))}
    progress = await parts.analysis() if parts.analysis is not None else []
    analyzers = [_analyzer(each, covered.get(each.analyzer), now) for each in progress]
    return status_of(ingest, await parts.watermark(), now, parts.version, analyzers)


def _analyzer(progress: Progress, coverage: Coverage | None, now: datetime) -> AnalyzerStatus:
    return AnalyzerStatus(
        name=progress.analyzer,
        behind=progress.behind,
        watermark=progress.watermark,
        lag_s=max(0.0, (now - progress.watermark).total_seconds()) if progress.watermark else None,
        failures=progress.failures,
        last_error=progress.last_error,
        coverage=None if coverage is None else _coverage(coverage),
    )


def _coverage(coverage: Coverage) -> AnalyzerCoverage:
    return AnalyzerCoverage(
        wanted=coverage.wanted,
        looked_at=coverage.looked_at,
        failed=coverage.failed,
        share=coverage.share,
        abstained=coverage.abstained,
        scorers=list(coverage.scorers),
    )


def status_of(
    ingest: IngestStatus | None,
    watermark: datetime | None,
    now: datetime,
    version: str,
    analyzers: list[AnalyzerStatus],
) -> Status:
    """The answer from its parts."""
    return Status(
        version=version,
        now=now,
        accepted=ingest.accepted_spans if ingest else None,
        written=ingest.written_spans if ingest else None,
        rejected=ingest.rejected_spans if ingest else None,
        bytes_in_flight=ingest.bytes_in_flight if ingest else None,
        oldest_unwritten_s=ingest.oldest_unwritten_s if ingest else None,
        watermark=watermark,
        lag_s=max(0.0, (now - watermark).total_seconds()) if watermark else None,
        analyzers=analyzers,
    )
