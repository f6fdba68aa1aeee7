"""Opaque cursors: where a search goes on, tied to the filters it was made with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Mapping

from api.problem import Problem
from storage.spans import Position

_FORM = struct.Struct(">8sqQ")


def encode(position: Position, filters: Mapping[str, str]) -> str:
    """The cursor of `position` in the search with `filters`."""
    packed = _FORM.pack(_digest(filters), position.time_ms, position.span_key)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(cursor: str, filters: Mapping[str, str]) -> Position:
    """The position of a cursor.

    Raises:
        Problem: 400 when it was not made by `encode`, or for other filters.
    """
    try:
        digest, time_ms, span_key = _FORM.unpack(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (binascii.Error, struct.error, ValueError) as error:
        raise _bad("It is not one that this API gave out: start again without a cursor.") from error
    if digest != _digest(filters):
        raise _bad("It belongs to other filters: send the same ones, or start again without a cursor.")
    if not 0 <= time_ms < 1 << 43:
        raise _bad("It is not one that this API gave out: start again without a cursor.")
    return Position(time_ms, span_key)


def _bad(detail: str) -> Problem:
    return Problem(400, "The cursor cannot be used", detail, type="bad-cursor")


def _digest(filters: Mapping[str, str]) -> bytes:
    return hashlib.sha256(json.dumps(sorted(filters.items())).encode()).digest()[:8]
