"""How long the API takes, by route: the route's pattern, never the path, so that labels stay few."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.instruments import Instruments


class QueryTiming:
    """Observes the seconds from the request to the end of its answer."""

    def __init__(self, app: ASGIApp, instruments: Instruments) -> None:
        self.app = app
        self._seconds = instruments.query_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self.app(scope, receive, watched)
        finally:
            self._seconds.labels(_route(scope), str(status)).observe(time.perf_counter() - started)


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "other"))
