"""Evaluating threshold rules: the metric over the window that ends at the watermark, one observation a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from alerting.comparator import side
from alerting.observation import Observation, fingerprint_of
from alerting.reach import Analyzed, reach
from schemas.duration import format_duration
from schemas.metrics import find_metric
from schemas.rules import ThresholdRule
from storage.clickhouse import ClickHouseStore
from storage.metrics import MetricQuery, Series, read_series

# Drift is looked at once an hour or a day: a rule finds the latest look within this time, or its window if that is longer.
LOOKS_WITHIN = timedelta(days=2)


async def observe_threshold(
    store: ClickHouseStore,
    rule: ThresholdRule,
    project: str,
    at: datetime,
    known: Sequence[Mapping[str, str]] = (),
    analyzed: Analyzed | None = None,
) -> list[Observation]:
    """One observation for each series, and one of missing data for each identity in `known` that has none.

    The window ends at `at`, or where the metric's analyzer is if that lags behind.

    Raises:
        StoreError: the store could not answer.
    """
    metric = find_metric(rule.metric)
    known_to = await reach(metric, at, analyzed)
    if known_to is None:
        return _missing(rule, project, at, (), known, f"{metric.analyzer} has analyzed nothing yet")
    at = known_to
    window = max(rule.window, LOOKS_WITHIN) if metric.kind == "latest" else rule.window
    query = MetricQuery(
        project=project,
        metric=rule.metric,
        start=at - window,
        end=at,
        step=None,
        group_by=rule.group_by,
        filters=rule.filters,
        axis="arrival",
    )
    found = [judge_series(rule, project, series, at) for series in await read_series(store, query)]
    return found + _missing(rule, project, at, found, known, _silence(rule))


def judge_series(rule: ThresholdRule, project: str, series: Series, at: datetime) -> Observation:
    """What one series says."""
    # Not by its scorer, unless the rule says so: another version of an analyzer goes on with the same alert.
    identity = identity_of(rule, project, {name: series.labels[name] for name in rule.group_by})
    point = series.points[-1] if series.points else None
    if point is None or point.value is None:
        return Observation(identity, "missing", _silence(rule), at)
    if point.n < (rule.min_samples or 1):
        return Observation(identity, "unsure", f"{point.n} samples, {rule.min_samples} are needed", at, point.value)
    signal = side(point.value, rule.bad_side, rule.threshold, rule.recovery_threshold)
    return Observation(identity, signal, _reason(rule, point.value, point.n), at, point.value)


def identity_of(rule: ThresholdRule, project: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of one alert of the rule; the series' own may not hide them."""
    return {**{name: value for name, value in labels.items() if value}, "alertname": rule.name, "project": project}


def _missing(
    rule: ThresholdRule,
    project: str,
    at: datetime,
    found: Sequence[Observation],
    known: Sequence[Mapping[str, str]],
    reason: str,
) -> list[Observation]:
    expected = [*known] if rule.group_by else [identity_of(rule, project, {})]
    seen = {observation.fingerprint for observation in found}
    return [Observation(identity, "missing", reason, at) for identity in expected if fingerprint_of(identity) not in seen]


def _silence(rule: ThresholdRule) -> str:
    return f"{rule.metric} has no data within {format_duration(rule.window)}"


def _reason(rule: ThresholdRule, value: float, n: int) -> str:
    unit = find_metric(rule.metric).unit
    sign = ">" if rule.bad_side == "above" else "<"
    beyond = side(value, rule.bad_side, rule.threshold, rule.threshold) == "breach"
    relation = sign if beyond else ("≤" if sign == ">" else "≥")
    over = format_duration(rule.window)
    return f"{rule.metric} is {value:.4g} {unit} {relation} {rule.threshold:.4g} over {over} ({n} samples)"
