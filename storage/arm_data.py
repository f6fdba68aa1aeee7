"""What a comparison of releases reads of each: the question, and its answer as sufficient statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from storage.scope import Axis

EXAMPLES = 5


@dataclass(frozen=True)
class ArmQuery:
    """The requests of one release of a target between `start` (included) and `end`.

    `axis` says whether a request belongs to the range by the start of its top span or by that span's arrival.
    """

    project: str
    metric: str
    target: str
    release: str
    start: datetime
    end: datetime
    axis: Axis = "event"
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Requests of one stretch of time; `variance` is the sample's (n − 1), 0 for a single request."""

    n: int
    mean: float
    variance: float


@dataclass(frozen=True)
class ArmData:
    """Sufficient statistics of an arm, on the metric's scale: natural logarithm, 0 and 1 for rates, or the values as they are.

    `events` counts the requests with the event (failed, flagged; rates only). `examples` are hex trace ids of the worst
    requests. `missing` counts requests of the release without a value, or with one that has no logarithm (≤ 0). Without
    requests `mean` and `variance` are 0 and `n` says so. `scorer` is whose scores were read, empty where none were: of
    scores that stand for several spans each, `n` is the number of equal weights that would tell as much.
    """

    n: int
    mean: float
    variance: float
    events: int | None
    blocks: tuple[Block, ...]
    examples: tuple[str, ...]
    missing: int
    scorer: str = ""


def combine(blocks: Iterable[Block]) -> Block:
    """All blocks as one (Chan, Golub and LeVeque 1983: exact for any split)."""
    blocks = tuple(blocks)
    n = sum(block.n for block in blocks)
    if n == 0:
        return Block(0, 0.0, 0.0)
    mean = math.fsum(block.n * block.mean for block in blocks) / n
    within = math.fsum((block.n - 1) * block.variance for block in blocks)
    between = math.fsum(block.n * (block.mean - mean) ** 2 for block in blocks)
    return Block(n, mean, (within + between) / (n - 1) if n > 1 else 0.0)
