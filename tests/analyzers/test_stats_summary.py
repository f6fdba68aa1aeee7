import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.stats.summary import EMPTY, Arm, RateArm, merged, merged_rates

values = st.lists(st.floats(-1e3, 1e3), max_size=30)


def same(one: Arm, other: Arm) -> bool:
    return one.n == other.n and np.allclose([one.mean, one.variance], [other.mean, other.variance], atol=1e-6)


@given(st.lists(values, max_size=5))
def test_merging_parts_gives_the_whole(parts: list[list[float]]) -> None:
    whole = Arm.from_values([value for part in parts for value in part])
    assert same(merged(Arm.from_values(part) for part in parts), whole)


@given(values, values)
def test_merging_is_symmetric(one: list[float], other: list[float]) -> None:
    left, right = Arm.from_values(one), Arm.from_values(other)
    assert same(left.merge(right), right.merge(left))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_values_agree_with_numpy(sample: list[float]) -> None:
    assert same(Arm.from_values(sample), Arm(len(sample), float(np.mean(sample)), float(np.var(sample, ddof=1))))


@given(values, st.floats(-1e3, 1e3))
def test_sums_agree_with_values(sample: list[float], shift: float) -> None:
    shifted = [value - shift for value in sample]
    sums = Arm.from_sums(len(sample), sum(shifted), sum(value * value for value in shifted), shift=shift)
    assert same(sums, Arm.from_values(sample))


def test_a_shift_keeps_digits_that_cancel_without_it() -> None:
    sample = [1e9 + step for step in (0.0, 1.0, 2.0, 3.0)]
    shifted = [value - 1e9 for value in sample]
    exact = Arm.from_sums(4, sum(shifted), sum(value**2 for value in shifted), shift=1e9)
    assert exact == Arm(4, 1e9 + 1.5, 5 / 3)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 123456.789])
def test_equal_values_have_no_variance_despite_rounding(constant: float) -> None:
    sample = [constant] * 1000
    assert Arm.from_sums(1000, sum(sample), sum(value * value for value in sample)).variance == 0


def test_small_arms() -> None:
    assert Arm.from_values([]) == Arm.from_sums(0, 0.0, 0.0) == EMPTY
    assert Arm.from_values([3.0]) == Arm(1, 3.0, 0.0)
    assert Arm(1, 3.0, math.nan).merge(Arm(1, 5.0, math.nan)) == Arm(2, 4.0, 2.0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold -1"):
        Arm(-1, 0.0, 0.0)
    with pytest.raises(ValueError, match="from_sums"):
        Arm(5, 0.0, -0.1)
    with pytest.raises(ValueError, match="6 events cannot come from 5 requests"):
        RateArm(5, 6)


def test_rates_add_up_and_flip() -> None:
    whole = merged_rates([RateArm(10, 1), RateArm(0, 0), RateArm(30, 5)])
    assert whole == RateArm(40, 6)
    assert whole.rate == 0.15
    assert whole.flipped() == RateArm(40, 34)
    assert math.isnan(RateArm(0, 0).rate)
