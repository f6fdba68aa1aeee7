"""The gateway against the API itself: takes up promotions, keeps weights, tells what it serves."""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from demo.gateway import Gateway, Release, Routing
from demo.releases import TARGET, content_of
from storage.control import ControlDatabase, sqlite_url
from storage.targets import read_pollers
from tests.api.control_app import ControlApi


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ControlApi]:
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    served = ControlApi(control, tmp_path)
    yield served
    await served.parts.store.close()
    await control.close()


async def promote(client: httpx.AsyncClient, release: str, wording: str, weight: float = 100) -> None:
    """Register a release and promote it."""
    content = {"release": release, "content": content_of(wording)}
    (await client.post(f"/v1/targets/{TARGET}/releases", json=content)).raise_for_status()
    (await client.post(f"/v1/targets/{TARGET}:promote", json={"release": release, "weight": weight})).raise_for_status()


async def serves(gateway: Gateway, release: str) -> None:
    """Wait until the gateway serves that release only; pytest-timeout ends the wait."""
    await gateway.routed.wait()
    while [one.name for one in gateway.routing.shares] != [release]:
        await asyncio.sleep(0.01)


async def test_a_promotion_is_served_without_a_restart_and_reported(api: ControlApi) -> None:
    async with api.client() as client:
        await promote(client, "v1", "v1")
        gateway = Gateway(client, TARGET, name="gateway-1")
        following = asyncio.create_task(gateway.follow())
        await serves(gateway, "v1")
        await promote(client, "v2", "v2")
        await serves(gateway, "v2")
        served = next(iter(gateway.routing.shares))
        assert (served.prompt, served.model) == (content_of("v2")["prompt"], "gpt-4o-mini")
        while await generation_reported(api) != int(gateway.routing.etag.strip('"')):
            await asyncio.sleep(0.01)
        following.cancel()


async def test_it_keeps_what_it_serves_while_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(httpx.AsyncClient(base_url="http://127.0.0.1:1"), TARGET, name="gateway-1")
    following = asyncio.create_task(gateway.follow())
    while not caplog.records:
        await asyncio.sleep(0.01)
    following.cancel()
    assert "keeps what it serves" in caplog.text
    assert not gateway.routed.is_set()


def test_requests_are_shared_by_weight() -> None:
    routing = Routing('"5"', {Release("v1", "m", "p"): 90.0, Release("v2", "m", "p"): 10.0})
    rng = random.Random(1)
    picked = collections.Counter(routing.pick(rng).name for _ in range(2_000))
    assert 150 < picked["v2"] < 250


async def generation_reported(api: ControlApi) -> int | None:
    """The generation that the gateway last said it serves."""
    now = api.world.clock()
    found = await api.parts.control.read(lambda connection: read_pollers(connection, "default", TARGET, now))
    return found[0].generation if found else None
