"""Features and distances against sklearn's exact kernel and scipy's distances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

from analyzers.stats.mean_embedding import FeatureMap, Sketch, effect, median_distance, merged, squared_distance

Floats = NDArray[np.float64]


def clouds(n: int, shift: float, seed: int, dimensions: int = 8) -> tuple[Floats, Floats]:
    """Two samples, one shifted."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dimensions)), rng.normal(size=(n, dimensions)) + shift


def exact_mmd2(x: Floats, y: Floats, bandwidth: float) -> float:
    """The unbiased MMD² of Gretton et al. (2012), lemma 6, with sklearn's kernel."""
    gamma, n, m = 1 / (2 * bandwidth**2), len(x), len(y)
    own = sum((rbf_kernel(z, z, gamma=gamma).sum() - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y))
    return float(own - 2 * rbf_kernel(x, y, gamma=gamma).sum() / (n * m))


def test_inner_products_are_the_kernel() -> None:
    x, _ = clouds(60, 0.0, 1)
    phi = FeatureMap(8, 3.0, features=20_000)(x)
    assert np.allclose(phi @ phi.T, rbf_kernel(x, x, gamma=1 / 18), atol=0.04)
    assert np.allclose(np.sum(phi**2, axis=1), 1.0)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5, 1.0])
def test_the_distance_is_the_exact_mmd_up_to_the_features(shift: float) -> None:
    x, y = clouds(600, shift, 2)
    bandwidth = median_distance(x)
    phi = FeatureMap(8, bandwidth)
    found = squared_distance(Sketch.of(phi(y)), Sketch.of(phi(x)))
    exact = exact_mmd2(x, y, bandwidth)
    assert found == pytest.approx(exact, abs=max(0.0015, 2 * exact / np.sqrt(phi.features)))


def test_the_distance_of_equals_is_around_zero() -> None:
    found = []
    for seed in range(60):
        x, y = clouds(200, 0.0, seed)
        phi = FeatureMap(8, 4.0)
        found.append(squared_distance(Sketch.of(phi(y)), Sketch.of(phi(x))))
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert 0.2 < np.mean(np.array(found) < 0) < 0.8


def test_the_interval_holds_the_true_effect() -> None:
    phi, held = FeatureMap(8, 4.0), 0
    x, y = clouds(40_000, 0.15, 99)
    truth = np.sqrt(squared_distance(Sketch.of(phi(y)), Sketch.of(phi(x))))
    for seed in range(100):
        few = [phi(rows[np.random.default_rng(seed).choice(len(rows), 400, replace=False)]) for rows in (y, x)]
        window, reference = map(Sketch.of, few)
        direction = window.mean - reference.mean
        variances = (float((few[0] @ direction).var()), float((few[1] @ direction).var()))
        noise = float(np.sum(np.cov(few[1], rowvar=False) ** 2)) * (2 / 400) ** 2
        found = effect(window, reference, variances, noise)
        held += found.low <= truth <= found.high
    assert held >= 88


def test_median_distance_is_scipys() -> None:
    x, _ = clouds(300, 0.0, 3)
    assert median_distance(x) == pytest.approx(float(np.median(pdist(x))))
    with pytest.raises(ValueError, match="two different texts"):
        median_distance(np.ones((5, 3)))


def test_sketches_add_up_in_any_order_and_by_weight() -> None:
    phi = FeatureMap(8, 4.0)
    x, _ = clouds(90, 0.0, 4)
    features, weights = phi(x), np.tile([1.0, 2.0, 3.0], 30)
    whole = Sketch.of(features, weights)
    parts = merged([Sketch.of(features[60:], weights[60:]), Sketch.of(features[:60], weights[:60])])
    assert np.allclose(parts.total, whole.total)
    assert (parts.count, parts.weight, parts.squares) == (whole.count, whole.weight, whole.squares)
    repeated = Sketch.of(np.repeat(features, np.tile([1, 2, 3], 30), axis=0))
    assert np.allclose(whole.mean, repeated.mean)
    assert whole.n == pytest.approx(180**2 / 420)
    assert Sketch.of(features).n == 90


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    rows = np.ones((3, 8))
    rows[1, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        FeatureMap(8, 1.0)(rows)
    with pytest.raises(ValueError, match="bandwidth"):
        FeatureMap(8, bad)


def test_another_number_of_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 8\)"):
        FeatureMap(8, 1.0)(np.ones((3, 7)))
    with pytest.raises(ValueError, match="pairs"):
        FeatureMap(8, 1.0, features=7)
