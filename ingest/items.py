"""The items of a JSON body: a list, one object, or an object on each line (NDJSON). Pure functions on bytes."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

from ingest.otlp import MalformedRequestError

# What Python's json writes although JSON does not have it, and halves of a character: no reason to lose a whole batch.
_FORGIVEN = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Unreadable:
    """A line that is not JSON, and why."""

    detail: str


def read_items(body: bytes) -> list[Any]:
    """What the body holds, item by item; a line of NDJSON that cannot be read is an `Unreadable` in its place.

    The content type does not tell: senders of NDJSON say application/json too.

    Raises:
        MalformedRequestError: it is neither JSON nor lines of JSON; the message says where.
    """
    text = body.strip()
    if not text:
        raise MalformedRequestError("the body is empty: send a JSON list, an object, or an object on each line")
    try:
        document = _parsed(text)
    except ValueError as error:
        items = _lines(text)
        if items is None:
            raise MalformedRequestError(f"the body is not JSON: {error}") from error
        return items
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list):
        raise MalformedRequestError(f"the body must be a JSON list or an object, not {name_of(document)}")
    return document


def name_of(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _lines(text: bytes) -> list[Any] | None:
    """The items of NDJSON; None where the body is broken JSON instead, which may have a line or two that are whole."""
    items = [_line(line) for line in text.splitlines() if line.strip()]
    objects = sum(isinstance(item, dict) for item in items)
    return items if len(items) > 1 and 2 * objects >= len(items) else None


def _line(line: bytes) -> Any:
    try:
        return _parsed(line)
    except ValueError as error:
        return Unreadable(f"the line is not JSON: {error}")


def _parsed(text: bytes) -> Any:
    """The document; numbers that JSON does not have become their text, halves of a character U+FFFD.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not _FORGIVEN.search(text):
            raise
        try:
            document = json.loads(text, parse_constant=str, parse_float=_finite)
            return orjson.loads(_HALVES.sub("\ufffd", json.dumps(document, ensure_ascii=False)))
        except (ValueError, RecursionError):
            raise error from None


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text
