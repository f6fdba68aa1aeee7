"""A receiver on a real store, with everything in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from ingest.admission import Admission
from ingest.authentication import Authenticator
from ingest.embedded_log import EmbeddedTraceLog
from ingest.http import OtlpHttpReceiver
from ingest.receiver import Receiver
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.key_cache import KeyCache

PEPPER = SecretStr("p" * 43)


@dataclass
class Ingest:
    """The parts of one ingest role; `keys_required` can be switched by a test."""

    log: EmbeddedTraceLog
    receiver: Receiver
    authenticator: Authenticator
    admission: Admission
    settings: IngestSettings
    instruments: Instruments
    control: ControlDatabase
    store: ClickHouseStore
    keys_required: bool = False

    @property
    def http(self) -> OtlpHttpReceiver:
        """The OTLP/HTTP application."""
        return OtlpHttpReceiver(self.receiver, self.authenticator, self.admission, self.settings, self.instruments)

    def client(self) -> httpx.AsyncClient:
        """A client of the OTLP/HTTP application."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.http), base_url="http://127.0.0.1:4318")


def open_ingest(store: ClickHouseStore, control: ControlDatabase, settings: IngestSettings) -> Ingest:
    """Put the parts together as `tracewarden serve` does; the log is not started."""
    instruments = Instruments()
    log = EmbeddedTraceLog(store, settings, instruments)
    keys = KeyCache(control, PEPPER, lambda: datetime.now(UTC))
    found: list[Ingest] = []
    authenticator = Authenticator(keys, required=lambda: found[0].keys_required)
    admission = Admission(settings.max_in_flight_bytes, instruments)
    found.append(Ingest(log, Receiver(log, instruments), authenticator, admission, settings, instruments, control, store))
    return found[0]


@pytest.fixture
async def ingest(store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[Ingest]:
    """A started ingest role with small caps."""
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    settings = IngestSettings(max_body_bytes=200_000, max_expanded_bytes=2_000_000, max_in_flight_bytes=3_000_000)
    parts = open_ingest(store, control, settings)
    await parts.log.start()
    yield parts
    await parts.log.stop()
    await control.close()
