"""Putting a process together: what every role has, the order of the parts, and what readiness means."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog
from fastapi import FastAPI
from prometheus_client import ProcessCollector, disable_created_metrics
from sqlalchemy import select, text

from api.analysis import assemble_analysis, progress, register_installed_metrics, watermark_of
from api.app import create_app
from api.base import Base, open_control, open_store, utc_now, version
from api.control_schema import require_current
from api.datadir import read_pepper
from api.health import Dependency, health_app, health_router
from api.intake import Intake, assemble_intake
from api.lifecycle import Closing, Component
from api.listeners import Addresses, HttpListener
from api.observability.timing import QueryTiming
from api.reaction import Reaction, assemble_reaction
from api.reporting import assemble_reporting
from api.services import Services
from ingest.kafka_topics import create_topics
from schemas.instruments import Instruments
from schemas.settings import Settings
from storage.keys import list_keys
from storage.merge_threads import merges_step_back
from storage.migrations import migrate_store
from storage.unreadable_parts import unreadable_parts

LOW_DISK_BYTES = 256 * 1024 * 1024

_log = structlog.get_logger("process")


async def assemble(settings: Settings, roles: Sequence[str], addresses: Addresses) -> list[Component]:
    """The components of `roles` in the order of their start: what others use comes first, listeners last."""
    store = open_store(settings, settings.query.threads)
    base = Base(settings, open_control(settings), store, Instruments(), utc_now, read_pepper(settings), frozenset(roles))
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types all but this
    ProcessCollector(registry=base.instruments.registry)
    await _prepare(base)
    register_installed_metrics()
    intake = assemble_intake(base, addresses)
    analyzed = watermark_of(progress(base, intake))
    reaction = assemble_reaction(base, intake.watermark, analyzed) if base.roles & {"alert", "api"} else None
    analysis = assemble_analysis(base, intake) if "analyze" in base.roles else []
    reporting = [assemble_reporting(base, progress(base, intake), intake.watermark)] if "analyze" in base.roles else []
    front = HttpListener("api", _front(base, intake, reaction), addresses.api)
    opened = [Closing(base.control.close), Closing(base.store.close)]
    reacting = reaction.workers if reaction else []
    # Stopped first: gateways that wait for a change are answered, so that they do not hold up the listener.
    waiting = [Closing(reaction.rollbacks.targets.feed.close)] if reaction else []
    return [*opened, *intake.workers, *analysis, *reacting, *reporting, *intake.listeners, front, *waiting]


async def _prepare(base: Base) -> None:
    """A whole process brings everything up to date; a role of its own only looks, several of them may start at once."""
    if not base.whole:
        await require_current(base.control)
    else:
        await base.control.migrate()
        await migrate_store(base.store, retention_days=base.settings.ingest.retention_days)
        if problem := await unreadable_parts(base.store):
            _log.error("parts_unreadable", detail=problem)
        if base.store.embedded:
            merges_step_back()
        if base.settings.kafka is not None:
            await create_topics(base.settings.kafka)
    await warn_without_keys(base)


def _front(base: Base, intake: Intake, reaction: Reaction | None) -> FastAPI:
    """The application on `port`: the API in the role `api`, else health and metrics only."""
    found = dependencies(base, intake)
    if "api" not in base.roles or reaction is None:
        return health_app(found, base.instruments)
    analysis = progress(base, intake)
    app = create_app(
        Services(
            settings=base.settings,
            store=base.store,
            control=base.control,
            rollbacks=reaction.rollbacks,
            pepper=base.pepper,
            watermark=intake.watermark,
            clock=base.clock,
            version=version(),
            ingest=intake.status,
            analyzed=watermark_of(analysis),
            analysis=analysis,
        )
    )
    app.include_router(health_router(found, base.instruments))
    app.add_middleware(QueryTiming, instruments=base.instruments)
    return app


def dependencies(base: Base, intake: Intake) -> list[Dependency]:
    """What `/readyz` asks: of a process that only receives, not the store, which may be down while it goes on."""

    async def control() -> str | None:
        await base.control.read(lambda connection: connection.execute(select(text("1"))).scalar_one())
        return None

    async def store() -> str | None:
        await base.store.query("SELECT 1")
        return None

    async def disk() -> str | None:
        return low_disk(base.settings.data_dir)

    async def log() -> str | None:
        return intake.blocked()

    found = [Dependency("control", control), Dependency("log", log)]
    if base.roles != {"ingest"}:
        found.append(Dependency("store", store))
    return [*found, Dependency("disk", disk)] if base.store.embedded else found


async def warn_without_keys(base: Base) -> None:
    """Say so when keys are required and none exists: every request would be refused."""
    if not base.settings.keys_required or not base.roles & {"ingest", "api"}:
        return
    keys = await base.control.read(list_keys)
    if all(key.revoked_at is not None for key in keys):
        _log.warning("no_api_key", fix="create one: tracewarden keys create --name gateway --scope ingest --scope read")


def low_disk(data_dir: Path) -> str | None:
    """Why the disk under `data_dir` is too full to go on, or None."""
    free = shutil.disk_usage(data_dir).free
    if free >= LOW_DISK_BYTES:
        return None
    return f"{free // 2**20} MiB free under {data_dir}: free some space or shorten ingest.retention_days"
