"""Sufficient statistics of one arm: what a query has to return for a comparison."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A sum of squares carries this relative rounding error; a variance below it is indistinguishable from zero.
_ROUNDING = 8 * math.ulp(1.0)


@dataclass(frozen=True)
class Arm:
    """Count, mean and sample variance (divisor n - 1) of the values as they are tested, e.g. ln(cost in USD).

    With fewer than two values the variance is ignored (ClickHouse's varSamp gives NaN there).
    """

    n: int
    mean: float
    variance: float

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError(f"an arm cannot hold {self.n} values")
        if self.variance < 0:
            raise ValueError(f"a variance cannot be {self.variance}: take Arm.from_sums, which clears rounding")

    @classmethod
    def from_values(cls, values: Sequence[float]) -> "Arm":
        """Two passes over the values, for tests and small samples."""
        n = len(values)
        if n == 0:
            return EMPTY
        mean = math.fsum(values) / n
        return _from_deviations(n, mean, math.fsum((value - mean) ** 2 for value in values))

    @classmethod
    def from_sums(cls, n: int, total: float, total_of_squares: float, *, shift: float = 0.0) -> "Arm":
        """From n, Σ(x - shift) and Σ(x - shift)², as a query sums them.

        A shift near the mean keeps every digit; without one, digits cancel when the mean is far larger than
        the spread. Whatever is left below the rounding error counts as no variance.
        """
        if n == 0:
            return EMPTY
        mean = total / n
        deviations = total_of_squares - total * mean
        if deviations <= _ROUNDING * n * total_of_squares:
            deviations = 0.0
        return _from_deviations(n, shift + mean, deviations)

    @property
    def squared_deviations(self) -> float:
        """Σ(x - mean)²."""
        return self.variance * (self.n - 1) if self.n > 1 else 0.0

    def merge(self, other: "Arm") -> "Arm":
        """The arm of both samples together (Chan, Golub & LeVeque 1983)."""
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        step = other.mean - self.mean
        deviations = self.squared_deviations + other.squared_deviations + step * step * self.n * other.n / n
        return _from_deviations(n, self.mean + step * other.n / n, deviations)


@dataclass(frozen=True)
class RateArm:
    """Count of requests and of those with the event: errors, toxic answers, unsupported answers."""

    n: int
    events: int

    def __post_init__(self) -> None:
        if not 0 <= self.events <= self.n:
            raise ValueError(f"{self.events} events cannot come from {self.n} requests")

    @property
    def others(self) -> int:
        return self.n - self.events

    @property
    def rate(self) -> float:
        """The observed rate; NaN without requests."""
        return self.events / self.n if self.n else math.nan

    def merge(self, other: "RateArm") -> "RateArm":
        return RateArm(self.n + other.n, self.events + other.events)

    def flipped(self) -> "RateArm":
        """The same requests, counting those without the event."""
        return RateArm(self.n, self.others)


EMPTY = Arm(0, 0.0, 0.0)


def merged(arms: Iterable[Arm]) -> Arm:
    """All arms as one."""
    whole = EMPTY
    for arm in arms:
        whole = whole.merge(arm)
    return whole


def merged_rates(arms: Iterable[RateArm]) -> RateArm:
    """All arms as one."""
    whole = RateArm(0, 0)
    for arm in arms:
        whole = whole.merge(arm)
    return whole


def _from_deviations(n: int, mean: float, deviations: float) -> Arm:
    return Arm(n, mean, deviations / (n - 1) if n > 1 else 0.0)
