"""One release against another on one metric: read both arms, widen the margin where time lies between them, compare.

Which requests count, and when: a request belongs to a window by the arrival of its top span (its root). Spans of one
request arrive in several batches, children before their root, so a window that reaches the present ends `SETTLE` before
the watermark. A request whose later spans are still on their way then counts with what arrived; the next look reads it
whole. Such requests sit at the end of the candidate's window only and make it look cheaper, never dearer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from analyzers.stats.comparison import Comparison, Direction, Verdict, compare, compare_rates
from analyzers.stats.summary import Arm, RateArm
from analyzers.stats.tolerance import PRIOR_RATE_SHARE, Tolerance, sequential_rate_tolerance, sequential_tolerance
from schemas.evidence import Evidence
from schemas.metrics import Metric, ScoreMetric, find_comparable
from storage.clickhouse import ClickHouseStore
from storage.metrics import ArmData, ArmQuery, read_arm

SETTLE = timedelta(seconds=2)
BLOCKS = 12
SHORTEST_BLOCK = timedelta(seconds=1)

# The size of changes of a mean score worth finding, as a share of the width of its scale.
SCORE_TAU = 0.1


@dataclass(frozen=True)
class Stretch:
    """A window of time, end excluded."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Never negative."""
        return max(self.end - self.start, timedelta(0))

    @property
    def centre(self) -> datetime:
        """Its middle."""
        return self.start + self.length / 2


@dataclass(frozen=True)
class ComparisonQuery:
    """What to compare. `concurrent`: both releases served side by side, so that no tolerance is needed.

    `margin` is a relative change (0.1 = 10 %), a difference of shares where the metric is a rate, and where it is a mean
    score a share of the width of its scale.
    """

    project: str
    metric: str
    target: str
    candidate: str
    baseline: str
    candidate_window: Stretch
    baseline_window: Stretch
    concurrent: bool
    margin: float
    alpha: float
    min_samples: int = 30
    tolerate: bool = True
    axis: Literal["event", "arrival"] = "arrival"
    filters: Mapping[str, str] = field(default_factory=dict)

    def candidate_arm(self) -> ArmQuery:
        """The query of the candidate's requests."""
        return self._arm(self.candidate, self.candidate_window)

    def baseline_arm(self) -> ArmQuery:
        """The query of the baseline's requests."""
        return self._arm(self.baseline, self.baseline_window)

    def _arm(self, release: str, window: Stretch) -> ArmQuery:
        return ArmQuery(
            project=self.project,
            metric=self.metric,
            target=self.target,
            release=release,
            start=window.start,
            end=window.end,
            axis=self.axis,
            filters=self.filters,
        )


@dataclass(frozen=True)
class ReleaseComparison:
    """The answer: the verdict with its figures, in the units of `Evidence`."""

    query: ComparisonQuery
    unit: str
    verdict: Verdict
    reason: str
    effect: float | None
    interval_low: float | None
    interval_high: float | None
    confidence: float
    n_candidate: int
    n_baseline: int
    missing_candidate: int
    missing_baseline: int
    allowed: float
    minimum_detectable_effect: float | None
    examples: tuple[str, ...]
    scorer: str = ""

    def evidence(self, generation: int) -> Evidence:
        """What is stored and sent; `generation` is that of the target when this was read."""
        return Evidence(
            metric=self.query.metric,
            unit=self.unit,
            target=self.query.target,
            candidate=self.query.candidate,
            baseline=self.query.baseline,
            effect=self.effect,
            interval_low=self.interval_low,
            interval_high=self.interval_high,
            confidence=self.confidence,
            n_candidate=self.n_candidate,
            n_baseline=self.n_baseline,
            window_start=self.query.candidate_window.start,
            window_end=self.query.candidate_window.end,
            generation=generation,
            example_traces=list(self.examples),
            reason=self.reason,
            verdict=self.verdict,
            allowed=self.allowed,
        )


async def compare_releases(store: ClickHouseStore, query: ComparisonQuery) -> ReleaseComparison:
    """Read both releases and compare them.

    Raises:
        UnknownMetricError: the metric does not exist or has no value for each request.
        StoreError: the store could not answer.
    """
    find_comparable(query.metric)
    candidate = await read_arm(store, query.candidate_arm(), block=block_of(query.candidate_window))
    baseline = await read_arm(store, query.baseline_arm(), block=block_of(query.baseline_window))
    return compare_arms(query, candidate, baseline)


