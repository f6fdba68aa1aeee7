"""Servers of the demo world: bind a free port, say where, then `ready`, then serve until SIGTERM."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp


def serve(name: str, app: ASGIApp) -> None:
    """Run `app`; the lines on standard output are those of `tracewarden serve`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announce({name: f"http://127.0.0.1:{listener.getsockname()[1]}"})
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[listener])


def announce(addresses: dict[str, str]) -> None:
    """One line an address, and `ready`."""
    for name, address in addresses.items():
        print(f"{name}: {address}")
    print("ready", flush=True)
