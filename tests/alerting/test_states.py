"""The state machine of an alert, by example and against invariants under random histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alerting.comparator import Signal, side
from alerting.flapping import judge
from alerting.states import AlertState, Decision, Timing, Transition, decide, initial
from tests.alerting.signals import again

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TIMING = Timing(for_=5 * MINUTE, keep_firing_for=10 * MINUTE, patience=10 * MINUTE)
EAGER = Timing(for_=timedelta(0), keep_firing_for=timedelta(0), patience=10 * MINUTE)


def play(timing: Timing, *signals: Signal, step: timedelta = MINUTE) -> tuple[AlertState, list[tuple[int, Transition]]]:
    """The state after `signals`, one a step, and what changed at which step."""
    state, changes = initial(T0), []
    for place, signal in enumerate(signals):
        decision = decide(timing, state, signal, T0 + place * step)
        state = decision.state
        changes += [(place, transition) for transition in decision.transitions]
    return state, changes


@pytest.mark.parametrize(
    ("value", "direction", "expected"),
    [
        (11, "above", "breach"),
        (10, "above", "between"),
        (9, "above", "between"),
        (8, "above", "clear"),
        (7, "above", "clear"),
        (None, "above", "missing"),
        (float("nan"), "above", "missing"),
        (float("inf"), "above", "breach"),
    ],
)
def test_the_comparator_works_both_ways(value: float | None, direction: str, expected: Signal) -> None:
    assert side(value, "above", 10, 8) == expected
    assert side(None if value is None else -value, "below", -10, -8) == expected


def test_without_hysteresis_nothing_lies_between() -> None:
    assert [side(value, "above", 10, 10) for value in (9.9, 10, 10.1)] == ["clear", "clear", "breach"]


def test_a_breach_fires_once_it_lasted() -> None:
    state, changes = play(TIMING, "clear", *again(6, "breach"))
    assert (state.phase, state.episode) == ("firing", 1)
    assert changes == [(1, "pending"), (6, "firing")]


def test_a_short_breach_is_dismissed() -> None:
    state, changes = play(TIMING, "breach", "breach", "clear")
    assert (state.phase, state.episode) == ("ok", 0)
    assert changes == [(0, "pending"), (2, "dismissed")]


def test_without_for_it_fires_at_once_and_again() -> None:
    state, changes = play(EAGER, "breach", "clear", "breach")
    assert (state.phase, state.episode) == ("firing", 2)
    assert changes == [(0, "firing"), (1, "resolved"), (2, "firing")]


def test_recovery_must_last_and_reach_the_recovery_threshold() -> None:
    timing = Timing(timedelta(0), 2 * MINUTE, 10 * MINUTE)
    state, changes = play(timing, "breach", "between", "clear", "between", "clear", "clear", "clear")
    assert state.phase == "ok"
    assert changes == [(0, "firing"), (2, "recovering"), (3, "relapsed"), (4, "recovering"), (6, "resolved")]


@pytest.mark.parametrize("silence", ["missing", "failed", "unsure"])
def test_silence_is_neither_breach_nor_recovery(silence: Signal) -> None:
    pending, _ = play(TIMING, "breach", *again(30, silence), "breach")
    assert (pending.phase, pending.progress) == ("pending", timedelta(0))
    timing = Timing(timedelta(0), 5 * MINUTE, 10 * MINUTE)
    recovering, _ = play(timing, "breach", "clear", *again(30, silence), "clear")
    assert (recovering.phase, recovering.progress) == ("recovering", timedelta(0))


def test_missing_data_becomes_its_own_alert_after_two_windows() -> None:
    state, changes = play(TIMING, "clear", *again(15, "missing"), "clear")
    assert changes == [(11, "no_data"), (16, "no_data_over")]
    assert state.phase == "ok"


def test_failures_become_an_alert_even_where_silence_is_ignored() -> None:
    quiet = Timing(5 * MINUTE, 10 * MINUTE, 10 * MINUTE, reports_silence=False)
    assert play(quiet, *again(15, "missing"))[1] == []
    assert play(quiet, *again(15, "failed"), "clear")[1] == [(10, "error"), (15, "error_over")]


def test_a_failure_does_not_end_missing_data() -> None:
    state, changes = play(TIMING, *again(11, "missing"), "failed", "failed")
    assert changes == [(10, "no_data")]
    assert (state.health, state.reported) == ("no_data", True)


def test_time_that_nobody_watched_does_not_count() -> None:
    state, changes = play(TIMING, "breach", "breach", step=timedelta(hours=3))
    assert state.phase == "pending"
    assert changes == [(0, "pending")]


SIGNALS: list[Signal] = ["breach", "between", "clear", "unsure", "missing", "failed"]


class Alerts(RuleBasedStateMachine):
    """Random histories: what must hold whatever happens."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.state = initial(T0)
        self.last: Decision | None = None
        self.told: list[Transition] = []
        self.clear_since: datetime | None = None
        self.breach_since: datetime | None = None

    @rule(signal=st.sampled_from(SIGNALS), step=st.integers(1, 600))
    def evaluate(self, signal: Signal, step: int) -> None:
        before, self.now = self.state, self.now + timedelta(seconds=step)
        self.last = decide(TIMING, before, signal, self.now)
        self.state = self.last.state
        self.told += [t for t in self.last.transitions if t in ("firing", "resolved")]
        if signal in ("missing", "failed", "unsure"):
            assert self.state.phase == before.phase
        self.clear_since = (self.clear_since or self.now) if signal == "clear" else self._kept(signal, self.clear_since)
        self.breach_since = (self.breach_since or self.now) if signal == "breach" else self._kept(signal, self.breach_since)
        if "resolved" in self.last.transitions:
            assert self.clear_since is not None
            assert self.now - self.clear_since >= TIMING.keep_firing_for
        if "firing" in self.last.transitions:
            assert self.breach_since is not None
            assert self.now - self.breach_since >= TIMING.for_

    @staticmethod
    def _kept(signal: Signal, since: datetime | None) -> datetime | None:
        return since if signal in ("missing", "failed", "unsure") else None

    @invariant()
    def firing_and_resolved_alternate(self) -> None:
        assert self.told == (["firing", "resolved"] * len(self.told))[: len(self.told)]
        assert self.state.fires == (len(self.told) % 2 == 1)
        assert self.state.episode == (len(self.told) + 1) // 2

    @invariant()
    def every_decision_has_a_reason(self) -> None:
        assert self.last is None or self.last.reason


TestAlerts = Alerts.TestCase


@given(st.lists(st.integers(0, 7200), max_size=30))
def test_flapping_starts_above_four_changes_an_hour(seconds: list[int]) -> None:
    now = T0 + timedelta(hours=2)
    changes = [T0 + timedelta(seconds=second) for second in seconds]
    recent = sum(second > 3600 for second in seconds)
    assert judge(changes, now, flapping=False) == ("started" if recent > 4 else "tell")
    assert judge(changes, now, flapping=True) == ("calmed" if recent <= 2 else "goes_on")
