"""Many simulated comparisons at once: the summaries of growing samples at every look."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FORTY_LOOKS = np.arange(30, 430, 10)


@dataclass(frozen=True)
class Looks:
    """Means and sample variances, shape (paths, looks), of the first n values of each path."""

    n: NDArray[np.int_]
    mean: Floats
    variance: Floats


def looks_at(values: Floats, n: NDArray[np.int_]) -> Looks:
    """Summaries of `values`, shape (paths, at least max n), at the prefixes n."""
    mean = values.cumsum(axis=1)[:, n - 1] / n
    squares = np.square(values).cumsum(axis=1)[:, n - 1]
    return Looks(n, mean, (squares - n * mean**2) / (n - 1))


def share_ever(alarms: NDArray[np.bool_]) -> float:
    """Share of paths with an alarm at any look."""
    return float(alarms.any(axis=1).mean())


def binomial_margin(alpha: float, paths: int) -> float:
    """Three standard errors of a share that is truly alpha."""
    return 3 * float(np.sqrt(alpha * (1 - alpha) / paths))