def compare_arms(query: ComparisonQuery, candidate: ArmData, baseline: ArmData) -> ReleaseComparison:
    """The comparison of two arms that were read."""
    metric = find_comparable(query.metric)
    found = _same_scorer(_COMPARE[metric.scale](query, metric, candidate, baseline), candidate, baseline)
    return ReleaseComparison(
        query=query,
        unit=metric.unit,
        verdict=found.verdict,
        reason=found.reason,
        effect=found.effect,
        interval_low=found.interval.low if found.interval else None,
        interval_high=found.interval.high if found.interval else None,
        confidence=1 - found.alpha,
        n_candidate=found.n_candidate,
        n_baseline=found.n_baseline,
        missing_candidate=candidate.missing,
        missing_baseline=baseline.missing,
        allowed=found.allowed,
        minimum_detectable_effect=found.minimum_detectable_effect,
        examples=candidate.examples,
        scorer=candidate.scorer or baseline.scorer,
    )


def _same_scorer(found: Comparison, candidate: ArmData, baseline: ArmData) -> Comparison:
    """No verdict where two scorers judged: what differs may be the judges."""
    ours, theirs = candidate.scorer, baseline.scorer
    if ours == theirs or not (ours and theirs):
        return replace(found, reason=f"{found.reason}; scored by {ours or theirs}") if ours or theirs else found
    reason = (
        f"the candidate was scored by {ours}, the baseline by {theirs}, and two scorers cannot be compared: wait until one has "
        "scored both, or name one that has with the filter `scorer`"
    )
    return replace(
        found,
        verdict="not_yet",
        reason=reason,
        effect=None,
        interval=None,
        p_value=None,
        minimum_detectable_effect=None,
    )


def block_of(window: Stretch) -> timedelta:
    """The length of the blocks that show how the metric varies within a window."""
    return max(window.length / BLOCKS, SHORTEST_BLOCK)


def horizon(query: ComparisonQuery) -> float:
    """How far the candidate lies from its baseline, as `sequential_tolerance` counts it.

    For adjoining windows this is the candidate's length over the baseline's; a candidate further away counts as the
    adjoining one whose centre is as far.
    """
    history = query.baseline_window.length
    if history <= timedelta(0):
        return 0.0
    distance = query.candidate_window.centre - query.baseline_window.centre
    return max(2 * (distance / history) - 1, 0.0)


def _compare(query: ComparisonQuery, metric: Metric, candidate: ArmData, baseline: ArmData) -> Comparison:
    blocks = [Arm(block.n, block.mean, block.variance) for block in baseline.blocks]
    tolerance = _tolerance(query, lambda: sequential_tolerance(blocks, horizon=horizon(query)))
    return compare(
        Arm(baseline.n, baseline.mean, baseline.variance),
        Arm(candidate.n, candidate.mean, candidate.variance),
        margin=query.margin,
        alpha=query.alpha,
        direction=_direction(metric),
        tolerance=tolerance,
        min_samples=query.min_samples,
    )


def _compare_rates(query: ComparisonQuery, metric: Metric, candidate: ArmData, baseline: ArmData) -> Comparison:
    blocks = [RateArm(block.n, round(block.n * block.mean)) for block in baseline.blocks]
    tolerance = _tolerance(query, lambda: sequential_rate_tolerance(blocks, horizon=horizon(query)))
    return compare_rates(
        RateArm(baseline.n, baseline.events or 0),
        RateArm(candidate.n, candidate.events or 0),
        margin=query.margin,
        alpha=query.alpha,
        direction=_direction(metric),
        tolerance=tolerance,
        min_samples=query.min_samples,
    )


def _compare_scores(query: ComparisonQuery, metric: Metric, candidate: ArmData, baseline: ArmData) -> Comparison:
    """Mean scores as they are: a bounded score has no skew to take a logarithm against, and may be 0."""
    width = (metric.width if isinstance(metric, ScoreMetric) else None) or 1.0
    blocks = [Arm(block.n, block.mean, block.variance) for block in baseline.blocks]
    prior_sd = PRIOR_RATE_SHARE * math.sqrt(baseline.variance)
    tolerance = _tolerance(query, lambda: sequential_tolerance(blocks, horizon=horizon(query), prior_sd=prior_sd))
    return compare(
        Arm(baseline.n, baseline.mean, baseline.variance),
        Arm(candidate.n, candidate.mean, candidate.variance),
        margin=query.margin * width,
        alpha=query.alpha,
        direction=_direction(metric),
        tolerance=tolerance,
        min_samples=query.min_samples,
        scale="linear",
        tau=SCORE_TAU * width,
    )


_COMPARE = {"log": _compare, "rate": _compare_rates, "linear": _compare_scores}


def _tolerance(query: ComparisonQuery, estimate: Callable[[], Tolerance]) -> float:
    return 0.0 if query.concurrent or not query.tolerate else estimate().value


def _direction(metric: Metric) -> Direction:
    return "down" if metric.worse == "down" else "up"
