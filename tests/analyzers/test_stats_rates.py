import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analyzers.stats import rates
from analyzers.stats.summary import RateArm
from tests.analyzers.stats_looks import FORTY_LOOKS, binomial_margin

arms = st.integers(0, 400).flatmap(lambda n: st.builds(RateArm, st.just(n), st.integers(0, n)))
alphas = st.floats(1e-6, 0.5)


@given(arms, st.floats(0.001, 0.999))
def test_mixture_is_beta_binomial_over_binomial(arm: RateArm, rate: float) -> None:
    expected = stats.betabinom.logpmf(arm.events, arm.n, 0.5, 0.5) - stats.binom.logpmf(arm.events, arm.n, rate)
    assert rates.log_mixture(arm, rate, 1 - rate) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("n", [1, 5, 60])
@pytest.mark.parametrize("rate", [0.003, 0.2, 0.5])
def test_mixture_has_mean_one_at_the_true_rate(n: int, rate: float) -> None:
    """The exactness at small counts: the expectation over every possible count is 1, whatever n is."""
    mean = sum(
        stats.binom.pmf(events, n, rate) * math.exp(rates.log_mixture(RateArm(n, events), rate, 1 - rate))
        for events in range(n + 1)
    )
    assert mean == pytest.approx(1)


def extremes_by_grid(a: RateArm, b: RateArm, alpha: float) -> tuple[float, float]:
    grid = np.linspace(0.0005, 0.9995, 1999)

    def log_mixture(arm: RateArm) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray([rates.log_mixture(arm, rate, 1 - rate) for rate in grid])

    inside = log_mixture(a)[:, None] + log_mixture(b)[None, :] < math.log(1 / alpha)
    differences = (grid[None, :] - grid[:, None])[inside]
    return float(differences.min()), float(differences.max())


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (RateArm(100, 2), RateArm(100, 20)),
        (RateArm(600, 6), RateArm(40, 0)),
        (RateArm(30, 0), RateArm(30, 30)),
        (RateArm(50, 25), RateArm(200, 90)),
        (RateArm(5, 1), RateArm(3, 2)),
    ],
)
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_interval_is_the_shadow_of_the_joint_set(a: RateArm, b: RateArm, alpha: float) -> None:
    assert rates.difference_interval(a, b, alpha) == pytest.approx(extremes_by_grid(a, b, alpha), abs=0.002)


@given(arms, arms, alphas)
def test_interval_holds_the_observed_difference(a: RateArm, b: RateArm, alpha: float) -> None:
    low, high = rates.difference_interval(a, b, alpha)
    assert -1 <= low <= high <= 1
    if a.n and b.n:
        assert low <= b.rate - a.rate <= high


@given(arms, arms, alphas)
def test_swapping_or_flipping_the_arms_mirrors_the_interval(a: RateArm, b: RateArm, alpha: float) -> None:
    low, high = rates.difference_interval(a, b, alpha)
    assert rates.difference_interval(b, a, alpha) == pytest.approx((-high, -low), abs=1e-9)
    assert rates.difference_interval(a.flipped(), b.flipped(), alpha) == pytest.approx((-high, -low), abs=1e-9)


@given(arms, arms, alphas, alphas)
def test_interval_is_monotone_in_alpha(a: RateArm, b: RateArm, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    wide, narrow = (rates.difference_interval(a, b, alpha) for alpha in (smaller, larger))
    assert wide[0] <= narrow[0] + 1e-9
    assert wide[1] >= narrow[1] - 1e-9


@given(arms, arms, alphas)
def test_interval_inverts_the_p_value(a: RateArm, b: RateArm, alpha: float) -> None:
    low, high = rates.difference_interval(a, b, alpha)
    p = rates.p_value(a, b)
    if not math.isclose(p, alpha, rel_tol=1e-6):
        assert (p < alpha) == (low > 0 or high < 0)


@pytest.mark.parametrize("n", [1_000_000, 100_000_000])
def test_large_counts_keep_their_precision(n: int) -> None:
    """Near the interval of two normal means, whose own boundary is known: a joint ellipse of radius² 2(L + ln n)."""
    a = b = RateArm(n, n // 10)
    budget = math.log(1 / 0.05) - 2 * rates.log_mixture(a, 0.1, 0.9)
    expected = math.sqrt(2 * budget * 2 * 0.09 / n)
    assert rates.difference_interval(a, b, 0.05) == pytest.approx((-expected, expected), rel=0.01)


def test_nothing_seen_excludes_nothing() -> None:
    assert rates.difference_interval(RateArm(0, 0), RateArm(0, 0), 0.05) == (-1.0, 1.0)
    assert rates.p_value(RateArm(0, 0), RateArm(0, 0)) == 1


@pytest.mark.parametrize(("base", "effect"), [(0.01, 0.0), (0.01, 0.04), (0.5, 0.0)])
def test_the_true_difference_is_rarely_ever_missed(base: float, effect: float) -> None:
    """200 pairs of streams, looked at 20 times from 10 requests on: missed at any look with probability ≤ α."""
    rng, paths, alpha = np.random.default_rng(30), 200, 0.05
    looks = FORTY_LOOKS[::2] - 20
    a = (rng.random((paths, 400)) < base).cumsum(axis=1)[:, looks - 1]
    b = (rng.random((paths, 400)) < base + effect).cumsum(axis=1)[:, looks - 1]
    missed = 0
    for one, other in zip(a.tolist(), b.tolist(), strict=True):
        missed += any(excludes(n, x, y, effect, alpha) for n, x, y in zip(looks.tolist(), one, other, strict=True))
    assert missed / paths <= alpha + binomial_margin(alpha, paths)


@cache
def excludes(n: int, x: int, y: int, effect: float, alpha: float) -> bool:
    low, high = rates.difference_interval(RateArm(n, x), RateArm(n, y), alpha)
    return not low <= effect <= high


def test_an_outage_is_certain_after_thirty_requests() -> None:
    low, _ = rates.difference_interval(RateArm(300, 0), RateArm(30, 30), 0.0001)
    assert low > 0.5
