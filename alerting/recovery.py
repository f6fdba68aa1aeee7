"""Is a breached metric back after a rollback? The restored release since then, against the baseline before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerting.reach import Analyzed, Watermark, reach
from alerting.regression import SETTLE, ComparisonQuery, ReleaseComparison, Stretch, compare_releases
from alerting.rollback_state import MetricState
from alerting.wording import size_text
from schemas.evidence import Evidence
from schemas.metrics import find_comparable
from storage.clickhouse import ClickHouseStore
from storage.rollbacks import Rollback

ALPHA = 0.05
MARGIN, RATE_MARGIN = 0.1, 0.01
# The baseline's requests of the time before the breach, beside those that it served during it.
BASELINE_BEFORE = timedelta(days=1)


@dataclass(frozen=True)
class MetricRecovery:
    """The `Recovery` of the rollback controller, from the trace store."""

    store: ClickHouseStore
    watermark: Watermark
    analyzed: Analyzed | None = None

    async def __call__(self, rollback: Rollback, since: datetime) -> MetricState:
        """Compare; requests count from `since` by the arrival of their top span, up to where all of them is known.

        Raises:
            StoreError: the store could not answer.
            UnknownMetricError: the metric cannot be compared.
        """
        assert rollback.evidence is not None
        stored = await self.watermark()
        metric = find_comparable(rollback.evidence.metric)
        known = None if stored is None else await reach(metric, stored, self.analyzed)
        until = None if known is None else known - SETTLE
        if until is None or until <= since:
            return MetricState("not_yet", "the proof has only begun", {})
        found = await compare_releases(self.store, recovery_query(rollback, rollback.evidence, since, until))
        return judge_recovery(rollback.evidence, found)


def recovery_query(rollback: Rollback, evidence: Evidence, since: datetime, until: datetime) -> ComparisonQuery:
    """What to compare: the restored release in [since, until) against the baseline up to the rollback."""
    assert rollback.executed_at is not None
    metric = find_comparable(evidence.metric)
    return ComparisonQuery(
        project=rollback.project,
        metric=evidence.metric,
        target=rollback.target,
        candidate=rollback.to_release,
        baseline=evidence.baseline,
        candidate_window=Stretch(since, until),
        baseline_window=Stretch(evidence.window_start - BASELINE_BEFORE, rollback.executed_at),
        concurrent=False,
        margin=MARGIN if metric.scale == "log" else RATE_MARGIN,
        alpha=ALPHA,
    )


def judge_recovery(evidence: Evidence, found: ReleaseComparison) -> MetricState:
    """Back: the metric is not worse than the baseline's, and as large a change as the breach is excluded."""
    figures = {
        "effect": found.effect,
        "interval_low": found.interval_low,
        "interval_high": found.interval_high,
        "confidence": found.confidence,
        "n_restored": found.n_candidate,
        "n_baseline": found.n_baseline,
    }
    if found.verdict == "worse":
        return MetricState("worse", f"{evidence.metric} is still worse: {found.reason}", figures)
    if found.verdict in ("better", "same") or _breach_excluded(evidence, found):
        return MetricState("back", f"{evidence.metric} is back: {_interval(found)}", figures)
    return MetricState("not_yet", f"{evidence.metric} cannot be told yet: {found.reason}", figures)


def _breach_excluded(evidence: Evidence, found: ReleaseComparison) -> bool:
    low, high, breach = found.interval_low, found.interval_high, evidence.effect
    if low is None or high is None or not breach:
        return False
    return high < breach if breach > 0 else low > breach


def _interval(found: ReleaseComparison) -> str:
    if found.effect is None or found.interval_low is None or found.interval_high is None:
        return found.reason
    effect, low, high = (
        size_text(found.query.metric, size) for size in (found.effect, found.interval_low, found.interval_high)
    )
    return f"{effect} against {found.query.baseline} before, between {low} and {high} ({found.n_candidate} requests)"
