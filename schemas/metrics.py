"""The catalogue of metrics: names, units and dimensions that dashboards, rules and comparisons rely on.

Five scopes decide what one observation is:

* `span`: one span, however often it was sent;
* `usage`: one model response, however many nested spans repeat its usage;
* `request`: one trace. Its time and duration are those of its top span (its root, or the earliest span where no root was
  sent), it failed when any of its spans failed, and it has the release, target and user found on any of its spans;
* `score`: one judgement of a span by an analyzer or a person (schemas/score_metrics.py);
* `look`: one look at the drift of a stream of texts.
"""

from __future__ import annotations

from difflib import get_close_matches

from schemas.metric import (
    ALL_DIMENSIONS,
    DIMENSIONS,
    DIMENSIONS_BY_SCOPE,
    USAGE_OPERATIONS,
    Kind,
    Metric,
    Scope,
    Worse,
)
from schemas.score_metrics import LOOK_METRICS, SCORE_METRICS, LookMetric, ScoreMetric, evaluation_metric

__all__ = [
    "ALL_DIMENSIONS",
    "DIMENSIONS",
    "DIMENSIONS_BY_SCOPE",
    "METRICS",
    "USAGE_OPERATIONS",
    "DuplicateMetricError",
    "IncomparableMetricError",
    "Kind",
    "LookMetric",
    "Metric",
    "Scope",
    "ScoreMetric",
    "UnknownMetricError",
    "Worse",
    "catalogue",
    "find_comparable",
    "find_metric",
    "register_score_metrics",
]


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
    *SCORE_METRICS,
    *LOOK_METRICS,
)
"""The metrics that come with Tracewarden."""

_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


class UnknownMetricError(LookupError):
    """No such metric; `near` holds names that resemble it."""

    title = "No such metric"

    def __init__(self, name: str, near: tuple[str, ...]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "GET /v1/metrics lists them."
        super().__init__(f"there is no metric {name[:100]!r}: {hint}")
        self.near = near


class IncomparableMetricError(UnknownMetricError):
    """The metric exists, and has no value for each request; `near` holds those that do."""

    title = "Releases cannot be compared by this metric"

    def __init__(self, name: str, near: tuple[str, ...]) -> None:
        LookupError.__init__(self, f"releases cannot be compared by {name}: use one of {', '.join(near)}")
        self.near = near


class DuplicateMetricError(ValueError):
    """Two definitions of one metric; the message names it and the fix."""


def catalogue() -> tuple[Metric, ...]:
    """Every metric, those of third parties last; those of evaluations, named by applications, are not among them."""
    return tuple(_BY_NAME.values())


def register_score_metrics(*metrics: ScoreMetric) -> None:
    """Add metrics of a third party's analyzer, when a process is put together. The same definition again changes nothing.

    Raises:
        DuplicateMetricError: a name has another definition; then none is added.
    """
    given = {metric.name: metric for metric in metrics}
    taken = [metric.name for metric in metrics if {_BY_NAME.get(metric.name, metric), given[metric.name]} != {metric}]
    if taken:
        raise DuplicateMetricError(
            f"there is a metric {taken[0]!r} already: give yours another name, such as <analyzer>.<what>"
        )
    _BY_NAME.update(given)


def find_metric(name: str) -> Metric:
    """The metric called `name`.

    Raises:
        UnknownMetricError: with names near to it.
    """
    metric = _named(name)
    if metric is None:
        raise UnknownMetricError(name, tuple(get_close_matches(name[:100], _BY_NAME, n=3, cutoff=0.5)))
    return metric


def _named(name: str) -> Metric | None:
    return _BY_NAME.get(name) or evaluation_metric(name)


def find_comparable(name: str) -> Metric:
    """The metric called `name`, when releases can be compared by it.

    Raises:
        UnknownMetricError: with names near to it; an `IncomparableMetricError` has the comparable ones.
    """
    metric = find_metric(name)
    if not metric.comparable:
        raise IncomparableMetricError(name, tuple(known.name for known in catalogue() if known.comparable))
    return metric
