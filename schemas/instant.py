"""Points in time as the API takes them: RFC 3339, or milliseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What the trace store can hold.
LATEST = datetime(2261, 12, 31, tzinfo=UTC)

_MILLISECONDS = re.compile(r"-?\d{1,18}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


def parse_instant(text: str) -> datetime:
    """`2026-01-31T12:00:00Z`, `2026-01-31T13:00:00.5+01:00` or `1769860800000`, in UTC.

    Raises:
        ValueError: naming the forms, or that the time lies outside 1970 to 2261.
    """
    # A plus sign that was not escaped arrives as a space.
    text = text.strip().replace(" ", "+")
    try:
        time = _read(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:40]!r} is no time: write 2026-01-31T12:00:00Z or epoch milliseconds") from error
    if not EPOCH <= time <= LATEST:
        raise ValueError(f"{text[:40]!r} lies outside 1970 to 2261")
    return time


def _read(text: str) -> datetime:
    if _MILLISECONDS.fullmatch(text):
        return EPOCH + timedelta(milliseconds=int(text))
    if not _RFC3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def _validate(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    return parse_instant(str(value))


Instant = Annotated[
    datetime,
    BeforeValidator(_validate),
    WithJsonSchema({"type": "string", "examples": ["2026-01-31T12:00:00Z", "1769860800000"]}),
]
