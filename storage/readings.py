"""How each metric of the catalogue is read: what every observation carries, and how observations become a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage.dimensions import TOP_DURATION

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

FAILED = "max(is_error)"
# Of several spans that report one response the outermost counts: it is nearest to the user.
FIRST_TOKEN = "argMin(time_to_first_token_ms, started_at)"  # noqa: S105 - a time, not a secret
UNPRICED = "max(cost_usd) IS NULL AND (max(input_tokens) IS NOT NULL OR max(output_tokens) IS NOT NULL)"

USAGE_COLUMNS: Mapping[str, str] = {
    "tokens.input": "input_tokens",
    "tokens.output": "output_tokens",
    "tokens.cache_read": "cache_read_tokens",
    "tokens.cache_write": "cache_write_tokens",
    "tokens.reasoning": "reasoning_tokens",
    "cost.usd": "cost_usd",
}


_EACH = "uniqExact(span_key)"
_MARKED = "uniqExactIf(span_key, x = 1)"


@dataclass(frozen=True)
class Reading:
    """SQL of one metric. `columns`: of each observation, by name; `value` and `n`: over the observations of a point."""

    columns: Mapping[str, str]
    value: str
    n: str


def quantile(level: float) -> str:
    """The exact quantile with linear interpolation: NumPy's default."""
    return f"quantileExactInclusive({level})(x)"


def _distribution(prefix: str, column: str, levels: tuple[str, ...]) -> dict[str, Reading]:
    carried = {"x": column}
    return {f"{prefix}.{name}": Reading(carried, quantile(QUANTILES[name]), "count(x)") for name in levels}


def _spans(condition: str) -> Reading:
    return Reading({"x": condition}, _MARKED, _EACH)


_ALL_SPANS = Reading({}, _EACH, _EACH)
_MEAN_LATENCY = Reading({"x": TOP_DURATION}, "avg(x)", "count(x)")

READINGS: Mapping[str, Reading] = {
    "spans.count": _ALL_SPANS,
    "spans.without_release": _ALL_SPANS,
    "spans.errors.count": _spans("is_error"),
    "spans.errors.rate": Reading(
        {"x": "is_error"}, "uniqExactIf(span_key, x = 1) / uniqExact(span_key)", "uniqExact(span_key)"
    ),
    "spans.invalid": _spans("notEmpty(invalid_attributes)"),
    "spans.latency.avg": Reading({"x": "duration_ms"}, "avg(x)", "count(x)"),
    **_distribution("spans.latency", "duration_ms", ("p50", "p95", "p99")),
    "requests.count": Reading({}, "count()", "count()"),
    "errors.count": Reading({"x": FAILED}, "countIf(x = 1)", "count()"),
    "errors.rate": Reading({"x": FAILED}, "countIf(x = 1) / count()", "count()"),
    "latency": _MEAN_LATENCY,
    "latency.avg": _MEAN_LATENCY,
    **_distribution("latency", TOP_DURATION, ("p50", "p95", "p99")),
    "time_to_first_token": Reading({"x": FIRST_TOKEN}, "avg(x)", "count(x)"),
    **_distribution("time_to_first_token", FIRST_TOKEN, ("p50", "p95")),
    **{name: Reading({"x": f"max({column})"}, "sum(x)", "count(x)") for name, column in USAGE_COLUMNS.items()},
    "cost.unpriced": Reading({"x": UNPRICED}, "countIf(x)", "count()"),
}
