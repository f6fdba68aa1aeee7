"""The gateway of the assistant: serves what Tracewarden says should be served, and takes up changes without a restart."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

WAIT_S = 30
RETRY_S = 1.0

_log = logging.getLogger("gateway")


@dataclass(frozen=True)
class Release:
    """One release as it is served."""

    name: str
    model: str
    prompt: str


@dataclass(frozen=True)
class Routing:
    """Releases with their share of the traffic, and the version of that decision."""

    etag: str
    shares: Mapping[Release, float]

    def pick(self, rng: random.Random) -> Release:
        """The release that answers one request."""
        return rng.choices(list(self.shares), list(self.shares.values()))[0]


class Gateway:
    """Follows `GET /v1/desired/{target}`; whatever was read last stays in force while Tracewarden cannot be reached."""

    def __init__(self, client: httpx.AsyncClient, target: str, name: str) -> None:
        self._client = client
        self.target = target
        self._headers = {"X-Gateway-Id": name}
        self._releases: dict[str, Release] = {}
        self._routing: Routing | None = None
        self.routed = asyncio.Event()

    @property
    def routing(self) -> Routing:
        """What is in force; wait for `routed` first."""
        assert self._routing is not None
        return self._routing

    async def follow(self) -> None:
        """Long-poll for ever."""
        while True:
            try:
                await self._poll()
            except (httpx.HTTPError, LookupError) as error:
                _log.warning("keeps what it serves, Tracewarden gave no answer: %r", error)
                await asyncio.sleep(RETRY_S)

    async def _poll(self) -> None:
        """Sending the version that is served tells Tracewarden that it was taken up."""
        known = {} if self._routing is None else {"If-None-Match": self._routing.etag}
        answer = await self._client.get(
            f"/v1/desired/{self.target}",
            params={"wait": f"{WAIT_S}s"},
            headers=self._headers | known,
            timeout=WAIT_S + 10,
        )
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            return
        answer.raise_for_status()
        weights = answer.json()["weights"]
        if not weights:
            await asyncio.sleep(RETRY_S)
            return
        self._routing = Routing(answer.headers["ETag"], {await self._release(name): weights[name] for name in weights})
        self.routed.set()
        _log.info("serves %s (%s)", weights, self._routing.etag)

    async def _release(self, name: str) -> Release:
        if name not in self._releases:
            answer = await self._client.get(f"/v1/targets/{self.target}/releases")
            answer.raise_for_status()
            self._releases |= {found.name: found for found in map(release_of, answer.json()["releases"])}
        return self._releases[name]


def release_of(registered: Mapping[str, Any]) -> Release:
    """A release from the way it was registered."""
    content = registered["content"]
    return Release(registered["release"], content["model"], content["prompt"])
