"""Anytime-valid comparison of two Bernoulli rates, exact for every count.

One arm with s events and f others has the beta-binomial mixture ratio (Robbins 1970; Howard, Ramdas, McAuliffe &
Sekhon 2021), with Jeffreys' prior a = b = ½:

    M(p) = B(a+s, b+f) / (B(a, b) · p^s · (1-p)^f)

Under the true rate it is a nonnegative martingale with mean 1. So is the product M_A(p)·M_B(q) when the
requests of the two arms arrive in any order, hence {(p, q): M_A(p)·M_B(q) < 1/α} holds the two true rates at all
times with probability 1 - α. Its shadow on q - p is the interval. The test "q - p = δ" it inverts divides by
the likelihood maximised over the unknown base rate: universal inference (Wasserman, Ramdas & Balakrishnan 2020)
and the setting of Turner, Ly & Grünwald (2024). No correction for two arms is needed, unlike two intervals at α/2.

ln M is convex in the rate, so the shadow is one interval whose ends are points where a Lagrange multiplier λ > 0
balances the two slopes; both rates follow from λ in closed form and λ from a one-dimensional root.
"""

import math

from scipy.optimize import brentq

from analyzers.stats.summary import RateArm

_LAMBDA_MIN, _LAMBDA_MAX = 1e-12, 1e18


def difference_interval(baseline: RateArm, candidate: RateArm, alpha: float) -> tuple[float, float]:
    """The interval of candidate rate - baseline rate, valid at every look together with probability 1 - α."""
    return -_largest_difference(candidate, baseline, alpha), _largest_difference(baseline, candidate, alpha)


def p_value(baseline: RateArm, candidate: RateArm) -> float:
    """Always-valid p-value of "equal rates": max over the common rate of 1 / (M_A · M_B), at most 1."""
    pooled = baseline.merge(candidate)
    if pooled.n == 0:
        return 1.0
    common, rest = pooled.events / pooled.n, pooled.others / pooled.n
    log_ratio = log_mixture(baseline, common, rest) + log_mixture(candidate, common, rest)
    return math.exp(-max(0.0, log_ratio))


def log_mixture(arm: RateArm, rate: float, rest: float) -> float:
    """ln M at this rate. `rest` is 1 - rate, given apart because it may be too small to subtract."""
    return _log_mixture_at_best(arm) + _divergence(arm, rate, rest)


def _log_mixture_at_best(arm: RateArm) -> float:
    """ln M at the observed rate, its minimum; at most 0."""
    log_beta = math.lgamma(arm.events + 0.5) + math.lgamma(arm.others + 0.5) - math.lgamma(arm.n + 1.0)
    likelihood = _weighted_log(arm.events, arm.events, arm.n) + _weighted_log(arm.others, arm.others, arm.n)
    return log_beta - math.log(math.pi) - likelihood


def _divergence(arm: RateArm, rate: float, rest: float) -> float:
    """n · KL(observed rate, rate)."""
    events = _weighted_log(arm.events, arm.events, arm.n * rate)
    return events + _weighted_log(arm.others, arm.others, arm.n * rest)


def _weighted_log(weight: float, numerator: float, denominator: float) -> float:
    """weight · ln(numerator / denominator), with 0 · anything = 0."""
    if weight == 0:
        return 0.0
    return weight * math.log(numerator / denominator) if denominator > 0 else math.inf


def _largest_difference(lower: RateArm, upper: RateArm, alpha: float) -> float:
    """The largest q - p with M_lower(p) · M_upper(q) < 1/α."""
    budget = math.log(1 / alpha) - _log_mixture_at_best(lower) - _log_mixture_at_best(upper)

    def excess(log_multiplier: float) -> float:
        p, p_rest, q, q_rest = _rates_at(lower, upper, math.exp(log_multiplier))
        return _divergence(lower, p, p_rest) + _divergence(upper, q, q_rest) - budget

    low, high = math.log(_LAMBDA_MIN), math.log(_LAMBDA_MAX)
    if excess(high) < 0:
        return 1.0  # even rates of 0 and 1 are within the set: the counts exclude nothing at this end
    p, _, q, _ = _rates_at(lower, upper, math.exp(brentq(excess, low, high, xtol=1e-10)))
    return q - p


def _rates_at(lower: RateArm, upper: RateArm, multiplier: float) -> tuple[float, float, float, float]:
    """(p, 1-p, q, 1-q) where ∂lnM/∂q = λ and ∂lnM/∂p = -λ."""
    p_rest, p = _tilted(lower.others, lower.events, multiplier)
    q, q_rest = _tilted(upper.events, upper.others, multiplier)
    return p, p_rest, q, q_rest


def _tilted(events: int, others: int, multiplier: float) -> tuple[float, float]:
    """The rate q above the observed one with -events/q + others/(1-q) = λ, and 1 - q, both without cancellation."""
    n = events + others
    root = math.sqrt((n - multiplier) ** 2 + 4 * multiplier * events)
    rate = 2 * events / (n - multiplier + root) if multiplier < n else (multiplier - n + root) / (2 * multiplier)
    return rate, 2 * others / (n + multiplier + root)
