"""GET /v1/status: is what was sent already visible?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends

from api.auth import authorise
from api.services import IngestStatus, Services, services
from schemas.api.status import Status
from storage.keys import Principal

router = APIRouter(tags=["status"])


@router.get("/v1/status")
async def read_status(
    _: Annotated[Principal, Depends(authorise("read"))], parts: Annotated[Services, Depends(services)]
) -> Status:
    """Spans accepted and written by this process, the watermark, and how far it lags."""
    ingest = parts.ingest() if parts.ingest is not None else None
    return status_of(ingest, await parts.watermark(), parts.clock(), parts.version)


def status_of(ingest: IngestStatus | None, watermark: datetime | None, now: datetime, version: str) -> Status:
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
    )
