"""The HTTP receiver: an ASGI application with the routes of `ingest.routes`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from ingest.admission import Admission, OverloadedError, Reservation
from ingest.authentication import AuthenticationError, Authenticator
from ingest.body import BodyEncodingError, BodyTooLargeError, read_body
from ingest.conversion import Refused
from ingest.otlp import MalformedRequestError
from ingest.receiver import Receiver
from ingest.routes import OTLP, ROUTES, RefusalError, Reply, Route, unknown_path
from ingest.trace_log import RefusedRecordError, TraceLogError
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.control import ControlError

_RETRY_AFTER_S = 5


class SenderGoneError(Exception):
    """The sender hung up before the request was whole; nobody waits for an answer."""


class OtlpHttpReceiver:
    """Serves OTLP and the other ways in on one port; a 200 means durable."""

    def __init__(
        self,
        receiver: Receiver,
        authenticator: Authenticator,
        admission: Admission,
        settings: IngestSettings,
        instruments: Instruments,
    ) -> None:
        self._receiver = receiver
        self._authenticator = authenticator
        self._admission = admission
        self._settings = settings
        self._instruments = instruments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        route = ROUTES.get(scope["path"].rstrip("/"), OTLP)
        try:
            reply = await self._serve(route, scope, headers, kind, receive)
        except RefusalError as refusal:
            self._instruments.requests_rejected.labels(route.transport, refusal.reason).inc()
            reply = route.refusal(kind, scope["path"], refusal)
        except SenderGoneError:
            self._instruments.requests_rejected.labels(route.transport, "sender_gone").inc()
            return
        await _answer(send, reply)

    async def _serve(self, route: Route, scope: Scope, headers: Mapping[str, str], kind: str, receive: Receive) -> Reply:
        if scope["path"].rstrip("/") not in ROUTES:
            raise RefusalError(404, "unknown_path", unknown_path(scope["path"]))
        if scope["method"] != "POST":
            raise RefusalError(405, "wrong_method", "send with POST", (("allow", "POST"),))
        project = await self._project(headers)
        if kind not in route.kinds:
            raise RefusalError(415, "wrong_type", f"Content-Type must be {' or '.join(route.kinds)}, not {kind or 'missing'}")
        with self._admission.request() as reservation:
            body = await self._body(headers, receive, reservation)
            return await self._store(route, project, kind, body)

    async def _project(self, headers: Mapping[str, str]) -> str:
        try:
            return (await self._authenticator.principal(headers)).project
        except AuthenticationError as error:
            challenge = (("www-authenticate", 'Bearer realm="tracewarden"'),) if error.status == 401 else ()
            raise RefusalError(error.status, "unauthenticated", str(error), challenge) from error
        except ControlError as error:
            raise _retry(503, "keys_unavailable", str(error), _RETRY_AFTER_S) from error

    async def _body(self, headers: Mapping[str, str], receive: Receive, reservation: Reservation) -> bytes:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            raise RefusalError(415, "wrong_encoding", f"Content-Encoding {encoding} is not understood: use gzip or none")
        settings = self._settings
        try:
            return await read_body(
                _chunks(receive),
                gzip=encoding == "gzip",
                max_wire=settings.max_body_bytes,
                max_expanded=settings.max_expanded_bytes,
                reservation=reservation,
            )
        except BodyTooLargeError as error:
            raise RefusalError(413, "too_large", str(error)) from error
        except BodyEncodingError as error:
            raise RefusalError(400, "malformed", str(error)) from error
        except OverloadedError as error:
            raise _retry(429, "overloaded", str(error), error.retry_after_s) from error

    async def _store(self, route: Route, project: str, kind: str, body: bytes) -> Reply:
        try:
            conversion = await route.decode(kind, body)
            self._receiver.refuse(len(conversion.refused))
            if conversion.refused and not conversion.accepted:
                raise _all_refused(conversion.refused)
            validation = await self._receiver.receive(project, conversion.request, route.transport)
        except MalformedRequestError as error:
            raise RefusalError(400, "malformed", str(error)) from error
        except RefusedRecordError as error:
            raise RefusalError(400, "refused", str(error)) from error
        except TraceLogError as error:
            raise _retry(503, "log_unavailable", str(error), error.retry_after_s) from error
        return route.success(kind, conversion, validation)


def _all_refused(refused: tuple[Refused, ...]) -> RefusalError:
    first = refused[0]
    message = f"none of the {len(refused)} items can be stored; the item {first.index}: {first.detail}"
    return RefusalError(422, "invalid_request", message, refused=refused)


def _retry(status: int, reason: str, message: str, after_s: int) -> RefusalError:
    return RefusalError(status, reason, message, (("retry-after", str(after_s)),))


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


async def _answer(send: Send, reply: Reply) -> None:
    fields: dict[str, Any] = {"content-type": reply.kind, "content-length": len(reply.body), **dict(reply.headers)}
    raw = [(name.encode(), str(value).encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body})
