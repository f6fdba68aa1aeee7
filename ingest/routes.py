"""What is received on the port of OTLP/HTTP: for each path how bodies are read, and how answers are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import orjson
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from ingest import batch, litellm
from ingest.conversion import Conversion, Refused
from ingest.otlp import Validation, decode_json, decode_protobuf

PROTOBUF, JSON, PROBLEM = "application/x-protobuf", "application/json", "application/problem+json"
MAX_ERRORS = 100
_LINES = ("application/x-ndjson", "application/jsonl")
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}
_OTLP_DECODERS: Mapping[str, Callable[[bytes], ExportTraceServiceRequest]] = {PROTOBUF: decode_protobuf, JSON: decode_json}


@dataclass
class RefusalError(Exception):
    """An answer other than success: HTTP status, a fixed reason for the metric, and a message that names the fix."""

    status: int
    reason: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Reply:
    """The answer to a request."""

    status: int
    kind: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Route(Protocol):
    """One path: its label in metrics, the content types it takes, and what they become."""

    transport: str
    kinds: tuple[str, ...]

    async def decode(self, kind: str, body: bytes) -> Conversion:
        """The body as an OTLP request.

        Raises:
            MalformedRequestError: it is none.
        """

    def success(self, kind: str, conversion: Conversion, validation: Validation) -> Reply:
        """Everything that was accepted is durable."""

    def refusal(self, kind: str, path: str, refusal: RefusalError) -> Reply:
        """Nothing was."""


class OtlpRoute:
    """OTLP answers in the content type of the request, and refuses with a `Status`."""

    transport = "http"
    kinds: tuple[str, ...] = tuple(_OTLP_DECODERS)

    async def decode(self, kind: str, body: bytes) -> Conversion:
        """Protobuf, or OTLP's own form of JSON."""
        return Conversion(_OTLP_DECODERS[kind](body))

    def success(self, kind: str, conversion: Conversion, validation: Validation) -> Reply:
        """Rejected spans, and warnings about accepted ones, travel as OTLP's partial success."""
        response = ExportTraceServiceResponse()
        if validation.message:
            response.partial_success.rejected_spans = validation.rejected.total()
            response.partial_success.error_message = validation.message
        return _otlp_reply(200, kind, response)

    def refusal(self, kind: str, path: str, refusal: RefusalError) -> Reply:
        """OTLP's clients show the message."""
        status = Status(code=_GRPC_CODES.get(refusal.status, 2), message=refusal.message)
        return _otlp_reply(refusal.status, kind, status, refusal.headers)


def _otlp_reply(status: int, kind: str, message: Message, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    if kind == PROTOBUF:
        return Reply(status, PROTOBUF, message.SerializeToString(), headers)
    return Reply(status, JSON, MessageToJson(message, indent=None).encode(), headers)


class JsonRoute:
    """Items of plain JSON, each accepted or refused by itself; refusals are problem+json, as those of the query API."""

    kinds: tuple[str, ...] = (JSON, *_LINES)

    def __init__(self, transport: str, decode: Callable[[bytes], Conversion]) -> None:
        self.transport = transport
        self._decode = decode

    async def decode(self, kind: str, body: bytes) -> Conversion:
        """On a thread: a large batch takes a second of Python, in which other senders are answered."""
        return await asyncio.to_thread(self._decode, body)

    def success(self, kind: str, conversion: Conversion, validation: Validation) -> Reply:
        """How many items were accepted and rejected, and why."""
        answer: dict[str, Any] = {"accepted": conversion.accepted, "rejected": len(conversion.refused)}
        answer["errors"] = _errors(conversion.refused)
        if validation.message:
            answer["warning"] = validation.message
        return Reply(200, JSON, orjson.dumps(answer))

    def refusal(self, kind: str, path: str, refusal: RefusalError) -> Reply:
        """RFC 9457."""
        problem: dict[str, Any] = {
            "type": f"urn:tracewarden:{_TYPES.get(refusal.reason, refusal.reason).replace('_', '-')}",
            "title": HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "detail": refusal.message,
            "instance": path,
        }
        if refusal.refused:
            problem |= {"accepted": 0, "rejected": len(refusal.refused), "errors": _errors(refusal.refused)}
        return Reply(refusal.status, PROBLEM, orjson.dumps(problem), refusal.headers)


_TYPES = {"too_large": "body_too_large", "wrong_type": "not_json", "malformed": "malformed_json"}
"""Reasons that the query API calls otherwise."""


def _errors(refused: tuple[Refused, ...]) -> list[dict[str, Any]]:
    return [{"index": one.index, "detail": one.detail} for one in refused[:MAX_ERRORS]]


OTLP = OtlpRoute()
ROUTES: Mapping[str, Route] = {
    "/v1/traces": OTLP,
    "/v1/litellm": JsonRoute("litellm", litellm.decode),
    "/v1/batch": JsonRoute("batch", batch.decode),
}

_WAYS = "send OTLP traces to /v1/traces, LiteLLM's callback to /v1/litellm, plain JSON to /v1/batch"
_ELSEWHERE: Mapping[str, str] = {
    "/v1/logs": (
        "logs are not received: have the instrumentation put prompts and answers on spans (Python's GenAI instrumentations: "
        "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental and "
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY), and switch the exporter of logs off with "
        "OTEL_LOGS_EXPORTER=none"
    ),
    "/v1/metrics": "metrics are not received: switch their exporter off with OTEL_METRICS_EXPORTER=none",
}


def unknown_path(path: str) -> str:
    """What to do instead of sending to a path where nothing is received."""
    return _ELSEWHERE.get(path.rstrip("/"), f"nothing is received at {path}: {_WAYS}")
