"""The catalogue of metrics: names, units and dimensions that dashboards, rules and comparisons rely on.

Three scopes decide what one observation is:

* `span`: one span, however often it was sent;
* `usage`: one model response, however many nested spans repeat its usage;
* `request`: one trace. Its time and duration are those of its top span (its root, or the earliest span where no root was
  sent), it failed when any of its spans failed, and it has the release, target and user found on any of its spans.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Scope = Literal["span", "usage", "request"]
Kind = Literal["count", "rate", "quantile", "sum", "mean"]
Worse = Literal["up", "down", "none"]

# Operations whose spans report usage. Agents, chains and tools repeat what these spent.
USAGE_OPERATIONS: tuple[str, ...] = ("chat", "text_completion", "generate_content", "embeddings")

DIMENSIONS: tuple[str, ...] = (
    "service",
    "service_version",
    "environment",
    "model",
    "provider",
    "operation",
    "target",
    "release",
    "user",
    "conversation",
    "prompt",
    "prompt_version",
    "agent",
    "tool",
    "status",
    "error_type",
)

DIMENSIONS_BY_SCOPE: dict[Scope, tuple[str, ...]] = {
    "span": DIMENSIONS,
    "usage": tuple(name for name in DIMENSIONS if name not in ("tool", "status", "error_type")),
    "request": tuple(name for name in DIMENSIONS if name not in ("tool", "operation", "error_type")),
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


def _latency(name: str, kind: Kind, what: str) -> Metric:
    return Metric(f"latency.{name}", "ms", f"{what} duration of a request (its top span).", kind, "request", "up")


def _first_token(name: str, what: str) -> Metric:
    about = f"{what} time to the first token of a model response; null where no span reports it."
    return Metric(f"time_to_first_token.{name}", "ms", about, "quantile", "usage", "up")


def _span_latency(name: str, kind: Kind, what: str) -> Metric:
    return Metric(f"spans.latency.{name}", "ms", f"{what} duration of a span.", kind, "span", "up")


METRICS: tuple[Metric, ...] = (
    Metric("spans.count", "spans", "Spans, each counted once.", "count", "span"),
    Metric("spans.errors.count", "spans", "Spans with an error.", "count", "span", "up"),
    Metric("spans.errors.rate", "ratio", "Share of spans with an error; null without spans.", "rate", "span", "up"),
    _span_latency("avg", "mean", "Mean"),
    _span_latency("p50", "quantile", "Median"),
    _span_latency("p95", "quantile", "95th percentile of the"),
    _span_latency("p99", "quantile", "99th percentile of the"),
    Metric("spans.without_release", "spans", "Spans of requests in which no span names a release.", "count", "span"),
    Metric(
        "spans.invalid",
        "spans",
        "Spans with an attribute whose value could not be read (stored as null).",
        "count",
        "span",
        "up",
    ),
    Metric("requests.count", "requests", "Requests (traces), counted where their top span starts.", "count", "request"),
    Metric("errors.count", "requests", "Requests with an error in any of their spans.", "count", "request", "up"),
    Metric("errors.rate", "ratio", "Share of requests with an error in any of their spans.", "rate", "request", "up", True),
    Metric("latency", "ms", "Mean duration of a request (its top span).", "mean", "request", "up", True),
    _latency("avg", "mean", "Mean"),
    _latency("p50", "quantile", "Median"),
    _latency("p95", "quantile", "95th percentile of the"),
    _latency("p99", "quantile", "99th percentile of the"),
    Metric(
        "time_to_first_token",
        "ms",
        "Mean time to the first token of a model response; of a request, that of its first response which reports it.",
        "mean",
        "usage",
        "up",
        True,
    ),
    _first_token("p50", "Median"),
    _first_token("p95", "95th percentile of the"),
    Metric("tokens.input", "tokens", "Input tokens: uncached, cache reads and cache writes.", "sum", "usage", "up", True),
    Metric("tokens.output", "tokens", "Output tokens, reasoning included.", "sum", "usage", "up", True),
    Metric("tokens.cache_read", "tokens", "Input tokens read from a provider's cache.", "sum", "usage"),
    Metric("tokens.cache_write", "tokens", "Input tokens written to a provider's cache.", "sum", "usage"),
    Metric("tokens.reasoning", "tokens", "Reasoning tokens, a part of the output.", "sum", "usage", "up"),
    Metric("cost.usd", "USD", "Cost of the model responses that have a price.", "sum", "usage", "up", True),
    Metric("cost.unpriced", "responses", "Model responses with usage but without a price.", "count", "usage", "up"),
)

_BY_NAME = {metric.name: metric for metric in METRICS}


class UnknownMetricError(LookupError):
    """No such metric; `near` holds names that resemble it."""

    def __init__(self, name: str, near: tuple[str, ...]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "GET /v1/metrics lists them."
        super().__init__(f"there is no metric {name[:100]!r}: {hint}")
        self.near = near


def find_metric(name: str) -> Metric:
    """The metric called `name`.

    Raises:
        UnknownMetricError: with names near to it.
    """
    metric = _BY_NAME.get(name)
    if metric is None:
        raise UnknownMetricError(name, tuple(get_close_matches(name[:100], _BY_NAME, n=3, cutoff=0.5)))
    return metric


def find_comparable(name: str) -> Metric:
    """The metric called `name`, when releases can be compared by it.

    Raises:
        UnknownMetricError: with the comparable names.
    """
    metric = _BY_NAME.get(name)
    if metric is None or not metric.comparable:
        raise UnknownMetricError(name, tuple(known.name for known in METRICS if known.comparable))
    return metric
