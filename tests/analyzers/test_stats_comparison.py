import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.stats import msprt, rates
from analyzers.stats.comparison import Comparison, Direction, compare, compare_rates
from analyzers.stats.summary import Arm, RateArm

GUARD: dict[str, Any] = {"margin": 0.1, "alpha": 0.001, "direction": "up"}

counts = st.integers(0, 5000)
any_arms = st.builds(Arm, counts, st.floats(), st.floats(min_value=0.0) | st.just(math.nan))
usual_arms = st.builds(Arm, st.integers(30, 5000), st.floats(-3, 3), st.floats(0, 2))
rate_arms = st.integers(30, 2000).flatmap(lambda n: st.builds(RateArm, st.just(n), st.integers(0, n)))
directions: st.SearchStrategy[Direction] = st.sampled_from(["up", "down"])


def around(effect: float, n: int = 400, sigma: float = 0.4) -> Comparison:
    """A candidate that is 1 + effect times its baseline of 640 requests."""
    candidate = Arm(n, -5 + math.log1p(effect), sigma**2)
    return compare(Arm(640, -5.0, sigma**2), candidate, **GUARD)


def test_worse_when_the_whole_interval_is_beyond_the_margin() -> None:
    found = around(0.58, n=64)
    assert found.verdict == "worse"
    assert found.interval is not None
    assert found.interval.low > found.allowed == pytest.approx(0.1)
    assert found.effect == pytest.approx(0.58)
    half = float(msprt.half_width(0.16 / 640 + 0.16 / 64, msprt.LOG_TAU, 0.001))
    assert found.interval.low == pytest.approx(1.58 * math.exp(-half) - 1)
    assert found.interval.high == pytest.approx(1.58 * math.exp(half) - 1)


def test_better_same_and_not_yet() -> None:
    assert around(-0.4).verdict == "better"
    assert around(0.01, n=9000, sigma=0.2).verdict == "same"
    assert around(0.2, n=64).verdict == "not_yet"


def test_reason_states_the_numbers() -> None:
    assert around(0.58, n=64).reason == (
        "58 % higher (99.9 % anytime-valid interval +27 % to +97 %), all beyond +10 %; n = 64 against 640 of the baseline"
    )
    assert "not all beyond +10 %, nor all within the margin" in around(0.2, n=64).reason
    assert "all within the margin of 10 %" in around(0.01, n=9000, sigma=0.2).reason
    assert "all beyond -9.1 %" in around(-0.4).reason
    assert around(0.0).reason.startswith("unchanged (")


@pytest.mark.parametrize(("n_baseline", "n_candidate"), [(29, 500), (500, 29), (0, 0)])
def test_too_few_requests_are_not_a_verdict(n_baseline: int, n_candidate: int) -> None:
    found = compare(Arm(n_baseline, 0.0, 0.1), Arm(n_candidate, 5.0, 0.1), **GUARD)
    assert found.verdict == "not_yet"
    assert (found.effect, found.interval, found.p_value, found.minimum_detectable_effect) == (None,) * 4
    assert found.reason == (
        f"not enough data: n = {n_candidate} against {n_baseline} of the baseline, and each release needs 30"
    )


def test_a_tolerance_widens_the_margin_of_worse_but_not_of_same() -> None:
    baseline, dearer, alike = Arm(5000, 0.0, 0.1), Arm(5000, 0.22, 0.1), Arm(5000, 0.0, 0.1)
    assert compare(baseline, dearer, **GUARD).verdict == "worse"
    found = compare(baseline, dearer, **GUARD, tolerance=0.2)
    assert found.verdict == "not_yet"
    assert found.allowed == pytest.approx(1.1 * math.exp(0.2) - 1)
    assert "beyond the margin, but not beyond +34 % (the margin widened by the tolerance" in found.reason
    assert compare(baseline, alike, **GUARD, tolerance=0.2).verdict == "same"


@pytest.mark.parametrize(
    "broken", [Arm(50, math.nan, 0.1), Arm(50, -math.inf, 0.1), Arm(50, 0.0, math.nan), Arm(50, 0.0, math.inf)]
)
def test_values_that_are_not_finite_are_named(broken: Arm) -> None:
    found = compare(Arm(50, 0.0, 0.1), broken, **GUARD)
    assert found.verdict == "not_yet"
    assert "no logarithm" in found.reason


def test_equal_values_in_one_arm_are_compared_with_the_spread_of_the_other() -> None:
    baseline, constant = Arm(400, 0.0, 0.1), Arm(60, 0.5, 0.0)
    assert compare(baseline, constant, **GUARD) == compare(baseline, Arm(60, 0.5, 0.1), **GUARD)


def test_equal_values_in_both_arms() -> None:
    alike = compare(Arm(40, 0.3, 0.0), Arm(40, 0.3 + 1e-16, 0.0), **GUARD)
    assert (alike.verdict, alike.p_value, alike.effect) == ("same", 1.0, 0.0)
    dearer = compare(Arm(40, 0.3, 0.0), Arm(50, 0.3 + math.log(1.6), 0.0), **GUARD)
    assert dearer.verdict == "worse"
    assert dearer.p_value == 2.0**-79
    assert "every value alike in each release" in dearer.reason


def test_linear_scale_speaks_the_metric_s_unit() -> None:
    found = compare(
        Arm(500, 0.80, 0.01), Arm(500, 0.65, 0.01), margin=0.05, alpha=0.05, direction="down", scale="linear", tau=0.1
    )
    assert found.verdict == "worse"
    assert found.effect == pytest.approx(-0.15)
    assert found.allowed == -0.05
    assert found.reason.startswith("0.15 lower (95 % anytime-valid interval -0.1")


