"""What a converted request says, in plain values."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.conversion import Conversion

MESSAGES = ("gen_ai.input.messages", "gen_ai.output.messages")


def spans_of(conversion: Conversion) -> list[Span]:
    """All spans, in their order."""
    request = conversion.request
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def attributes_of(span: Span) -> dict[str, Any]:
    """The attributes; messages as [role, part, part, …], a part as its text or what it is."""
    found = {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in span.attributes}
    return found | {key: [_message(one) for one in json.loads(found[key])] for key in MESSAGES if key in found}


def resources_of(conversion: Conversion) -> list[dict[str, str]]:
    """The attributes of each resource."""
    return [
        {one.key: one.value.string_value for one in resource.resource.attributes}
        for resource in conversion.request.resource_spans
    ]


def _message(message: dict[str, Any]) -> list[Any]:
    return [message["role"], *map(_part, message["parts"])]


def _part(part: dict[str, Any]) -> Any:
    return part["content"] if part["type"] == "text" else {name: value for name, value in part.items() if value is not None}
