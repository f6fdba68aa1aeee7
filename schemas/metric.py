"""What a metric is. The metrics themselves are in schemas/metrics.py and schemas/score_metrics.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["span", "usage", "request", "score", "look"]
Kind = Literal["count", "rate", "quantile", "sum", "mean", "latest"]
Worse = Literal["up", "down", "none"]
Scale = Literal["log", "linear", "rate"]

# Operations whose spans report usage. Agents, chains and tools repeat what these spent.
USAGE_OPERATIONS: tuple[str, ...] = ("chat", "text_completion", "generate_content", "embeddings")

# Those of spans and of what was said about them.
_OF_BOTH = ("environment", "model", "provider", "operation", "target", "release", "user", "conversation")

DIMENSIONS: tuple[str, ...] = (
    "service",
    "service_version",
    *_OF_BOTH,
    "prompt",
    "prompt_version",
    "agent",
    "tool",
    "status",
    "error_type",
)

SCORE_DIMENSIONS: tuple[str, ...] = ("service", *_OF_BOTH, "scorer")

LOOK_DIMENSIONS: tuple[str, ...] = ("service", "target", "release", "model", "part", "scale")

# All that a series can be grouped or filtered by, of whatever metric.
ALL_DIMENSIONS: tuple[str, ...] = tuple(dict.fromkeys((*DIMENSIONS, *SCORE_DIMENSIONS, *LOOK_DIMENSIONS)))

DIMENSIONS_BY_SCOPE: dict[Scope, tuple[str, ...]] = {
    "span": DIMENSIONS,
    "usage": tuple(name for name in DIMENSIONS if name not in ("tool", "status", "error_type")),
    "request": tuple(name for name in DIMENSIONS if name not in ("tool", "operation", "error_type")),
    "score": SCORE_DIMENSIONS,
    "look": LOOK_DIMENSIONS,
}


@dataclass(frozen=True)
class Metric:
    """One entry of the catalogue. `comparable`: it has one value for each request, so two releases can be compared by it."""

    name: str
    unit: str
    description: str
    kind: Kind
    scope: Scope
    worse: Worse = "none"
    comparable: bool = False

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What it can be grouped and filtered by."""
        return DIMENSIONS_BY_SCOPE[self.scope]

    @property
    def scale(self) -> Scale:
        """How releases are compared by it: logarithms (relative changes), shares, or values as they are."""
        return "rate" if self.kind == "rate" else "log"

    @property
    def analyzer(self) -> str:
        """The analyzer whose watermark says how far it is known; empty: known as soon as the log is stored."""
        return ""
