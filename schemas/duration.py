"""Lengths of time as people write them: 90s, 5m, 1h30m, 2d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+")
_LONGEST = timedelta(days=3650)


def parse_duration(text: str) -> timedelta:
    """`1h30m` as a timedelta; `0` needs no unit.

    Raises:
        ValueError: naming the form.
    """
    if text.strip() == "0":
        return timedelta(0)
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a duration: write it as 30s, 5m, 1h30m or 7d")
    try:
        length = timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    except OverflowError:
        length = _LONGEST * 2
    if length > _LONGEST:
        raise ValueError(f"{text!r} is longer than {_LONGEST.days} days")
    return length


def format_duration(length: timedelta) -> str:
    """The shortest form that `parse_duration` reads back: 5m, 1h30m, 0s."""
    rest = round(length / timedelta(milliseconds=1))
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _read(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    raise ValueError(f"{value!r} has no unit: write a duration as 30s, 5m, 1h30m or 7d")


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["30s", "5m", "1h30m", "7d"]}),
]
