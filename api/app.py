"""The HTTP application: routes, errors and the cap on bodies."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.openapi import describe
from api.problem import Problem, install_problems
from api.routes import (
    alerts,
    budgets,
    calibrations,
    compare,
    cost,
    desired,
    drift,
    feedback,
    metrics,
    reports,
    rollbacks,
    rules,
    spans,
    status,
    targets,
    traces,
)
from api.services import Services
from storage.key_cache import KeyCache

MAX_BODY_BYTES = 1024 * 1024

ROUTERS: tuple[APIRouter, ...] = (
    traces.router,
    spans.router,
    metrics.router,
    compare.router,
    cost.router,
    budgets.router,
    targets.router,
    desired.router,
    rollbacks.router,
    rules.router,
    alerts.router,
    drift.router,
    feedback.router,
    calibrations.router,
    reports.router,
    status.router,
)

DESCRIPTION = "Traces, metrics, comparisons, alerts and rollbacks of LLM applications. Conventions: docs/api.md."


def create_app(services: Services) -> FastAPI:
    """The application on `services`, which the caller opens and closes."""
    app = routed_app(services.version)
    app.state.services = services
    app.state.keys = KeyCache(services.control, services.pepper, services.clock)
    return app


def routed_app(version: str) -> FastAPI:
    """The routes and their description, without anything to answer from."""
    app = FastAPI(title="Tracewarden", version=version, description=DESCRIPTION, docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    install_problems(app)
    describe(app)
    app.add_middleware(BodyCap, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(HeadAsGet)
    return app


class HeadAsGet:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_head)


class BodyCap:
    """Refuses a body above `max_bytes` with 413: by its declared length, else as soon as that many bytes arrived."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _declared_bytes(scope) > self.max_bytes:
            await self._too_large().response(scope["path"])(scope, receive, send)
        else:
            await self.app(scope, self._capped(receive), send)

    def _capped(self, receive: Receive) -> Receive:
        seen = 0

        async def capped() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise self._too_large()
            return message

        return capped

    def _too_large(self) -> Problem:
        return Problem(
            413, "The body is too large", f"Send at most {self.max_bytes} bytes in one request.", type="body-too-large"
        )


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0
