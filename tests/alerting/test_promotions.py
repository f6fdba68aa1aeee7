"""Which releases are in their trial, against what, over which windows and at which level."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.promotions import SPENDING_PERIOD, Generation, Promotion, promotion_of
from alerting.regression import SETTLE, Stretch, horizon
from alerting.watch import combined, in_trial, query_of
from schemas.rules import RegressionRule, parse_rule

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rule(**members: object) -> RegressionRule:
    found = parse_rule(
        {"kind": "regression", "name": "g", "profile": "guard", "metrics": ["cost.usd", "errors.rate"], **members}
    )
    assert isinstance(found, RegressionRule)
    return found


def history(*states: tuple[float, dict[str, float], str | None, str | None, str]) -> list[Generation]:
    """Generations from (hours, weights, current, previous, kind), oldest first; newest first comes back."""
    made = [
        Generation(number, weights, current, previous, "v0" if current == "v3" else None, kind, T0 + hours * HOUR)
        for number, (hours, weights, current, previous, kind) in enumerate(states, 1)
    ]
    return made[::-1]


PLAIN = history(
    (0, {}, None, None, "created"),
    (1, {"v1": 100}, "v1", None, "promotion"),
    (5, {"v2": 100}, "v2", "v1", "promotion"),
)


def test_a_promotion_is_measured_against_what_it_replaced() -> None:
    found = promotion_of("t", PLAIN, "previous")
    assert found == Promotion("t", 3, "v2", "v1", T0 + 5 * HOUR, None, T0 + HOUR, T0 + 5 * HOUR, 2)


@pytest.mark.parametrize(
    ("states", "baseline"),
    [
        ([], "previous"),
        (PLAIN[2:], "previous"),
        (PLAIN[1:], "previous"),
        (PLAIN, "last_known_good"),
        (PLAIN, "v2"),
        ([Generation(4, {"v1": 100}, "v1", None, "v1", "rollback", T0 + 6 * HOUR), *PLAIN], "v2"),
    ],
)
def test_without_a_trial_or_a_baseline_there_is_nothing_to_compare(states: list[Generation], baseline: str) -> None:
    assert promotion_of("t", states, baseline) is None


def test_a_canary_runs_beside_its_baseline_until_it_has_all_traffic() -> None:
    ramp = history(
        (1, {"v1": 100}, "v1", None, "promotion"),
        (5, {"v1": 90, "v2": 10}, "v2", "v1", "promotion"),
        (6, {"v1": 50, "v2": 50}, "v2", "v1", "promotion"),
        (7, {"v2": 100}, "v2", "v1", "promotion"),
    )
    half, full = promotion_of("t", ramp[1:], "previous"), promotion_of("t", ramp, "previous")
    assert half is not None
    assert full is not None
    assert (half.beside_since, half.promoted_at, half.ordinal) == (T0 + 5 * HOUR, T0 + 5 * HOUR, 3)
    assert (full.beside_since, full.promoted_at, full.baseline_until) == (None, T0 + 5 * HOUR, T0 + 5 * HOUR)
    beside = query_of(rule(), "p", half, "cost.usd", T0 + 6.5 * HOUR)
    assert beside.concurrent
    assert beside.candidate_window == beside.baseline_window == Stretch(T0 + 5 * HOUR, T0 + 6.5 * HOUR - SETTLE)


def test_a_baseline_that_left_earlier_is_read_where_it_served_last() -> None:
    states = history(
        (1, {"v0": 100}, "v0", None, "promotion"),
        (3, {"v1": 100}, "v1", "v0", "promotion"),
        (5, {"v3": 100}, "v3", "v1", "promotion"),
    )
    found = promotion_of("t", states, "last_known_good")
    assert found is not None
    assert (found.baseline, found.baseline_since, found.baseline_until) == ("v0", T0 + HOUR, T0 + 3 * HOUR)
    query = query_of(rule(baseline_window="30m"), "p", found, "cost.usd", T0 + 6 * HOUR)
    assert query.baseline_window == Stretch(T0 + 2.5 * HOUR, T0 + 3 * HOUR)
    assert not query.concurrent


def test_rates_have_their_own_margin() -> None:
    found = promotion_of("t", PLAIN, "previous")
    assert found is not None
    at = T0 + 6 * HOUR
    assert query_of(rule(), "p", found, "cost.usd", at).margin == 0.1
    assert query_of(rule(rate_margin=0.05), "p", found, "errors.rate", at).margin == 0.05


def test_a_steady_rule_judges_stretch_by_stretch() -> None:
    found = promotion_of("t", PLAIN, "previous")
    assert found is not None
    steady = rule(profile="steady", window="2h", alpha=0.01)
    first, third = (query_of(steady, "p", found, "cost.usd", T0 + hours * HOUR) for hours in (6, 9.5))
    assert first.candidate_window.start == T0 + 5 * HOUR
    assert third.candidate_window.start == T0 + 9 * HOUR
    assert third.alpha < first.alpha


def test_the_horizon_is_the_ratio_of_adjoining_windows_and_grows_with_distance() -> None:
    found = promotion_of("t", PLAIN, "previous")
    assert found is not None
    near = query_of(rule(), "p", found, "cost.usd", T0 + 7 * HOUR + SETTLE)
    assert horizon(near) == pytest.approx(0.5)
    far = query_of(rule(profile="steady", window="2h"), "p", found, "cost.usd", T0 + 8 * HOUR + SETTLE)
    assert horizon(far) > 1


def test_a_guard_ends_unless_its_alert_lasts() -> None:
    found = promotion_of("t", PLAIN, "previous")
    assert found is not None
    late = T0 + 40 * HOUR
    assert in_trial(rule(), found, T0 + 6 * HOUR, ())
    assert not in_trial(rule(), found, late, ())
    assert in_trial(rule(), found, late, [{"target": "t", "release": "v2"}])
    assert in_trial(rule(profile="steady"), found, late, ())


@pytest.mark.parametrize(
    ("verdicts", "signal"),
    [
        (["same", "better"], "clear"),
        (["same", "worse", "not_yet"], "breach"),
        (["same", "not_yet"], "unsure"),
    ],
)
def test_one_bad_metric_is_enough_and_fine_means_all(verdicts: list[str], signal: str) -> None:
    assert combined(verdicts) == signal


@given(st.lists(st.integers(1, 60 * 24), min_size=1, max_size=40), st.integers(1, 4))
def test_no_28_days_spend_more_than_alpha(hours: list[int], metrics: int) -> None:
    names = ["cost.usd", "tokens.output", "latency", "errors.rate"][:metrics]
    guard = rule(metrics=names)
    at = T0
    states: list[Generation] = [Generation(1, {"v0": 100}, "v0", None, None, "promotion", T0)]
    spent: list[tuple[datetime, float]] = []
    for number, gap in enumerate(hours, 1):
        at += gap * HOUR
        states.insert(0, Generation(number + 1, {f"v{number}": 100}, f"v{number}", f"v{number - 1}", None, "promotion", at))
        found = promotion_of("t", states, "previous")
        assert found is not None
        query = query_of(guard, "p", found, names[0], at + HOUR)
        spent.append((at, query.alpha * metrics))
    for end, _ in spent:
        within = sum(alpha for when, alpha in spent if end - SPENDING_PERIOD < when <= end)
        assert within <= guard.alpha
