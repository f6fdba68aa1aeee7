"""From items of JSON to one OTLP request, whatever an item is: what cannot be converted is refused alone."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from ingest.items import Unreadable, name_of
from ingest.otlp import MAX_SPAN_BYTES, Reason

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
MAX_NS = 2**63 - 1
_HEX_OR_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class ItemError(ValueError):
    """An item cannot be stored; the message names the fix."""


@dataclass(frozen=True)
class Refused:
    """An item that was not stored: its place in the body, from 0, and why."""

    index: int
    detail: str


@dataclass(frozen=True)
class Conversion:
    """What a body became: a request, how many items are in it, and the items that are not."""

    request: ExportTraceServiceRequest
    accepted: int = 0
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Converted:
    """One item as a span, and the attributes of its resource; values that are None or empty are not given."""

    resource: Mapping[str, str | None]
    span: Span


def convert(items: Iterable[Any], one: Callable[[dict[str, Any]], Converted], scope: str) -> Conversion:
    """All items as one request, in their order, with a resource for each set of its attributes.

    The same items give the same bytes, so that a retry is recognised. `one` raises an `ItemError`.
    """
    request = ExportTraceServiceRequest()
    scopes: dict[tuple[tuple[str, str], ...], ScopeSpans] = {}
    refused: list[Refused] = []
    accepted = 0
    for index, item in enumerate(items):
        try:
            made = _converted(item, one)
        except ItemError as error:
            refused.append(Refused(index, str(error)))
            continue
        key = tuple((name, value) for name, value in made.resource.items() if value)
        if key not in scopes:
            resource = request.resource_spans.add()
            resource.resource.attributes.extend(key_values(dict(key)))
            scopes[key] = resource.scope_spans.add()
            scopes[key].scope.name = scope
        scopes[key].spans.append(made.span)
        accepted += 1
    return Conversion(request, accepted, tuple(refused))


def _converted(item: Any, one: Callable[[dict[str, Any]], Converted]) -> Converted:
    if isinstance(item, Unreadable):
        raise ItemError(item.detail)
    if not isinstance(item, dict):
        raise ItemError(f"must be an object, not {name_of(item)}")
    made = one(item)
    if made.span.ByteSize() > MAX_SPAN_BYTES:
        raise ItemError(Reason.TOO_LARGE.value)
    return made


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes of OTLP out of JSON values; null and what is empty are not given."""
    given = {key: value for key, value in attributes.items() if value not in (None, "", [], {})}
    return [KeyValue(key=key, value=_any_value(value)) for key, value in given.items()]


def as_json(value: Any) -> str:
    """A value as JSON text.

    Raises:
        ItemError: it is nested too deeply.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise ItemError(f"cannot be written as JSON ({error}): nest it less deeply") from error


def derived(size: int, *texts: str) -> bytes:
    """An id of `size` bytes that is always the same for the same texts."""
    digest = hashlib.blake2b(orjson.dumps(texts), digest_size=size).digest()
    return digest if any(digest) else digest[:-1] + b"\x01"


def trace_id_of(text: str) -> bytes | None:
    """The 32 hexadecimal digits of a trace id, or a UUID, as bytes; None where it is neither or zero."""
    found = bytes.fromhex(text.replace("-", "")) if _HEX_OR_UUID.fullmatch(text) else b""
    return found if any(found) else None


def _any_value(value: Any) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float) and math.isfinite(value):
        return AnyValue(double_value=value)
    return AnyValue(string_value=as_json(value))
