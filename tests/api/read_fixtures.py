"""The read API on a real trace store and control database, with keys of two projects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.services import Services
from schemas.sections import AuthSettings, QuerySettings
from schemas.settings import Settings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.keys import create_key
from tests.alerting.rollback_world import World

PEPPER = SecretStr("pepper-of-the-tests")
# Yesterday noon: a fixed date would one day lie outside the retention, and the store would drop the spans.
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


@dataclass(frozen=True)
class Front:
    """The API with a client that holds a read key of the project `ours`."""

    services: Services
    client: httpx.AsyncClient

    async def get(self, path: str, /, **parameters: Any) -> Any:
        """The body of a successful answer."""
        answer = await self.client.get(path, params={name.rstrip("_"): value for name, value in parameters.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, status: int, path: str, /, **parameters: Any) -> Any:
        """The problem of a refused request."""
        answer = await self.client.get(path, params={name.rstrip("_"): value for name, value in parameters.items()})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()


def client_of(services: Services, key: str | None = None, **headers: str) -> httpx.AsyncClient:
    """A client of an application on `services`; without a key it comes from this machine."""
    sent = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(create_app(services))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080", headers={**sent, **headers})


async def new_key(services: Services, project: str, *scopes: str) -> str:
    """A key of `project`."""
    made = await services.control.write(
        lambda connection: create_key(connection, project, scopes or ("read",), "test", services.pepper, NOW)
    )
    return made.key


def narrowed(services: Services, **query: Any) -> Services:
    """The same services with other bounds on queries."""
    return replace(services, settings=services.settings.model_copy(update={"query": QuerySettings(**query)}))


@pytest.fixture
async def services(store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[Services]:
    """Services that require keys, at a fixed time."""
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    settings = Settings(data_dir=tmp_path, auth=AuthSettings(required=True))
    yield Services(
        settings=settings,
        store=store,
        control=control,
        rollbacks=World(control).rollbacks,
        pepper=PEPPER,
        watermark=_watermark,
        clock=lambda: NOW,
        version="test",
    )
    await control.close()


@pytest.fixture
async def front(services: Services) -> AsyncIterator[Front]:
    """The API as a dashboard sees it."""
    async with client_of(services, await new_key(services, "ours")) as client:
        yield Front(services, client)


async def _watermark() -> datetime | None:
    return NOW - timedelta(seconds=5)
