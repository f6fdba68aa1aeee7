"""The streams of embedding drift: a part of the texts of a slice of the traffic."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from schemas.duration import parse_duration

DriftPart = Literal["prompt", "completion", "query"]
PARTS: tuple[DriftPart, ...] = ("prompt", "completion", "query")

Verdict = Literal[
    "drift",
    "no-drift",
    "no-data",
    "not-enough-data",
    "collecting-reference",
    "reference-too-small",
    "embedder-changed",
    "no-reference",
]
"""What a look says; only the first two are judgements."""

LONGEST_BUCKET = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Slice:
    """A level of traffic: a (service, target), or within it one release or one model. Empty release or model: all."""

    service: str = ""
    target: str = ""
    release: str = ""
    model: str = ""

    @property
    def level(self) -> Literal["service", "release", "model"]:
        """Which of the three it is."""
        return "release" if self.release else "model" if self.model else "service"

    @property
    def whole(self) -> Slice:
        """The (service, target) that it belongs to."""
        return Slice(self.service, self.target)

    def holds(self, text: Slice) -> bool:
        """Whether a text of this service, target, release and model belongs to it."""
        return (
            (self.service, self.target) == (text.service, text.target)
            and self.release in ("", text.release)
            and self.model in ("", text.model)
        )


@dataclass(frozen=True, order=True)
class Stream:
    """What is watched: one part of one slice of a project."""

    project: str
    part: str
    slice: Slice

    @property
    def key(self) -> str:
        """A short name of part and slice, 32 hex digits."""
        text = json.dumps([self.part, *asdict(self.slice).values()])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def bucket_of(scales: Iterable[str]) -> timedelta:
    """The stretch of arrival that a sketch covers: it divides every unit, and is an hour at most."""
    seconds = [max(1, round(parse_duration(scale).total_seconds())) for scale in scales]
    return timedelta(seconds=math.gcd(*seconds, round(LONGEST_BUCKET.total_seconds())))


def floor_to(time: datetime, unit: timedelta) -> datetime:
    """The start of the unit that holds `time`; units are multiples since 1970."""
    return time - (time - _EPOCH) % unit
