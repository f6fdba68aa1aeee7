"""The states of a rollback, and the pure decisions that move it from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from schemas.sections import RollbackSettings
from storage.rollbacks import Rollback, State
from storage.targets import Poller

NEXT: Mapping[State, frozenset[State]] = {
    "proposed": frozenset({"dry_run", "awaiting_approval", "executing"}),
    "awaiting_approval": frozenset({"executing", "aborted"}),
    "executing": frozenset({"propagating", "failed", "unverified"}),
    "propagating": frozenset({"verifying", "unverified"}),
    "verifying": frozenset({"succeeded", "ineffective", "unverified"}),
    "dry_run": frozenset(),
    "succeeded": frozenset(),
    "ineffective": frozenset(),
    "unverified": frozenset(),
    "failed": frozenset(),
    "aborted": frozenset(),
}

# A person has to look at these.
PAGED: frozenset[State] = frozenset({"ineffective", "unverified", "failed"})

RESTORED_SHARE = 0.99
# Requests begun just before a gateway switched may still be writing their first span.
SETTLE = timedelta(seconds=2)
# A gateway that asked within this time before the rollback is expected to report the new generation.
GATEWAY_ACTIVE = timedelta(seconds=90)
# Without gateways that report, the spans of this last stretch say whether the old release is still served.
RECENT = timedelta(seconds=10)
RETRY_AFTER_S: tuple[float, ...] = (2, 5, 15, 30, 60)


@dataclass(frozen=True)
class Timing:
    """How much evidence a proof needs, and how long to wait for it."""

    verify_spans: int
    verify_timeout: timedelta
    propagation_timeout: timedelta


@dataclass(frozen=True)
class MetricState:
    """Whether the breached metric is back: `worse` still is, `not_yet` cannot be told."""

    status: Literal["back", "worse", "not_yet"]
    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """What happens next. The state may stay while `verify_from` moves: the proof then starts anew from there."""

    state: State
    reason: str
    figures: Mapping[str, Any] | None = None
    verify_from: datetime | None = None


def timing_of(settings: RollbackSettings) -> Timing:
    """The timing that the settings state."""
    return Timing(
        verify_spans=settings.verify_spans,
        verify_timeout=timedelta(seconds=settings.verify_timeout_s),
        propagation_timeout=timedelta(seconds=settings.propagation_timeout_s),
    )


def superseded(rollback: Rollback, generation: int) -> Step | None:
    """The end of a rollback whose target somebody changed meanwhile: its effect can no longer be told apart."""
    expected = rollback.from_generation if rollback.generation is None else rollback.generation
    if generation == expected:
        return None
    if rollback.state == "awaiting_approval":
        return Step("aborted", f"the target is at generation {generation} by now: this rollback was about {expected}")
    return Step("unverified", f"generation {generation} replaced this rollback's {expected} before it was proven")


def judge_propagation(
    rollback: Rollback, gateways: Sequence[Poller], recent: Mapping[str, int] | None, timing: Timing, now: datetime
) -> Step | None:
    """Whether gateways serve the restored release: by what they report, else by spans, else by waiting long enough.

    `gateways` are those that asked since `GATEWAY_ACTIVE` before the rollback; `recent` counts the spans by release of
    requests begun in the last `RECENT` (None: unknown). The time-out proves nothing: it only goes on to the proof.
    """
    assert rollback.executed_at is not None
    behind = [gateway.gateway for gateway in gateways if gateway.generation != rollback.generation]
    if gateways and not behind:
        return _verify(f"{len(gateways)} of {len(gateways)} gateways report generation {rollback.generation}", now + SETTLE)
    if not gateways and recent is not None and _switched(rollback, recent, timing):
        return _verify(f"new requests carry {rollback.to_release} and none {rollback.from_release}", now)
    if now - rollback.executed_at < timing.propagation_timeout:
        return None
    who = f"gateways behind: {', '.join(behind[:10])}" if behind else "no gateway reported"
    return _verify(f"{who} after {timing.propagation_timeout.total_seconds():g} s; the spans have to tell", now)


def judge_proof(
    rollback: Rollback, spans: Mapping[str, int] | None, metric: MetricState | None, timing: Timing, now: datetime
) -> Step | None:
    """Whether the rollback is proven or disproven.

    `spans` counts by release the spans of requests begun at `verify_from` or later, '' being those that name none (None:
    the trace store cannot be read). `metric` is None where the rollback was about no metric. Contrary evidence counts only
    after a time in which stale replicas may still catch up; until then the count starts anew.
    """
    assert rollback.propagated_at is not None
    waited = now - rollback.propagated_at
    timed_out = waited >= timing.verify_timeout
    settled = timed_out or waited >= timing.propagation_timeout
    seen = _Seen.of(spans or {}, rollback)
    figures = seen.figures() | ({} if metric is None else {"metric": {"status": metric.status, **metric.figures}})
    if seen.total >= timing.verify_spans:
        step = _judge_spans(rollback, seen, metric, figures, settled=settled, now=now)
        if step is not None:
            return step
    return Step("unverified", _unproven(rollback, spans, seen, metric, timing), figures) if timed_out else None


def restored(rollback: Rollback, spans: Mapping[str, int] | None, timing: Timing) -> bool:
    """Whether enough spans carry the restored release, so that its metric is worth looking at."""
    seen = _Seen.of(spans or {}, rollback)
    return seen.total >= timing.verify_spans and seen.share >= RESTORED_SHARE


@dataclass(frozen=True)
class _Seen:
    restored: int
    other: int
    unnamed: int

    @classmethod
    def of(cls, spans: Mapping[str, int], rollback: Rollback) -> _Seen:
        named = sum(count for release, count in spans.items() if release)
        back = spans.get(rollback.to_release, 0)
        return cls(back, named - back, spans.get("", 0))

    @property
    def total(self) -> int:
        return self.restored + self.other + self.unnamed

    @property
    def share(self) -> float:
        return self.restored / self.total if self.total else 0.0

    @property
    def contrary(self) -> bool:
        return self.other > (1 - RESTORED_SHARE) * self.total

    def figures(self) -> dict[str, Any]:
        return {"spans": self.total, "restored_spans": self.restored, "other_spans": self.other, "unnamed_spans": self.unnamed}

    def __str__(self) -> str:
        return f"{self.restored} of {self.total} spans"


def _judge_spans(
    rollback: Rollback,
    seen: _Seen,
    metric: MetricState | None,
    figures: Mapping[str, Any],
    *,
    settled: bool,
    now: datetime,
) -> Step | None:
    if seen.share >= RESTORED_SHARE:
        return _judge_metric(rollback, seen, metric, figures, settled=settled)
    if not seen.contrary:
        return None
    if settled:
        return Step("ineffective", f"only {seen} begun since carry {rollback.to_release}", figures)
    return Step("verifying", rollback.state_reason, figures, verify_from=now)


def _judge_metric(
    rollback: Rollback, seen: _Seen, metric: MetricState | None, figures: Mapping[str, Any], *, settled: bool
) -> Step | None:
    shown = f"{seen} begun since carry {rollback.to_release}"
    if metric is None:
        return Step("succeeded", shown, figures)
    if metric.status == "back":
        return Step("succeeded", f"{shown}; {metric.reason}", figures)
    if metric.status == "worse" and settled:
        return Step("ineffective", f"{shown}, but {metric.reason}", figures)
    return None


def _unproven(
    rollback: Rollback, spans: Mapping[str, int] | None, seen: _Seen, metric: MetricState | None, timing: Timing
) -> str:
    after = f"after {timing.verify_timeout.total_seconds():g} s"
    if spans is None:
        return f"{after} the trace store could not be read"
    if seen.total < timing.verify_spans:
        return f"{after} there were {seen.total} spans, {timing.verify_spans} are needed"
    if seen.share < RESTORED_SHARE:
        return f"{after} {seen.unnamed} of {seen.total} spans name no release"
    return f"{after} {seen} carry {rollback.to_release}, but " + ("the metric is unknown" if metric is None else metric.reason)


def _verify(reason: str, verify_from: datetime) -> Step:
    return Step("verifying", reason, verify_from=verify_from)


def _switched(rollback: Rollback, recent: Mapping[str, int], timing: Timing) -> bool:
    """Spans of a release that already had a share show little: then it takes as many as a proof does."""
    needed = timing.verify_spans if rollback.to_release in rollback.from_weights else 1
    return recent.get(rollback.to_release, 0) >= needed and not recent.get(rollback.from_release, 0)
