"""`/healthz`: the process answers. `/readyz`: what it depends on answers too. `/metrics`: Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.problem import install_problems
from schemas.instruments import Instruments

PROBE_TIMEOUT_S = 3.0

_log = structlog.get_logger("health")


@dataclass(frozen=True)
class Dependency:
    """Something that this process cannot work without. `probe` returns None, or in a few words why it is not ready."""

    name: str
    probe: Callable[[], Awaitable[str | None]]


def health_router(dependencies: Sequence[Dependency], instruments: Instruments) -> APIRouter:
    """The three routes, without authentication: they tell states and counts only."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        reasons = await asyncio.gather(*(reason(dependency) for dependency in dependencies))
        states = {dependency.name: why or "ok" for dependency, why in zip(dependencies, reasons, strict=True)}
        return JSONResponse({"ready": not any(reasons), "dependencies": states}, 503 if any(reasons) else 200)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(instruments.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def health_app(dependencies: Sequence[Dependency], instruments: Instruments) -> FastAPI:
    """The application of a role that has no API of its own."""
    app = FastAPI(title="Tracewarden", openapi_url=None)
    app.include_router(health_router(dependencies, instruments))
    install_problems(app)
    return app


async def reason(dependency: Dependency, timeout_s: float = PROBE_TIMEOUT_S) -> str | None:
    """Why a dependency is not ready; a probe that fails or hangs is a reason, and its details go to the log only."""
    try:
        return await asyncio.wait_for(dependency.probe(), timeout_s)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except Exception as error:  # whatever a probe raises means the same here: not ready
        _log.warning("dependency_not_ready", dependency=dependency.name, error=str(error))
        return f"failed ({type(error).__name__}): the log has the cause, `tracewarden doctor` the fix"
