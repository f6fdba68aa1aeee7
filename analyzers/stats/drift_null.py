"""What windows of a stream look like when nothing drifts: the null model behind the scan, estimated from a reference.

Differences of means are looked at through a lens that weakens the directions in which single texts vary anyway,

    A = √λ₁ · (Σ̂ + λI)^(-1/2),      λ = .03 λ₁, λ₁ the largest eigenvalue of Σ̂, the covariance of φ(x).

That makes T the kernel Fisher discriminant statistic (Harchaoui, Bach & Moulines 2007; Hagrass, Sriperumbudur & Li 2022 show
that MMD by itself is not optimal): on public intents it finds a change in half the time. Half of the sampled texts make the
lens; the covariance Σ of what is seen through it comes from the other half, so that it is not flattered.

The mean of a window of n texts in several units of time differs from the reference's mean of N texts in B units by a normal
vector with covariance

    V = Σ·(1/n + 1/N) + F·(q + 1/B) + S·(min(1, b·q) + b/B),        q = Σ_u (n_u/n)², which is 1/w for w equal units.

F and S are the tolerance: traffic is autocorrelated, so the means of whole units vary by more than sampling. F is variation
from unit to unit, S what stays for blocks of b units (half of the reference). Their sizes come from the variance of unit and
block means beyond sampling noise, by the method of moments as in `tolerance.py`,

    γ²_w = max(0, (Σ_i N_i‖m_i - m̄‖² - (k-1)·tr Σ) / (N - Σ N_i²/N)),      γ²_1 = f + s,   γ²_b = f/b + s,

and their directions from the reference's own units (a multiplier bootstrap of whole units). f is not known exactly: simulated
paths draw it anew around its estimate. (s comes from two blocks; where there is none, its estimate errs upwards already.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analyzers.stats.mean_embedding import Sketch, merged

Floats = NDArray[np.float64]

RIDGE = 0.03
SHARPENED = 96
FEWEST_SAMPLES = 50
MOST_DIRECTIONS = 32


@dataclass(frozen=True)
class Lens:
    """A. `directions` are orthonormal rows with a scale each; everything else is scaled by `rest`."""

    directions: Floats
    scales: Floats
    rest: float
    largest: float
    """λ₁."""

    def __call__(self, rows: Floats) -> Floats:
        """A applied to vectors, along the last axis."""
        along = rows @ self.directions.T
        return np.asarray(self.rest * rows + (along * (self.scales - self.rest)) @ self.directions)

    def through(self, sketch: Sketch) -> Sketch:
        """The sketch of the same texts, seen through it."""
        return Sketch(sketch.count, sketch.weight, sketch.squares, self(sketch.total))

    def through_all(self, sketches: Sequence[Sketch]) -> list[Sketch]:
        """Each as `through` has it, empty ones as they are. In one product: the lens itself is 200 kB to read, twice."""
        filled = [sketch for sketch in sketches if sketch.count]
        seen = iter(self(np.array([sketch.total for sketch in filled])) if filled else ())
        return [Sketch(one.count, one.weight, one.squares, next(seen)) if one.count else one for one in sketches]

    def variance(self, direction: Floats) -> float:
        """dᵀΣ̂d, the variance of ⟨φ(x), d⟩ over the texts that the lens was made from."""
        along = self.directions @ direction
        outside = max(0.0, float(direction @ direction - along @ along))
        return float(self._values[:-1] @ along**2 + self._values[-1] * outside)

    @property
    def noise(self) -> float:
        """tr Σ̂²."""
        outside = self.directions.shape[1] - len(self.directions)
        return float(np.sum(self._values[:-1] ** 2) + outside * self._values[-1] ** 2)

    @property
    def _values(self) -> Floats:
        """Eigenvalues of Σ̂ along the directions, and the mean one outside of them."""
        return np.asarray(self.largest * np.maximum(0.0, 1 / np.append(self.scales, self.rest) ** 2 - RIDGE))


def lens_of(features: Floats) -> Lens:
    """The lens of a sample of texts, rows of features.

    Raises:
        ValueError: the texts are all the same.
    """
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(features, rowvar=False)))
    values, vectors = np.maximum(0.0, values[::-1]), vectors[:, ::-1]
    if values[0] == 0.0:
        raise ValueError("all texts of the reference are the same: there is nothing to compare with")
    kept = min(SHARPENED, len(values) - 1)
    scales = np.sqrt(1 / (values / values[0] + RIDGE))
    rest = float(np.sqrt(1 / (values[kept:].mean() / values[0] + RIDGE)))
    return Lens(np.asarray(vectors[:, :kept].T), np.asarray(scales[:kept]), rest, float(values[0]))


@dataclass(frozen=True)
class Moments:
    """What a look needs of the model: the first two moments of ‖A(μ̂_w - μ̂_ref)‖².

    `traces` are tr Σ, tr F, tr S, `products` the traces of their products; `largest` is the largest eigenvalue of Σ. The
    reference has `n` texts in `units` units, and `block` units share what S adds.
    """

    n: float
    units: int
    block: int
    traces: Floats
    products: Floats
    largest: float

    @property
    def own_weights(self) -> Floats:
        """The factors of Σ, F and S in the covariance of the reference's own mean."""
        return np.array([1 / self.n, 1 / self.units, min(1.0, self.block / self.units)])


