"""The one decision about a release: is the candidate worse than the baseline, better, the same, or not known yet?"""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analyzers.stats import msprt, phrase, rates
from analyzers.stats.phrase import Scale
from analyzers.stats.summary import Arm, RateArm

Verdict = Literal["worse", "better", "same", "not_yet"]
Direction = Literal["up", "down"]

_POWER_QUANTILE = 0.8416212335729143
"""The normal quantile of .8, the power at which the minimum detectable effect is stated."""

_NO_VARIANCE, _ROUNDING = 1e-200, 1e-12
_LARGEST, _LARGEST_LOG = 1e100, 700.0


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What is known at this look.

    `effect`, `interval`, `allowed` and `minimum_detectable_effect` share one unit: a relative change on the log
    scale (0.58 = 58 % higher), the metric's own unit on the linear scale, a difference of rates for rates.
    `interval` holds the true effect at all looks together with probability 1 - alpha. `p_value` is always-valid
    and speaks of "no difference at all", not of the margin. None where the data cannot say.
    """

    verdict: Verdict
    reason: str
    scale: Scale
    n_baseline: int
    n_candidate: int
    alpha: float
    allowed: float
    """The effect on the worse side that is let pass: the margin, widened by the tolerance."""
    effect: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    minimum_detectable_effect: float | None = None
    """Smallest true effect on the worse side that would be called worse with probability .8 at these counts."""


@dataclass(frozen=True)
class _Terms:
    """How to judge, in additive units (natural logarithms on the log scale)."""

    scale: Scale
    margin: float
    tolerance: float
    alpha: float
    direction: Direction
    min_samples: int

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {self.alpha}")
        if not (0 <= self.margin < math.inf and 0 <= self.tolerance < math.inf):
            raise ValueError(f"margin and tolerance must be finite and >= 0, not {self.margin}, {self.tolerance}")
        if self.direction not in ("up", "down"):
            raise ValueError(f"direction names the worse side, 'up' or 'down', not {self.direction!r}")

    @property
    def allowance(self) -> float:
        return self.margin + self.tolerance

    @property
    def sign(self) -> int:
        return 1 if self.direction == "up" else -1


@dataclass(frozen=True)
class _Evidence:
    """What the data say, in the same units; `detectable` is the size of an effect."""

    difference: float
    low: float
    high: float
    p_value: float
    detectable: float | None


def compare(
    baseline: Arm,
    candidate: Arm,
    *,
    margin: float,
    alpha: float,
    direction: Direction,
    tolerance: float = 0.0,
    min_samples: int = msprt.MIN_SAMPLES,
    scale: Literal["log", "linear"] = "log",
    tau: float | None = None,
) -> Comparison:
    """Compare two means by the mixture SPRT; the arms must only ever grow while one comparison lasts.

    On the log scale the arms hold natural logarithms and `margin` is a ratio: 0.1 lets the candidate be 1.1 times
    as much, or as little. On the linear scale `margin` and the then required `tau` (the size of effects worth
    finding) are in the metric's unit. `tolerance` is in the arms' unit (`tolerance.sequential_tolerance`).
    `direction` is the worse side. ValueError for terms that cannot be meant; never for data.
    """
    if min_samples < msprt.MIN_SAMPLES:
        raise ValueError(f"min_samples must be at least {msprt.MIN_SAMPLES}, not {min_samples}: means need it")
    if scale == "linear" and tau is None:
        raise ValueError("the linear scale needs tau, the size of effects worth finding in the metric's unit")
    additive = math.log1p(margin) if scale == "log" and margin >= 0 else margin
    terms = _Terms(scale, additive, tolerance, alpha, direction, min_samples)
    mixture = msprt.LOG_TAU if tau is None else tau
    if not mixture > 0:
        raise ValueError(f"tau must be positive, not {tau}")
    if baseline.n >= min_samples and candidate.n >= min_samples and not _finite(baseline, candidate):
        return _undecided(terms, baseline.n, candidate.n, phrase.not_finite(scale))
    return _decide(terms, baseline.n, candidate.n, lambda: _mean_evidence(baseline, candidate, terms, mixture))


def compare_rates(
    baseline: RateArm,
    candidate: RateArm,
    *,
    margin: float,
    alpha: float,
    direction: Direction,
    tolerance: float = 0.0,
    min_samples: int = msprt.MIN_SAMPLES,
) -> Comparison:
    """Compare two rates; margin and tolerance are differences of rates (0.02 is two percentage points)."""
    if min_samples < 1:
        raise ValueError(f"min_samples must be at least 1, not {min_samples}")
    terms = _Terms("rate", margin, tolerance, alpha, direction, min_samples)
    return _decide(terms, baseline.n, candidate.n, lambda: _rate_evidence(baseline, candidate, terms))


def _decide(terms: _Terms, n_baseline: int, n_candidate: int, weigh: Callable[[], _Evidence]) -> Comparison:
    if min(n_baseline, n_candidate) < terms.min_samples:
        return _undecided(terms, n_baseline, n_candidate, phrase.too_few(n_baseline, n_candidate, terms.min_samples))
    evidence = weigh()
    verdict = _verdict(evidence, terms)
    return Comparison(
        verdict=verdict,
        reason=_reason(evidence, terms, verdict, n_baseline, n_candidate),
        scale=terms.scale,
        n_baseline=n_baseline,
        n_candidate=n_candidate,
        alpha=terms.alpha,
        allowed=_effect(terms.sign * terms.allowance, terms.scale),
        effect=_effect(evidence.difference, terms.scale),
        interval=Interval(_effect(evidence.low, terms.scale), _effect(evidence.high, terms.scale)),
        p_value=evidence.p_value,
        minimum_detectable_effect=_detectable(evidence, terms),
    )


def _undecided(terms: _Terms, n_baseline: int, n_candidate: int, reason: str) -> Comparison:
    allowed = _effect(terms.sign * terms.allowance, terms.scale)
    return Comparison("not_yet", reason, terms.scale, n_baseline, n_candidate, terms.alpha, allowed)


def _mean_evidence(baseline: Arm, candidate: Arm, terms: _Terms, tau: float) -> _Evidence:
    difference = candidate.mean - baseline.mean
    variance = msprt.difference_variance(baseline, candidate)
    size = max(abs(baseline.mean), abs(candidate.mean))
    if variance <= max(_NO_VARIANCE, (_ROUNDING * size) ** 2):
        return _spreadless_evidence(difference, _ROUNDING * size, min(baseline.n, candidate.n), terms)
    half = float(msprt.half_width(variance, tau, terms.alpha))
    return _Evidence(
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=float(msprt.p_value(difference, variance, tau)),
        detectable=terms.allowance + half + _POWER_QUANTILE * math.sqrt(variance),
    )


def _spreadless_evidence(difference: float, rounding: float, n: int, terms: _Terms) -> _Evidence:
    """Each arm holds one value over and over.

    If both drew from one distribution, two arms constant at different values would ever be seen with
    probability Σ_{a≠b} (p_a·p_b)ⁿ ≤ 2·4⁻ⁿ, n being the smaller first count: an exact p-value.
    """
    if abs(difference) <= rounding:
        return _Evidence(0.0, 0.0, 0.0, 1.0, terms.allowance)
    return _Evidence(difference, difference, difference, 2.0 * 4.0**-n, terms.allowance)


def _rate_evidence(baseline: RateArm, candidate: RateArm, terms: _Terms) -> _Evidence:
    low, high = rates.difference_interval(baseline, candidate, terms.alpha)
    return _Evidence(
        difference=candidate.rate - baseline.rate,
        low=low,
        high=high,
        p_value=rates.p_value(baseline, candidate),
        detectable=_detectable_rate_difference(baseline, candidate.n, terms),
    )


def _detectable_rate_difference(baseline: RateArm, n_candidate: int, terms: _Terms) -> float | None:
    """The smallest rise that n_candidate requests would call worse, plus what makes that 80 % likely."""
    against = baseline if terms.direction == "up" else baseline.flipped()

    def called(events: int) -> bool:
        return rates.difference_interval(against, RateArm(n_candidate, events), terms.alpha)[0] > terms.allowance

    if not called(n_candidate):
        return None
    events = bisect.bisect_left(range(n_candidate + 1), True, key=called)
    rate = events / n_candidate
    noise = math.sqrt(rate * (1 - rate) / n_candidate + against.rate * (1 - against.rate) / against.n)
    detectable = rate - against.rate + _POWER_QUANTILE * noise
    return detectable if against.rate + detectable <= 1 else None


def _verdict(evidence: _Evidence, terms: _Terms) -> Verdict:
    """Only whole intervals decide."""
    low, high = sorted((terms.sign * evidence.low, terms.sign * evidence.high))
    if low > terms.allowance:
        return "worse"
    if high < -terms.allowance:
        return "better"
    if -terms.margin <= low and high <= terms.margin:
        return "same"
    return "not_yet"


def _reason(evidence: _Evidence, terms: _Terms, verdict: Verdict, n_baseline: int, n_candidate: int) -> str:
    scale = terms.scale
    change = phrase.change(_effect(evidence.difference, scale), scale)
    low, high = _effect(evidence.low, scale), _effect(evidence.high, scale)
    span = phrase.span(low, high, terms.alpha, scale)
    return f"{change} ({span}), {_standing(evidence, terms, verdict)}; {phrase.counts(n_baseline, n_candidate)}"


def _standing(evidence: _Evidence, terms: _Terms, verdict: Verdict) -> str:
    """Where the interval lies, seen from the margin."""
    worse, better = (
        phrase.signed(_effect(side * terms.allowance, terms.scale), terms.scale) for side in (terms.sign, -terms.sign)
    )
    widened = " (the margin widened by the tolerance for drift in time)" if terms.tolerance else ""
    if verdict in ("worse", "better"):
        return f"all beyond {worse if verdict == 'worse' else better}{widened}"
    if verdict == "same":
        return f"all within the margin of {phrase.size(_effect(terms.margin, terms.scale), terms.scale)}"
    if min(abs(evidence.low), abs(evidence.high)) > terms.margin and evidence.low * evidence.high > 0:
        return f"beyond the margin, but not beyond {worse if evidence.difference * terms.sign > 0 else better}{widened}"
    return f"not all beyond {worse}{widened}, nor all within the margin"


def _detectable(evidence: _Evidence, terms: _Terms) -> float | None:
    if evidence.detectable is None:
        return None
    return _effect(terms.sign * evidence.detectable, terms.scale)


def _effect(difference: float, scale: Scale) -> float:
    """From additive units to the outward unit."""
    return math.expm1(min(difference, _LARGEST_LOG)) if scale == "log" else difference


def _finite(*arms: Arm) -> bool:
    return all(abs(number) < _LARGEST for arm in arms for number in (arm.mean, arm.variance))
