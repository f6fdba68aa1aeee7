"""The OTLP/HTTP receiver: an ASGI application with one route, `POST /v1/traces`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from starlette.types import Receive, Scope, Send

from ingest.admission import Admission, OverloadedError, Reservation
from ingest.authentication import AuthenticationError, Authenticator
from ingest.body import BodyEncodingError, BodyTooLargeError, read_body
from ingest.otlp import MalformedRequestError, Validation, decode_json, decode_protobuf
from ingest.receiver import Receiver
from ingest.trace_log import RefusedRecordError, TraceLogError
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.control import ControlError

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_DECODERS: Mapping[str, Callable[[bytes], ExportTraceServiceRequest]] = {PROTOBUF: decode_protobuf, JSON: decode_json}
TRANSPORT = "http"
_RETRY_AFTER_S = 5

_log = structlog.get_logger("ingest.http")


@dataclass
class RefusalError(Exception):
    """An answer other than success: HTTP status, a fixed reason for the metric, and a message that names the fix."""

    status: int
    reason: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class SenderGoneError(Exception):
    """The sender hung up before the request was whole; nobody waits for an answer."""


class OtlpHttpReceiver:
    """Answers in the content type of the request, as OTLP asks; a 200 means durable."""

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
        try:
            validation = await self._serve(scope, headers, kind, receive)
            await _answer(send, 200, kind, _response(validation))
        except RefusalError as refusal:
            self._instruments.requests_rejected.labels(TRANSPORT, refusal.reason).inc()
            status = Status(code=_GRPC_CODES.get(refusal.status, 2), message=refusal.message)
            await _answer(send, refusal.status, kind, status, refusal.headers)
        except SenderGoneError:
            self._instruments.requests_rejected.labels(TRANSPORT, "sender_gone").inc()

    async def _serve(self, scope: Scope, headers: Mapping[str, str], kind: str, receive: Receive) -> Validation:
        if scope["path"].rstrip("/") != "/v1/traces":
            raise RefusalError(404, "unknown_path", f"nothing is received at {scope['path']}: send OTLP traces to /v1/traces")
        if scope["method"] != "POST":
            raise RefusalError(405, "wrong_method", "send traces with POST", (("allow", "POST"),))
        project = await self._project(headers)
        if kind not in _DECODERS:
            raise RefusalError(415, "wrong_type", f"Content-Type must be {PROTOBUF} or {JSON}, not {kind or 'missing'}")
        with self._admission.request() as reservation:
            body = await self._body(headers, receive, reservation)
            return await self._store(project, _DECODERS[kind], body)

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

    async def _store(self, project: str, decode: Callable[[bytes], ExportTraceServiceRequest], body: bytes) -> Validation:
        try:
            return await self._receiver.receive(project, decode(body), TRANSPORT)
        except MalformedRequestError as error:
            raise RefusalError(400, "malformed", str(error)) from error
        except RefusedRecordError as error:
            raise RefusalError(400, "refused", str(error)) from error
        except TraceLogError as error:
            raise _retry(503, "log_unavailable", str(error), error.retry_after_s) from error


_GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}


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


def _response(validation: Validation) -> ExportTraceServiceResponse:
    """Success; rejected spans, and warnings about accepted ones, travel as OTLP's partial success."""
    response = ExportTraceServiceResponse()
    if validation.message:
        response.partial_success.rejected_spans = validation.rejected.total()
        response.partial_success.error_message = validation.message
    return response


async def _answer(send: Send, status: int, kind: str, message: Message, headers: tuple[tuple[str, str], ...] = ()) -> None:
    as_json = kind != PROTOBUF
    body = MessageToJson(message, indent=None).encode() if as_json else message.SerializeToString()
    fields: dict[str, Any] = {"content-type": JSON if as_json else PROTOBUF, "content-length": len(body), **dict(headers)}
    raw = [(name.encode(), str(value).encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