@dataclass(frozen=True)
class Tolerance:
    """F = f·D and S = s·D, D the covariance of the rows of `directions` (trace 1), and how well f is known."""

    directions: Floats
    fast: float
    slow: float
    fast_error: float
    block: int


@dataclass(frozen=True)
class NullModel:
    """`eigenvalues` are those of Σ; the tolerance's directions are in the basis of its eigenvectors."""

    n: float
    unit_counts: tuple[float, ...]
    eigenvalues: Floats
    tolerance: Tolerance

    @cached_property
    def moments(self) -> Moments:
        """All that looks need."""
        values, rows, sizes = self.eigenvalues, self.tolerance.directions, (self.tolerance.fast, self.tolerance.slow)
        shared, own = float(np.sum(rows**2 @ values)), float(np.sum((rows @ rows.T) ** 2))
        scales = np.array([1.0, *sizes])
        products = np.array([[np.sum(values**2), shared, shared], [shared, own, own], [shared, own, own]])
        traces = np.array([values.sum(), *sizes])
        products = products * scales[:, None] * scales[None, :]
        return Moments(self.n, len(self.unit_counts), self.tolerance.block, traces, products, float(values.max()))


def null_model(units: Sequence[Sketch], features: Floats) -> tuple[NullModel, Lens]:
    """The model of a reference, from the sketches of its units and a sample of its texts' features in random order.

    Raises:
        ValueError: too few units with texts or sampled texts, or texts that are all the same.
    """
    filled = [unit for unit in units if unit.count > 0]
    if len(filled) < 2 or len(features) < FEWEST_SAMPLES:
        raise ValueError(
            f"a reference needs 2 units with texts and {FEWEST_SAMPLES} sampled texts, not {len(filled)} and {len(features)}"
        )
    lens = lens_of(features[::2])
    others = features[1::2]
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(lens(others), rowvar=False)))
    seen = [_turned(unit, vectors) for unit in lens.through_all(filled)]
    return _model(seen, flattened(np.maximum(0.0, values), len(others))), lens


def flattened(eigenvalues: Floats, n: int) -> Floats:
    """The eigenvalues of a covariance from `n` samples, drawn together until tr Σ² is without bias.

    A sample's eigenvalues spread too far: tr Σ̂² is too large by (tr Σ)²/n (Ledoit & Wolf 2004).
    """
    trace, mean = float(eigenvalues.sum()), float(eigenvalues.mean())
    spread = float(np.sum((eigenvalues - mean) ** 2))
    excess = trace**2 / max(1, n - 1)
    share = max(0.0, 1 - excess / spread) if spread > 0 else 1.0
    return np.asarray(mean + math.sqrt(share) * (eigenvalues - mean))


def _turned(sketch: Sketch, vectors: Floats) -> Sketch:
    return Sketch(sketch.count, sketch.weight, sketch.squares, np.asarray(sketch.total @ vectors))


def _model(units: Sequence[Sketch], eigenvalues: Floats) -> NullModel:
    return NullModel(
        n=merged(units).n,
        unit_counts=tuple(unit.n for unit in units),
        eigenvalues=eigenvalues,
        tolerance=tolerance_of(units, eigenvalues),
    )


def tolerance_of(units: Sequence[Sketch], eigenvalues: Floats) -> Tolerance:
    """F and S of the units of a reference; `eigenvalues` are those of Σ.

    The error of f is that of the variance of k normal means with covariance V, √(2 tr V²/(k-1)), V taken to have the shape of
    Σ.
    """
    block, trace = max(1, len(units) // 2), float(eigenvalues.sum())
    blocks = [merged(units[start : start + block]) for start in range(0, block * (len(units) // block), block)]
    fast, slow = components(between(units, trace), between(blocks, trace), block)
    shape = float(np.sqrt(2 * np.sum(eigenvalues**2)))
    of_unit = float(np.mean([1 / unit.n for unit in units])) + (fast + slow) / trace
    return Tolerance(_directions(units), fast, slow, shape * of_unit / math.sqrt(len(units) - 1), block)


def between(sketches: Sequence[Sketch], trace: float) -> float:
    """γ²: the variance of the means beyond sampling noise, summed over the features; 0 where noise explains it all."""
    whole, k = merged(sketches), len(sketches)
    counts = np.array([one.n for one in sketches])
    total = counts.sum()
    if k < 2 or total <= k:
        return 0.0
    apart = sum(one.n * float(np.sum((one.mean - whole.mean) ** 2)) for one in sketches)
    return max(0.0, (apart - (k - 1) * trace) / float(total - counts @ counts / total))


def components(of_units: float, of_blocks: float, block: int) -> tuple[float, float]:
    """f and s, neither below 0, from γ²_1 and γ²_b."""
    if block == 1:
        return of_units, 0.0
    slow = max(0.0, (of_blocks - of_units / block) / (1 - 1 / block))
    return max(0.0, of_units - slow), slow


def _directions(sketches: Sequence[Sketch]) -> Floats:
    """The units' deviations from their mean as rows, scaled so that their squares sum up to 1.

    Of many units the main directions stand for all.
    """
    means = np.array([one.mean for one in sketches])
    centred = means - np.average(means, axis=0, weights=[one.n for one in sketches])
    if len(centred) > MOST_DIRECTIONS:
        _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
        centred = (sizes[:, None] * axes)[:MOST_DIRECTIONS]
    size = float(np.sum(centred**2))
    return np.asarray(centred / np.sqrt(size) if size > 0 else centred)