def test_rates_give_points() -> None:
    found = compare_rates(RateArm(600, 6), RateArm(100, 30), margin=0.02, alpha=0.001, direction="up")
    assert found.verdict == "worse"
    assert found.reason == (
        "29 points higher (99.9 % anytime-valid interval +10 points to +54 points), all beyond +2.0 points; "
        "n = 100 against 600 of the baseline"
    )
    assert compare_rates(RateArm(600, 6), RateArm(20, 20), margin=0.02, alpha=0.001, direction="up").verdict == "not_yet"
    few = compare_rates(RateArm(600, 6), RateArm(20, 20), margin=0.02, alpha=0.001, direction="up", min_samples=20)
    assert few.verdict == "worse"
    none = compare_rates(RateArm(3000, 0), RateArm(3000, 0), margin=0.02, alpha=0.05, direction="up")
    assert none.verdict == "same"


@given(usual_arms, usual_arms, st.floats(0, 1), st.floats(1e-6, 0.5), st.floats(0, 0.5), directions)
def test_swapping_the_arms_mirrors_the_verdict(
    one: Arm, other: Arm, margin: float, alpha: float, tolerance: float, direction: Direction
) -> None:
    terms: dict[str, Any] = {"margin": margin, "alpha": alpha, "tolerance": tolerance, "direction": direction}
    mirrored = {"worse": "better", "better": "worse"}
    there, back = compare(one, other, **terms), compare(other, one, **terms)
    assert back.verdict == mirrored.get(there.verdict, there.verdict)
    assert there.p_value == back.p_value


@given(usual_arms, usual_arms, st.floats(0, 1), st.floats(1e-6, 0.5))
def test_up_is_the_mirror_of_down(one: Arm, other: Arm, margin: float, alpha: float) -> None:
    up = compare(one, other, margin=margin, alpha=alpha, direction="up").verdict
    down = compare(one, other, margin=margin, alpha=alpha, direction="down").verdict
    assert (up, down) in {("worse", "better"), ("better", "worse"), ("same", "same"), ("not_yet", "not_yet")}


@given(usual_arms, usual_arms, st.floats(1e-6, 0.5), st.floats(1e-6, 0.5))
def test_what_is_decided_at_a_strict_level_is_decided_at_a_lax_one(one: Arm, other: Arm, a: float, b: float) -> None:
    strict, lax = (compare(one, other, margin=0.1, alpha=alpha, direction="up").verdict for alpha in sorted((a, b)))
    assert strict in (lax, "not_yet")


@given(any_arms, any_arms, directions, st.floats(0, 10))
def test_no_data_raises(one: Arm, other: Arm, direction: Direction, tolerance: float) -> None:
    found = compare(one, other, margin=0.1, alpha=0.001, direction=direction, tolerance=tolerance)
    assert found.reason
    if found.interval is not None:
        assert found.interval.low <= found.interval.high


@given(rate_arms, rate_arms, directions, st.floats(0, 0.3), st.floats(1e-5, 0.3))
def test_rate_verdicts_follow_the_interval(
    one: RateArm, other: RateArm, direction: Direction, margin: float, alpha: float
) -> None:
    found = compare_rates(one, other, margin=margin, alpha=alpha, direction=direction)
    low, high = rates.difference_interval(one, other, alpha)
    beyond = low > margin if direction == "up" else high < -margin
    assert (found.verdict == "worse") == beyond


def test_the_detectable_effect_is_detected_four_times_in_five() -> None:
    """The lower end at an estimate of that size, less .84 standard errors, sits on the margin."""
    found = around(0.0, n=200)
    assert found.minimum_detectable_effect is not None
    variance = 0.16 / 640 + 0.16 / 200
    reached = math.log1p(found.minimum_detectable_effect) - 0.8416 * math.sqrt(variance)
    assert reached - float(msprt.half_width(variance, msprt.LOG_TAU, 0.001)) == pytest.approx(math.log(1.1), abs=1e-4)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_detectable_rate_difference_is_near_the_smallest_that_is_called(direction: Direction) -> None:
    baseline = RateArm(600, 6) if direction == "up" else RateArm(600, 594)
    candidate = RateArm(300, 3) if direction == "up" else RateArm(300, 297)
    found = compare_rates(baseline, candidate, margin=0.02, alpha=0.001, direction=direction)
    assert found.minimum_detectable_effect is not None
    events = round((baseline.rate + found.minimum_detectable_effect) * 300)
    called = compare_rates(baseline, RateArm(300, events), margin=0.02, alpha=0.001, direction=direction)
    half_way = compare_rates(
        baseline, RateArm(300, (events + candidate.events) // 2), margin=0.02, alpha=0.001, direction=direction
    )
    assert (called.verdict, half_way.verdict) == ("worse", "not_yet")


def test_no_rise_can_be_found_where_none_is_left() -> None:
    full = RateArm(40, 40)
    found = compare_rates(full, full, margin=0.02, alpha=0.001, direction="up")
    assert found.minimum_detectable_effect is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "between 0 and 1"),
        ({"margin": -0.1}, "finite and >= 0"),
        ({"tolerance": math.nan}, "finite and >= 0"),
        ({"direction": "sideways"}, "'up' or 'down'"),
        ({"min_samples": 10}, "at least 30"),
        ({"scale": "linear"}, "needs tau"),
        ({"tau": 0.0}, "must be positive"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(Arm(50, 0.0, 0.1), Arm(50, 0.0, 0.1), **{**GUARD, **change})


def test_rate_terms_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        compare_rates(RateArm(50, 1), RateArm(50, 1), **GUARD, min_samples=0)
