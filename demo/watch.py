"""What the demo can see of Tracewarden: its public API, and what arrived at the receiver. Nothing else is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from demo.releases import CANDIDATE, TARGET

TIMEOUT_S = 30


class WatchError(Exception):
    """Tracewarden or the receiver answered what cannot be; the message says what and to which question."""


@dataclass(frozen=True)
class Snapshot:
    """What was visible at one moment."""

    requests: Mapping[str, int]
    first_candidate_span: Mapping[str, Any] | None
    alerts: tuple[Mapping[str, Any], ...]
    received: tuple[Mapping[str, Any], ...]
    rollback: Mapping[str, Any] | None


EMPTY = Snapshot({}, None, (), (), None)


class Watch:
    """Reads, and does what an operator does: register and promote."""

    def __init__(self, api: httpx.AsyncClient, receiver: httpx.AsyncClient) -> None:
        self._api = api
        self._receiver = receiver
        self._first: Mapping[str, Any] | None = None

    async def register(self, release: str, content: Mapping[str, Any]) -> None:
        """Register a release of the target."""
        await self._post(f"/v1/targets/{TARGET}/releases", {"release": release, "content": content})

    async def promote(self, release: str) -> datetime:
        """Give a release all of the traffic; when that was decided."""
        answer = await self._post(f"/v1/targets/{TARGET}:promote", {"release": release, "reason": "demo"})
        return datetime.fromisoformat(answer["changed_at"])

    async def report(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Have a report made of a range."""
        return await self._post("/v1/reports", {"from": start.isoformat(), "to": end.isoformat()})

    async def page(self, path: str) -> bytes:
        """A document of the API as it is.

        Raises:
            WatchError: there is none.
        """
        return _checked(await self._api.get(path)).content

    async def look(self, since: datetime) -> Snapshot:
        """Everything that happened to the target since a moment."""
        return Snapshot(
            requests=await self.requests(since),
            first_candidate_span=await self._first_span(since),
            alerts=tuple((await self.get("/v1/alerts"))["alerts"]),
            received=tuple(await self._messages()),
            rollback=await self._rollback(),
        )

    async def requests(self, since: datetime) -> dict[str, int]:
        """Requests by release."""
        return {release: int(value) for release, value in (await self.total("requests.count", since)).items()}

    async def total(self, metric: str, since: datetime) -> dict[str, float]:
        """A metric of the target over the whole time since a moment, by release."""
        query = {"from": since.isoformat(), "target": TARGET, "group_by": "release"}
        series = (await self.get(f"/v1/metrics/{metric}", **query))["series"]
        return {one["labels"]["release"]: one["points"][-1][1] or 0.0 for one in series if one["points"]}

    async def _first_span(self, since: datetime) -> Mapping[str, Any] | None:
        """The earliest of the candidate's spans, as of the first look that found any."""
        if self._first is None:
            query = {"from": since.isoformat(), "target": TARGET, "release": CANDIDATE, "limit": 500}
            spans = (await self.get("/v1/spans", **query))["spans"]
            self._first = min(spans, key=lambda span: str(span["start"]), default=None)
        return self._first

    async def _messages(self) -> list[Mapping[str, Any]]:
        received: list[Mapping[str, Any]] = _read(await self._receiver.get("/received"))["received"]
        return received

    async def _rollback(self) -> Mapping[str, Any] | None:
        found = (await self.get("/v1/rollbacks", target=TARGET))["rollbacks"]
        return await self.get(f"/v1/rollbacks/{found[0]['id']}") if found else None

    async def get(self, path: str, **query: object) -> dict[str, Any]:
        """One answer of the API.

        Raises:
            WatchError: it was an error.
        """
        return _read(await self._api.get(path, params={name: str(value) for name, value in query.items()}))

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return _read(await self._api.post(path, json=body))


def _read(answer: httpx.Response) -> dict[str, Any]:
    read: dict[str, Any] = _checked(answer).json()
    return read


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise WatchError(f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text[:500]}")
    return answer
