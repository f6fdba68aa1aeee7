"""What the routes work with: built once by `tracewarden serve` (or a test), handed to every route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import SecretStr

from schemas.settings import Settings
from storage.analysis import Progress
from storage.clickhouse import ClickHouseStore

if TYPE_CHECKING:
    from alerting.rollback import RollbackController
    from storage.control import ControlDatabase

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class IngestStatus:
    """What this process received and stored since it started, in spans."""

    accepted_spans: int
    written_spans: int
    rejected_spans: int
    bytes_in_flight: int
    oldest_unwritten_s: float | None


@dataclass(frozen=True)
class Services:
    """The parts behind the API. `ingest` is None where this process receives no traces (the role `api` by itself).

    `analyzed` says up to which arrival time an analyzer has read everything; None: its scores count as up to date.
    `analysis` says how far each analyzer is.
    """

    settings: Settings
    store: ClickHouseStore
    control: ControlDatabase
    rollbacks: RollbackController
    pepper: SecretStr
    watermark: Callable[[], Awaitable[datetime | None]]
    clock: Clock
    version: str
    ingest: Callable[[], IngestStatus] | None = None
    analyzed: Callable[[str], Awaitable[datetime | None]] | None = None
    analysis: Callable[[], Awaitable[list[Progress]]] | None = None


def services(request: Request) -> Services:
    """The services of the running application: `Depends(services)`."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found
