"""Mean embeddings of texts by random Fourier features, and the distance between two of them.

For the Gaussian kernel k(x, y) = exp(-‖x-y‖²/(2h²)), Rahimi & Recht (2007), "Random features for large-scale kernel
machines": with W of D/2 rows drawn from N(0, I/h²),

    φ(x) = √(2/D) · [cos Wx, sin Wx],      ⟨φ(x), φ(y)⟩ ≈ k(x, y),      ‖φ(x)‖ = 1.

A set of texts is known by n and Σφ alone. The distance of two means is the maximum mean discrepancy of Gretton et al.
(2012), "A kernel two-sample test". ‖μ̂_Q - μ̂_P‖² is too large by tr Σ_Q/n_Q + tr Σ_P/n_P on average; `squared_distance`
takes that off. As ‖φ‖ = 1, tr Σ = 1 - ‖μ‖².
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEATURES = 256
SEED = 20_240_229

_PAIRS = 1_000


@dataclass(frozen=True)
class FeatureMap:
    """φ, fixed by these four numbers."""

    dimensions: int
    bandwidth: float
    features: int = FEATURES
    seed: int = SEED

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise ValueError(f"the bandwidth must be positive and finite, not {self.bandwidth}")
        if self.features < 2 or self.features % 2:
            raise ValueError(f"features come in pairs, so their number must be even, not {self.features}")

    @cached_property
    def _frequencies(self) -> Floats:
        drawn = np.random.Generator(np.random.PCG64(self.seed)).standard_normal((self.dimensions, self.features // 2))
        return np.asarray(drawn / self.bandwidth)

    def __call__(self, embeddings: NDArray[np.floating]) -> Floats:
        """φ of each row; shape (rows, features).

        Raises:
            ValueError: another number of dimensions, or values that are not finite.
        """
        rows = np.asarray(embeddings, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.dimensions:
            raise ValueError(f"embeddings of shape (n, {self.dimensions}) are needed, not {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("an embedding holds NaN or infinity: it cannot be compared")
        angles = rows @ self._frequencies
        return np.asarray(np.sqrt(2 / self.features) * np.concatenate([np.cos(angles), np.sin(angles)], axis=1))


def median_distance(embeddings: NDArray[np.floating], seed: int = SEED) -> float:
    """The median distance of pairs of different rows (of up to 1,000 of them): the usual bandwidth.

    Raises:
        ValueError: fewer than two different rows.
    """
    rows = np.unique(np.asarray(embeddings, dtype=np.float64), axis=0)
    if len(rows) < 2:
        raise ValueError("a bandwidth needs at least two different texts")
    if len(rows) > _PAIRS:
        rows = rows[np.random.default_rng(seed).choice(len(rows), _PAIRS, replace=False)]
    squares = np.sum(rows**2, axis=1)
    distances = np.maximum(0.0, squares[:, None] + squares[None, :] - 2 * rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return float(np.sqrt(np.median(distances)))


@dataclass(frozen=True)
class Sketch:
    """What is kept of a set of texts: their number, the sums of their weights and squared weights, and Σwφ.

    A text that stands for w others, because only a share was looked at, has the weight w.
    """

    count: int
    weight: float
    squares: float
    total: Floats

    @classmethod
    def of(cls, features: Floats, weights: Floats | None = None) -> Sketch:
        """The sketch of rows of features."""
        each = np.ones(len(features)) if weights is None else np.asarray(weights, dtype=np.float64)
        return cls(len(features), float(each.sum()), float(each @ each), np.asarray(each @ features))

    @property
    def mean(self) -> Floats:
        """μ̂; there must be a text."""
        return np.asarray(self.total / self.weight)

    @property
    def n(self) -> float:
        """(Σw)²/Σw²: how many texts of equal weight would tell as much (Kish 1965)."""
        return self.weight**2 / self.squares if self.count else 0.0

    @property
    def trace(self) -> float:
        """tr Σ̂, without bias: (1 - ‖μ̂‖²)·n/(n-1)."""
        return max(0.0, 1.0 - float(self.mean @ self.mean)) * self.n / max(1.0, self.n - 1)


def merged(sketches: Sequence[Sketch]) -> Sketch:
    """The sketch of all texts together; there must be one."""
    return Sketch(
        sum(one.count for one in sketches),
        sum(one.weight for one in sketches),
        sum(one.squares for one in sketches),
        np.asarray(np.sum([one.total for one in sketches], axis=0)),
    )


def squared_distance(window: Sketch, reference: Sketch) -> float:
    """MMD² without bias; around 0, and below it half of the time, where both are drawn alike."""
    difference = window.mean - reference.mean
    return float(difference @ difference) - window.trace / window.n - reference.trace / reference.n


@dataclass(frozen=True)
class Effect:
    """MMD with the interval that holds the true one with the stated confidence, at one look."""

    value: float
    low: float
    high: float


def effect(window: Sketch, reference: Sketch, variances: tuple[float, float], noise: float, quantile: float = 1.96) -> Effect:
    """The distance with its interval, on the scale of MMD (0: alike; √2: nothing in common).

    `variances` are those of the witness values ⟨φ(x), μ̂_Q - μ̂_P⟩ over the texts of the window and of the reference;
    `noise` is tr V², V the covariance of μ̂_Q - μ̂_P. By the delta method for a U-statistic the variance of MMD² is
    4(σ²_Q/n_Q + σ²_P/n_P) + 2 tr V² (Gretton et al. 2012, §4; Serfling 1980, §5.5).
    """
    square = squared_distance(window, reference)
    spread = quantile * math.sqrt(4 * (variances[0] / window.n + variances[1] / reference.n) + 2 * noise)
    value, low, high = (math.sqrt(max(0.0, each)) for each in (square, square - spread, square + spread))
    return Effect(value, low, high)
