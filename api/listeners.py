"""Listening sockets, bound before anything is opened so that a port in use is the first thing said."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from api.lifecycle import Component
from schemas.settings import Settings

DRAIN_S = 5
BACKLOG = 2048


class ListenError(Exception):
    """A listener cannot have its address; the message names the fix."""


def bind(host: str, port: int, flag: str) -> socket.socket:
    """A bound TCP socket, not listening yet; `flag` is the command-line option that chose the port.

    Raises:
        ListenError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise ListenError(f"host {host} is not known: pass --host with an address of this machine") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ListenError(_why(error, host, port, flag)) from error
    bound.setblocking(False)
    return bound


def _why(error: OSError, host: str, port: int, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: stop the other process or pass {flag}"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed for this user: pass {flag} with a port of 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host} is not an address of this machine: pass --host"
    return f"port {port} on {host} cannot be bound ({error.strerror}): pass {flag} or --host"


def port_of(bound: socket.socket) -> int:
    """The port a socket has in the end (0 asked for a free one)."""
    port: int = bound.getsockname()[1]
    return port


@dataclass(frozen=True)
class Addresses:
    """The bound sockets of a process; a role without OTLP has neither of its two."""

    api: socket.socket
    otlp_http: socket.socket | None
    otlp_grpc: socket.socket | None

    def lines(self) -> list[str]:
        """Each listener's name and address, for people."""
        named = (("api", "http://", self.api), ("otlp-http", "http://", self.otlp_http), ("otlp-grpc", "", self.otlp_grpc))
        return [f"{name}: {scheme}{place(bound)}" for name, scheme, bound in named if bound is not None]

    def close(self) -> None:
        """Close what no listener took over. Safe to call twice."""
        for bound in (self.api, self.otlp_http, self.otlp_grpc):
            if bound is not None:
                bound.close()


def place(bound: socket.socket) -> str:
    """As in a URL."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind_all(settings: Settings, roles: Sequence[str]) -> Addresses:
    """Every listener of `roles`; none stays open when one cannot be had.

    Raises:
        ListenError: for the first that cannot be had.
    """
    with contextlib.ExitStack() as bound:
        api = bound.enter_context(bind(settings.host, settings.port, "--port"))
        http = grpc = None
        if "ingest" in roles:
            http = bound.enter_context(bind(settings.host, settings.otlp_http_port, "--otlp-http-port"))
            grpc = bound.enter_context(bind(settings.host, settings.otlp_grpc_port, "--otlp-grpc-port"))
        bound.pop_all()
    return Addresses(api, http, grpc)


class _Server(uvicorn.Server):
    """A uvicorn server among several in one event loop: signals belong to the process, not to it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class HttpListener:
    """One ASGI application on one bound socket."""

    def __init__(self, name: str, app: ASGIApp, bound: socket.socket) -> None:
        self.name = name
        self._socket = bound
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it accepts connections."""
        self._task = asyncio.create_task(self._server.serve([self._socket]), name=self.name)
        waiting = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()
            raise ListenError(f"{self.name} did not start: its error is in the log above")

    async def stop(self) -> None:
        """Take no new connection, answer what was asked (for at most `DRAIN_S`), close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


class ReservedPort:
    """A listener that binds by itself: its port is held by us until the moment it starts."""

    def __init__(self, listener: Component, reserved: socket.socket, flag: str) -> None:
        self._listener = listener
        self._reserved = reserved
        self._flag = flag

    async def start(self) -> None:
        """Let go of the port, and start what binds it.

        Raises:
            ListenError: someone else took the port in that moment.
        """
        host, port = self._reserved.getsockname()[:2]
        self._reserved.close()
        try:
            await self._listener.start()
        except OSError as error:
            raise ListenError(_why(OSError(errno.EADDRINUSE, "in use"), host, port, self._flag)) from error

    async def stop(self) -> None:
        """Stop the listener."""
        await self._listener.stop()
        self._reserved.close()
