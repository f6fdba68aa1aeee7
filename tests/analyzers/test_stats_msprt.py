import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from analyzers.stats import msprt
from analyzers.stats.summary import Arm
from tests.analyzers.stats_looks import FORTY_LOOKS, Floats, binomial_margin, looks_at, share_ever

TAU = msprt.LOG_TAU
differences = st.floats(-2, 2)
variances = st.floats(1e-5, 1.0)
alphas = st.floats(1e-6, 0.5)


@pytest.mark.parametrize(("d", "v", "tau"), [(0.2, 0.01, 0.3), (-0.5, 0.04, 0.1), (0.0, 0.002, 0.3), (1.0, 0.3, 1.0)])
def test_likelihood_ratio_is_the_mixture_integral(d: float, v: float, tau: float) -> None:
    def mixed(effect: float) -> float:
        return float(stats.norm.pdf(d, effect, math.sqrt(v)) * stats.norm.pdf(effect, 0, tau))

    mixture, _ = integrate.quad(mixed, -10, 10, points=[0, d], limit=200)
    expected = math.log(mixture / stats.norm.pdf(d, 0, math.sqrt(v)))
    assert float(msprt.log_likelihood_ratio(d, v, tau)) == pytest.approx(expected, abs=1e-6)


@given(differences, variances, st.floats(0.05, 2), alphas)
def test_interval_inverts_the_p_value(d: float, v: float, tau: float, alpha: float) -> None:
    half = float(msprt.half_width(v, tau, alpha))
    assert float(msprt.p_value(half, v, tau)) == pytest.approx(alpha, rel=1e-6)
    excludes_zero = abs(d) > half
    rejected = float(msprt.p_value(d, v, tau)) < alpha
    assert excludes_zero == rejected or abs(d) == pytest.approx(half, rel=1e-9)


@given(variances, alphas, alphas)
def test_interval_is_monotone_in_alpha(v: float, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert msprt.half_width(v, TAU, smaller) >= msprt.half_width(v, TAU, larger)


@given(differences, variances)
def test_evidence_ignores_the_sign(d: float, v: float) -> None:
    assert msprt.log_likelihood_ratio(d, v, TAU) == msprt.log_likelihood_ratio(-d, v, TAU)


@pytest.mark.parametrize("t", [30, 100, 5000])
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_interval_is_the_asymptotic_confidence_sequence(t: int, sigma: float) -> None:
    """Waudby-Smith et al. 2021, theorem 2.2, written in its own letters."""
    rho, alpha = TAU / sigma, 0.01
    grown = t * rho**2 + 1
    expected = sigma * math.sqrt(2 * grown / (t**2 * rho**2) * math.log(math.sqrt(grown) / alpha))
    assert float(msprt.half_width(sigma**2 / t, TAU, alpha)) == pytest.approx(expected)


def test_variance_is_that_of_welch() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 50), rng.normal(0.4, 2, 80)
    one, other = Arm.from_values(a.tolist()), Arm.from_values(b.tolist())
    statistic = (other.mean - one.mean) / math.sqrt(msprt.difference_variance(one, other))
    assert statistic == pytest.approx(float(stats.ttest_ind(b, a, equal_var=False).statistic))


@given(differences, st.floats(1e-3, 1.0))
def test_one_look_is_never_bolder_than_a_fixed_test(d: float, v: float) -> None:
    fixed = 2 * float(stats.norm.sf(abs(d) / math.sqrt(v)))
    assert float(msprt.p_value(d, v, TAU)) >= fixed


def test_an_arm_without_spread_borrows_the_other_ones() -> None:
    assert msprt.difference_variance(Arm(40, 1.0, 0.0), Arm(80, 1.0, 0.4)) == pytest.approx(0.4 / 40 + 0.4 / 80)
    assert msprt.difference_variance(Arm(40, 1.0, 0.0), Arm(80, 1.0, 0.0)) == 0


def test_the_default_tau_is_near_the_best() -> None:
    """At the precision where a 1.6-fold rise clears a 10 % margin, no other tau shortens the interval by 2 %."""
    alpha, gap = 0.001, math.log(1.6) - math.log(1.1)
    variance = gap**2 / 18
    assert float(msprt.half_width(variance, TAU, alpha)) <= gap
    best = min(float(msprt.half_width(variance, tau, alpha)) for tau in np.linspace(0.05, 2, 400))
    assert float(msprt.half_width(variance, TAU, alpha)) <= 1.02 * best


def alarms(a: Floats, b: Floats, alpha: float) -> float:
    """Share of paths in which the interval ever leaves 0, looking 40 times."""
    one, other = looks_at(a, FORTY_LOOKS), looks_at(b, FORTY_LOOKS)
    variance = one.variance / one.n + other.variance / other.n
    return share_ever(np.abs(other.mean - one.mean) > msprt.half_width(variance, TAU, alpha))


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("sigma", [0.3, 0.9])
def test_equal_releases_alarm_less_often_than_alpha(alpha: float, sigma: float) -> None:
    """Lognormal cost on the log scale, 4,000 comparisons, 40 looks each."""
    rng, paths = np.random.default_rng(20), 4000
    a, b = (rng.normal(-5, sigma, (paths, 420)) for _ in range(2))
    assert alarms(a, b, alpha) <= alpha + binomial_margin(alpha, paths)


def test_skewed_values_alarm_less_often_than_alpha() -> None:
    """Two clusters, 2 % of the requests twenty times as dear."""
    rng, paths, alpha = np.random.default_rng(21), 4000, 0.05
    a, b = (rng.normal(0, 0.3, (paths, 420)) + 3 * (rng.random((paths, 420)) < 0.02) for _ in range(2))
    assert alarms(a, b, alpha) <= alpha + binomial_margin(alpha, paths)


def test_a_finished_baseline_is_as_valid_as_a_growing_one() -> None:
    rng, paths, alpha = np.random.default_rng(22), 4000, 0.05
    baseline, other = rng.normal(0, 0.5, (paths, 300)), looks_at(rng.normal(0, 0.5, (paths, 420)), FORTY_LOOKS)
    variance = baseline.var(axis=1, ddof=1, keepdims=True) / 300 + other.variance / other.n
    difference = np.abs(other.mean - baseline.mean(axis=1, keepdims=True))
    assert share_ever(difference > msprt.half_width(variance, TAU, alpha)) <= alpha


def test_a_fixed_test_looked_at_forty_times_is_not_valid() -> None:
    """The control: what these simulations would show of a test that may not be repeated."""
    rng, paths = np.random.default_rng(23), 2000
    one, other = (looks_at(rng.normal(0, 0.5, (paths, 420)), FORTY_LOOKS) for _ in range(2))
    error = np.sqrt(one.variance / one.n + other.variance / other.n)
    assert share_ever(np.abs(other.mean - one.mean) > 1.96 * error) > 0.15


def test_a_rise_of_sixty_percent_is_found_early() -> None:
    """Beyond a 10 % margin at α = .001 with σ = .4: half of the comparisons by 60 requests per arm, all by 200."""
    rng, paths = np.random.default_rng(24), 2000
    one = looks_at(rng.normal(0, 0.4, (paths, 420)), FORTY_LOOKS)
    other = looks_at(rng.normal(math.log(1.6), 0.4, (paths, 420)), FORTY_LOOKS)
    half = msprt.half_width(one.variance / one.n + other.variance / other.n, TAU, 0.001)
    found = other.mean - one.mean - half > math.log(1.1)
    assert found[:, FORTY_LOOKS <= 60].any(axis=1).mean() > 0.5
    assert found[:, FORTY_LOOKS <= 200].any(axis=1).mean() > 0.999
