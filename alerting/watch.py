"""Evaluating regression rules: every release in its trial against its baseline, on all metrics of the rule."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from alerting.comparator import Signal
from alerting.observation import Observation
from alerting.promotions import Promotion, promotion_of, read_history
from alerting.reach import Analyzed, reach
from alerting.regression import SETTLE, ComparisonQuery, ReleaseComparison, Stretch, block_of, compare_arms
from alerting.wording import summary
from analyzers.stats.alpha import spent
from schemas.duration import format_duration
from schemas.metrics import ScoreMetric, find_metric
from schemas.rules import EVERY_TARGET, RegressionRule
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.metrics import ArmData, ArmQuery, MetricQuery, read_arm, read_series
from storage.targets import list_targets

# A release that left is believed to be gone when none of this many latest requests of the target carries it.
GONE_REQUESTS = 10
GONE_WITHIN = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=2))

# Spans of a request arrive within this time of its root; an older window of the past no longer changes.
STILL_ARRIVING = timedelta(minutes=1)

# The time between two looks at a release, as a share of the time it has been watched.
LOOK_SHARE = 0.02

NOTHING = ArmData(n=0, mean=0.0, variance=0.0, events=0, blocks=(), examples=(), missing=0)

_KEPT_ARMS = 256


class ReleaseWatch:
    """Evaluates regression rules. Baselines that lie in the past are read once and kept."""

    def __init__(self, store: ClickHouseStore, control: ControlDatabase, analyzed: Analyzed | None = None) -> None:
        self._store = store
        self._analyzed = analyzed
        self._control = control
        self._arms: OrderedDict[tuple[object, ...], ArmData] = OrderedDict()
        self._looked: dict[tuple[str, str, str], tuple[int, datetime]] = {}

    async def observe(
        self, rule: RegressionRule, project: str, at: datetime, known: Sequence[Mapping[str, str]] = ()
    ) -> list[Observation]:
        """One observation for each release in its trial; `known` are the identities of alerts that are not over.

        Raises:
            StoreError, ControlError: a database could not answer.
        """
        promotions = await self._control.read(lambda connection: read_promotions(connection, rule, project))
        found = [
            await self.judge(rule, project, promotion, at) for promotion in promotions if in_trial(rule, promotion, at, known)
        ]
        served = {(promotion.target, promotion.candidate) for promotion in promotions}
        left = [labels for labels in known if (labels.get("target"), labels.get("release")) not in served]
        return found + [await self._left(rule, project, labels, at) for labels in left]

    async def judge(self, rule: RegressionRule, project: str, promotion: Promotion, at: datetime) -> Observation:
        """What is known about one release in its trial at `at`."""
        compared = [await self._judge_by(rule, project, promotion, metric, at) for metric in rule.metrics]
        ordered = sorted(compared, key=lambda comparison: comparison.verdict != "worse")
        evidence = tuple(comparison.evidence(promotion.generation) for comparison in ordered)
        worse = sum(comparison.verdict == "worse" for comparison in ordered)
        return Observation(
            identity=identity_of(rule, project, promotion.target, promotion.candidate),
            signal=combined([comparison.verdict for comparison in ordered]),
            reason=summary(evidence[: worse or None]),
            at=at,
            value=evidence[0].effect,
            details={"baseline": promotion.baseline},
            evidence=evidence,
            generation=promotion.generation,
        )

    def _due(self, rule: RegressionRule, project: str, promotion: Promotion, at: datetime) -> bool:
        """Looks get rarer as the trial gets older: one sees little new in 2 % more time, and each reads all of it."""
        key = (rule.name, project, promotion.target)
        looked = self._looked.get(key)
        if (
            looked is not None
            and looked[0] == promotion.generation
            and at - looked[1] < (at - promotion.promoted_at) * LOOK_SHARE
        ):
            return False
        self._looked[key] = (promotion.generation, at)
        return True

    async def _judge_by(
        self, rule: RegressionRule, project: str, promotion: Promotion, metric: str, at: datetime
    ) -> ReleaseComparison:
        """By one metric, up to where it is known: an empty candidate, so no verdict, where that is nowhere."""
        known_to = await reach(find_metric(metric), at, self._analyzed)
        return await self._compare(query_of(rule, project, promotion, metric, known_to or promotion.promoted_at))

    async def _compare(self, query: ComparisonQuery) -> ReleaseComparison:
        baseline = await self._baseline(query)
        candidate = await self._arm(query.candidate_arm(), query.candidate_window)
        return compare_arms(query, candidate, baseline)

    async def _arm(self, arm: ArmQuery, window: Stretch) -> ArmData:
        if window.start >= window.end:
            return NOTHING
        return await read_arm(self._store, arm, block=block_of(window))

    async def _baseline(self, query: ComparisonQuery) -> ArmData:
        arm = query.baseline_arm()
        scored = isinstance(find_metric(query.metric), ScoreMetric)  # another scorer may go over the past
        if scored or query.concurrent or query.candidate_window.end - arm.end < STILL_ARRIVING:
            return await self._arm(arm, query.baseline_window)
        key = _key(arm)
        if key not in self._arms:
            self._arms[key] = await self._arm(arm, query.baseline_window)
            while len(self._arms) > _KEPT_ARMS:
                self._arms.popitem(last=False)
        self._arms.move_to_end(key)
        return self._arms[key]

    async def _left(self, rule: RegressionRule, project: str, labels: Mapping[str, str], at: datetime) -> Observation:
        """Whether a release that is no longer in its trial still answers requests."""
        target, release = labels.get("target", ""), labels.get("release", "")
        for within in GONE_WITHIN:
            counts = await self._counts(project, target, at - within, at)
            total = sum(counts.values())
            if total >= GONE_REQUESTS:
                signal, reason = _gone(counts, release, total, within)
                return Observation(labels, signal, reason, at)
        return Observation(
            labels, "unsure", f"fewer than {GONE_REQUESTS} requests of {target} to see whether {release} is gone", at
        )

    async def _counts(self, project: str, target: str, start: datetime, end: datetime) -> dict[str, int]:
        query = MetricQuery(
            project=project,
            metric="requests.count",
            start=start,
            end=end,
            step=None,
            group_by=("release",),
            filters={"target": target},
            axis="arrival",
        )
        series = await read_series(self._store, query)
        return {one.labels.get("release", ""): one.points[-1].n for one in series if one.points}


def read_promotions(connection: Connection, rule: RegressionRule, project: str) -> list[Promotion]:
    """The trials that the rule watches."""
    found = []
    for target in watched_targets(connection, rule, project):
        promotion = promotion_of(target, read_history(connection, project, target), rule.baseline)
        if promotion is not None:
            found.append(promotion)
    return found


def in_trial(rule: RegressionRule, promotion: Promotion, at: datetime, known: Sequence[Mapping[str, str]]) -> bool:
    """A guard watches a release while it is fresh, and as long as its alert is not over; a steady rule always."""
    if rule.profile == "steady" or at - promotion.promoted_at <= rule.window:
        return at > promotion.promoted_at
    return any((labels.get("target"), labels.get("release")) == (promotion.target, promotion.candidate) for labels in known)


def query_of(rule: RegressionRule, project: str, promotion: Promotion, metric: str, at: datetime) -> ComparisonQuery:
    """The comparison of one metric at `at`: windows, margin and level."""
    relative = find_metric(metric).scale == "log"
    started = promotion.beside_since or promotion.promoted_at
    candidate, number = _candidate_window(rule, started, at - SETTLE)
    beside = promotion.beside_since is not None
    return ComparisonQuery(
        project=project,
        metric=metric,
        target=promotion.target,
        candidate=promotion.candidate,
        baseline=promotion.baseline,
        candidate_window=candidate,
        baseline_window=candidate if beside else _baseline_window(rule, promotion),
        concurrent=beside,
        margin=rule.margin if relative else rule.rate_margin,
        alpha=spent(rule.alpha, metrics=len(rule.metrics), episode=promotion.ordinal + number),
        min_samples=rule.min_samples,
        tolerate=rule.tolerance == "auto",
        filters=rule.filters,
    )


def combined(verdicts: Sequence[str]) -> Signal:
    """One bad metric is a breach; recovered means that every metric is known to be fine."""
    if "worse" in verdicts:
        return "breach"
    return "unsure" if "not_yet" in verdicts else "clear"


def identity_of(rule: RegressionRule, project: str, target: str, release: str) -> dict[str, str]:
    """The labels of the alert about one release."""
    return {"alertname": rule.name, "project": project, "target": target, "release": release}


def watched_targets(connection: Connection, rule: RegressionRule, project: str) -> list[str]:
    """Names of the targets that a rule watches."""
    if rule.target != EVERY_TARGET:
        return [rule.target]
    return [target.name for target in list_targets(connection, project)]


def _candidate_window(rule: RegressionRule, started: datetime, end: datetime) -> tuple[Stretch, int]:
    """Everything since `started`, in stretches of the rule's window: within one the arms only grow, as the comparison
    needs, and each new one spends from the budget like another promotion. A guard has one stretch. Also its number."""
    end = max(end, started)
    number = 0 if rule.profile == "guard" else int((end - started) / rule.window)
    return Stretch(started + number * rule.window, end), number


def _baseline_window(rule: RegressionRule, promotion: Promotion) -> Stretch:
    return Stretch(max(promotion.baseline_since, promotion.baseline_until - rule.baseline_window), promotion.baseline_until)


def _gone(counts: Mapping[str, int], release: str, total: int, within: timedelta) -> tuple[Signal, str]:
    length = format_duration(within)
    if counts.get(release, 0):
        return "between", f"{release} still answered {counts[release]} of {total} requests within {length}"
    return "clear", f"{release} answered none of {total} requests within {length}"


def _key(arm: ArmQuery) -> tuple[object, ...]:
    return (arm.project, arm.metric, arm.target, arm.release, arm.start, arm.end, tuple(sorted(arm.filters.items())))
