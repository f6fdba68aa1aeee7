"""One process of Tracewarden: bind, open, start, say `ready`, wait for a signal, stop in reverse."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Sequence

import uvloop

from api.assembly import assemble
from api.base import ALL_ROLES
from api.datadir import DataDirLock, own_temporary_files
from api.lifecycle import run_until, stop_on_signals
from api.listeners import Addresses, bind_all
from api.observability.logs import configure_logs
from schemas.settings import Settings

Roles = Sequence[str]


def serve(settings: Settings, roles: Roles = ALL_ROLES) -> None:
    """Run `roles` until SIGTERM or SIGINT, then drain; returns when everything is closed.

    Raises:
        DataDirError, ListenError, StoreError, ControlError, PepperError: it cannot start; the message names the fix.
    """
    os.umask(0o077)
    configure_logs(settings.log)
    lock = DataDirLock(settings.data_dir)
    if set(roles) == set(ALL_ROLES):
        lock.acquire()
        own_temporary_files(settings.data_dir)
    try:
        addresses = bind_all(settings, roles)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, roles, addresses))
    finally:
        lock.release()


async def _run(settings: Settings, roles: Roles, addresses: Addresses) -> None:
    stop = stop_on_signals(asyncio.get_running_loop())
    lines = addresses.lines()
    try:
        components = await assemble(settings, roles, addresses)
        await run_until(components, stop, lambda: _ready(lines))
    finally:
        addresses.close()


def _ready(lines: Sequence[str]) -> None:
    # Modules, prices and connections stay: collections, which stop every thread, need not go through them again and again.
    gc.collect()
    gc.freeze()
    announce(lines)


def announce(lines: Sequence[str]) -> None:
    """One line a listener and the line `ready`, for people and for whatever started this process."""
    for line in (*lines, "ready"):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
