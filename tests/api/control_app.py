"""The API on a control database alone: the trace store behind it cannot be opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import httpx
from pydantic import SecretStr
from sqlalchemy import Connection

from api.app import create_app
from api.services import Services
from schemas.settings import Settings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.keys import create_key
from tests.alerting.rollback_world import World

PEPPER = SecretStr("pepper")


class ControlApi:
    """The application, its world, and clients for it."""

    def __init__(self, control: ControlDatabase, folder: Path) -> None:
        self.world = World(control)
        self.parts = Services(
            settings=Settings(data_dir=folder),
            store=ClickHouseStore(f"chdb://{folder}/missing/store"),
            control=control,
            rollbacks=self.world.rollbacks,
            pepper=PEPPER,
            watermark=_no_watermark,
            clock=self.world.clock,
            version="test",
        )
        self._app = create_app(self.parts)

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client on loopback, without a key unless one is given."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        transport = httpx.ASGITransport(self._app, client=("127.0.0.1", 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers) as client:
            yield client

    async def key(self, project: str, *scopes: str) -> str:
        """A new key of a project."""

        def create(connection: Connection) -> str:
            return create_key(connection, project, scopes, "k", PEPPER, self.world.clock()).key

        return await self.parts.control.write(create)


async def _no_watermark() -> datetime | None:
    return None
