"""The state machine of one alert: ok → pending → firing → recovering → ok, beside a health that tells of missing data.

Missing data and failed evaluations hold the phase: they are neither zero nor recovery, and their time counts neither
towards `for` nor towards `keep_firing_for`. When they last, they become an alert of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from alerting.comparator import Signal
from schemas.duration import format_duration

Phase = Literal["ok", "pending", "firing", "recovering"]
Health = Literal["ok", "no_data", "error"]
Transition = Literal[
    "pending", "dismissed", "firing", "recovering", "relapsed", "resolved", "no_data", "no_data_over", "error", "error_over"
]

NOTIFIED: frozenset[Transition] = frozenset({"firing", "resolved"})
"""Transitions of the phase that people are told of."""

ZERO = timedelta(0)


@dataclass(frozen=True)
class Timing:
    """The delays of a rule. `patience` is how long data may be missing, or evaluation fail, before that is an alert."""

    for_: timedelta
    keep_firing_for: timedelta
    patience: timedelta
    reports_silence: bool = True


@dataclass(frozen=True)
class AlertState:
    """Where one alert stands.

    `progress` is the time of evidence gathered in the phase up to `counted_at`, the last evaluation with evidence (None
    when the last one had none). `troubled_since` is the start of missing data or failures, `reported` whether that is an
    alert by now. `episode` counts how often the alert fired.
    """

    phase: Phase
    since: datetime
    progress: timedelta = ZERO
    counted_at: datetime | None = None
    health: Health = "ok"
    troubled_since: datetime | None = None
    reported: bool = False
    episode: int = 0

    @property
    def fires(self) -> bool:
        """Whether people were told that it fires and not yet that it is over."""
        return self.phase in ("firing", "recovering")


@dataclass(frozen=True)
class Decision:
    """The next state, what changed on the way, and why."""

    state: AlertState
    transitions: tuple[Transition, ...]
    reason: str


def initial(now: datetime) -> AlertState:
    """An alert that was never evaluated."""
    return AlertState("ok", now)


def decide(timing: Timing, state: AlertState, signal: Signal, now: datetime) -> Decision:
    """What one evaluation does to an alert."""
    if signal in ("missing", "failed"):
        return _trouble(timing, state, "no_data" if signal == "missing" else "error", now)
    healthy, over = _recovered_health(state)
    moved = _move(timing, healthy, signal, now)
    return Decision(moved.state, over + moved.transitions, moved.reason)


def _trouble(timing: Timing, state: AlertState, health: Health, now: datetime) -> Decision:
    kind = state.health if state.reported else health
    since = state.troubled_since or now
    held = replace(state, health=kind, troubled_since=since, counted_at=None)
    what = "no data" if kind == "no_data" else "evaluation fails"
    reason = f"{what} for {_span(now - since)}: {state.phase} is held"
    due = now - since >= timing.patience and (kind == "error" or timing.reports_silence)
    if due and not state.reported:
        return Decision(replace(held, reported=True), ("no_data" if kind == "no_data" else "error",), reason)
    return Decision(held, (), reason)


def _recovered_health(state: AlertState) -> tuple[AlertState, tuple[Transition, ...]]:
    over: tuple[Transition, ...] = ()
    if state.reported:
        over = ("no_data_over",) if state.health == "no_data" else ("error_over",)
    return replace(state, health="ok", troubled_since=None, reported=False), over


def _move(timing: Timing, state: AlertState, signal: Signal, now: datetime) -> Decision:
    if signal == "unsure":
        return Decision(replace(state, counted_at=None), (), f"too little data to say: {state.phase} is held")
    if state.phase == "ok":
        return _from_ok(timing, state, signal, now)
    counted = _count(timing, state, now)
    if state.phase == "pending":
        return _from_pending(timing, counted, signal, now)
    if state.phase == "firing":
        return _from_firing(timing, counted, signal, now)
    return _from_recovering(timing, counted, signal, now)


def _from_ok(timing: Timing, state: AlertState, signal: Signal, now: datetime) -> Decision:
    if signal != "breach":
        return Decision(replace(state, counted_at=now), (), "within bounds")
    if timing.for_ <= ZERO:
        return _fire(state, now, "breached")
    return _enter(state, "pending", now, "pending", f"breached: fires when that lasts {_span(timing.for_)}")


def _from_pending(timing: Timing, state: AlertState, signal: Signal, now: datetime) -> Decision:
    if signal != "breach":
        return _enter(state, "ok", now, "dismissed", f"no longer breached after {_span(state.progress)}")
    if state.progress >= timing.for_:
        return _fire(state, now, f"breached for {_span(state.progress)}")
    return Decision(state, (), f"breached for {_span(state.progress)} of {_span(timing.for_)}")


def _from_firing(timing: Timing, state: AlertState, signal: Signal, now: datetime) -> Decision:
    if signal != "clear":
        return Decision(state, (), "still breached" if signal == "breach" else "not yet beyond the recovery threshold")
    if timing.keep_firing_for <= ZERO:
        return _enter(state, "ok", now, "resolved", "recovered")
    reason = f"recovered: resolved when that lasts {_span(timing.keep_firing_for)}"
    return _enter(state, "recovering", now, "recovering", reason)


def _from_recovering(timing: Timing, state: AlertState, signal: Signal, now: datetime) -> Decision:
    if signal != "clear":
        return _enter(state, "firing", now, "relapsed", f"bad again after {_span(state.progress)} of recovery")
    if state.progress >= timing.keep_firing_for:
        return _enter(state, "ok", now, "resolved", f"recovered for {_span(state.progress)}")
    return Decision(state, (), f"recovered for {_span(state.progress)} of {_span(timing.keep_firing_for)}")


def _count(timing: Timing, state: AlertState, now: datetime) -> AlertState:
    """Add the time since the last evaluation, unless that had no evidence or nobody watched for long."""
    gained = now - state.counted_at if state.counted_at is not None else ZERO
    if gained > timing.patience:
        gained = ZERO
    return replace(state, progress=state.progress + max(gained, ZERO), counted_at=now)


def _fire(state: AlertState, now: datetime, reason: str) -> Decision:
    return _enter(replace(state, episode=state.episode + 1), "firing", now, "firing", reason)


def _enter(state: AlertState, phase: Phase, now: datetime, transition: Transition, reason: str) -> Decision:
    entered = replace(state, phase=phase, since=now, progress=ZERO, counted_at=now)
    return Decision(entered, (transition,), reason)


def _span(length: timedelta) -> str:
    return format_duration(timedelta(seconds=round(length.total_seconds())))
