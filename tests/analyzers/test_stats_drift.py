"""The scan against Monte Carlo: its moments, its threshold, its false alarms; and the e-detector beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from analyzers.stats.drift_null import NullModel, Tolerance, between, components, flattened, lens_of, null_model, tolerance_of
from analyzers.stats.drift_scan import Scan, look, standardised, threshold
from analyzers.stats.e_detector import bet, opinion
from analyzers.stats.mean_embedding import Sketch, merged

Floats = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator], Floats]

D = 24
SCAN = Scan((1, 2, 4, 7), 14, 20)
SPREAD = 0.3 / np.sqrt(1 + np.arange(D))
NONE = Tolerance(np.zeros((1, D)), 0.0, 0.0, 0.0, 5)
EMPTY = Sketch(0, 0.0, 0.0, np.zeros(0))


def texts(n: int, rng: np.random.Generator, shift: float = 0.0) -> Floats:
    """Rows like features: a spread that differs by direction; a shift where there is little of it."""
    rows = rng.normal(size=(n, D)) * SPREAD
    rows[:, -3] += shift
    return np.asarray(rows)


def uneven(size: float) -> Callable[[np.random.Generator], Floats]:
    """What all texts of a unit share."""
    return lambda rng: np.asarray(rng.normal(size=D) * size * SPREAD)


def unit(n: int, rng: np.random.Generator, shared: float = 0.0, shift: float = 0.0) -> Sketch:
    return Sketch.of(texts(n, rng, shift) + uneven(shared)(rng))


def reference(rng: np.random.Generator, units: int = 10, n: int = 100, shared: float = 0.0) -> tuple[list[Sketch], Floats]:
    rows = [texts(n, rng) + uneven(shared)(rng) for _ in range(units)]
    return [Sketch.of(each) for each in rows], rng.permutation(np.concatenate(rows))


def stream_alarms(rng: np.random.Generator, *, shared: float = 0.0, shift_from: int = 99, shift: float = 0.0) -> list[int]:
    """Looks with an alarm."""
    units, sample = reference(rng, shared=shared)
    model, lens = null_model(units, sample)
    limit = threshold(model, SCAN, 0.05, int(rng.integers(2**31)))
    base = lens.through(merged(units))
    seen, alarms = [], []
    for number in range(1, SCAN.looks + 1):
        seen.append(lens.through(unit(100, rng, shared, shift if number >= shift_from else 0.0)))
        found = look(model.moments, base, seen, SCAN)
        assert found is not None
        if found.strongest.score > limit:
            alarms.append(number)
    return alarms


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_streams_without_drift_alarm_as_rarely_as_stated(shared: float) -> None:
    """Also where every unit differs by more than sampling: that is what the tolerance is for."""
    rng = np.random.default_rng(5)
    runs = 100
    alarmed = sum(bool(stream_alarms(rng, shared=shared)) for _ in range(runs))
    assert alarmed <= binom.ppf(0.999, runs, 0.06)


def test_without_the_tolerance_they_alarm_often() -> None:
    """The control: the same streams, taken for independent texts."""
    rng = np.random.default_rng(6)
    alarmed, runs = 0, 30
    for _ in range(runs):
        units, sample = reference(rng, shared=0.3)
        model, lens = null_model(units, sample)
        naive = replace(model, tolerance=NONE)
        seen = [lens.through(unit(100, rng, 0.3)) for _ in range(SCAN.looks)]
        limit = threshold(naive, SCAN, 0.05, 1)
        scores = [look(naive.moments, lens.through(merged(units)), seen[:k], SCAN) for k in range(1, len(seen) + 1)]
        alarmed += any(found is not None and found.strongest.score > limit for found in scores)
    assert alarmed >= 0.5 * runs


def test_a_drift_is_found_with_its_onset() -> None:
    rng = np.random.default_rng(7)
    units, sample = reference(rng)
    model, lens = null_model(units, sample)
    seen = [lens.through(unit(100, rng, shift=0.1 if number >= 6 else 0.0)) for number in range(1, 11)]
    found = look(model.moments, lens.through(merged(units)), seen, SCAN)
    assert found is not None
    assert found.strongest.score > threshold(model, SCAN, 0.05, 1)
    assert found.onset_units in (4, 5, 6)
    first = [min(alarms, default=99) for alarms in (stream_alarms(rng, shift_from=4, shift=0.1) for _ in range(20))]
    assert np.median(first) in (4, 5)


def test_scores_have_the_stated_moments() -> None:
    """Monte Carlo of reference and window together: mean 0 and variance 1 under the true model."""
    rng = np.random.default_rng(8)
    covariance = SPREAD**2
    true = NullModel(1000.0, (100.0,) * 10, covariance, NONE)
    scores = []
    for _ in range(2000):
        difference = rng.normal(size=D) * np.sqrt(covariance * (1 / 250 + 1 / 1000))
        squares = np.array([difference @ difference])
        scores.append(standardised(true.moments, squares, np.array([250.0]), np.array([0.4]))[0])
    assert np.mean(scores) == pytest.approx(0.0, abs=0.1)
    assert np.std(scores) == pytest.approx(1.0, abs=0.12)


def test_the_threshold_is_the_quantile_of_a_direct_simulation() -> None:
    rng = np.random.default_rng(9)
    true = NullModel(1000.0, (100.0,) * 10, SPREAD**2, NONE)
    largest = []
    for _ in range(600):
        base = Sketch.of(rng.normal(size=(1, D)) * SPREAD / np.sqrt(1000))
        base = Sketch(1000, 1000.0, 1000.0, base.total * 1000)
        means = rng.normal(size=(SCAN.looks, D)) * SPREAD / np.sqrt(100)
        units = [Sketch(100, 100.0, 100.0, mean * 100) for mean in means]
        found = [look(true.moments, base, units[:k], SCAN) for k in range(1, SCAN.looks + 1)]
        largest.append(max(one.strongest.score for one in found if one is not None))
    limit = threshold(true, SCAN, 0.05, 3)
    assert binom.ppf(0.001, 600, 0.05) <= np.sum(np.array(largest) > limit) <= binom.ppf(0.999, 600, 0.05)
    assert threshold(true, SCAN, 0.05, 3) == limit
    assert threshold(true, SCAN, 0.01, 3) > limit


def test_a_window_needs_its_texts_and_empty_units_count_as_time() -> None:
    rng = np.random.default_rng(10)
    units, sample = reference(rng)
    model, lens = null_model(units, sample)
    base = lens.through(merged(units))
    few = lens.through(unit(15, rng))
    assert look(model.moments, base, [few], SCAN) is None
    assert look(model.moments, base, [EMPTY, EMPTY], SCAN) is None
    found = look(model.moments, base, [few, EMPTY, few], SCAN)
    assert found is None, "three units are no window of the scan, and two of them have 15 texts"
    found = look(model.moments, base, [few, EMPTY, EMPTY, few], SCAN)
    assert found is not None
    assert [(window.units, window.count) for window in found.windows] == [(4, 30)]


def test_variation_between_units_is_recovered() -> None:
    rng = np.random.default_rng(11)
    trace = float(np.sum(SPREAD**2))
    found = [between([unit(200, rng, shared=0.2) for _ in range(12)], trace) for _ in range(40)]
    assert np.mean(found) == pytest.approx(0.04 * trace, rel=0.15)
    assert between([unit(200, rng)], trace) == 0.0
    tolerances = [tolerance_of([unit(200, rng, shared=0.2) for _ in range(12)], SPREAD**2) for _ in range(60)]
    totals = [each.fast + each.slow for each in tolerances]
    assert np.mean([each.fast_error for each in tolerances]) == pytest.approx(np.std(totals), rel=0.5)
    assert components(0.3, 0.1, 1) == (0.3, 0.0)
    assert components(0.3, 0.1, 3) == pytest.approx((0.3, 0.0))
    assert components(0.3, 0.3, 3) == pytest.approx((0.0, 0.3))


def test_eigenvalues_of_a_sample_are_drawn_together() -> None:
    rng = np.random.default_rng(12)
    true = SPREAD**2
    raw, corrected = [], []
    for _ in range(60):
        values = np.asarray(np.linalg.eigvalsh(np.cov(rng.normal(size=(60, D)) * SPREAD, rowvar=False)), dtype=np.float64)
        raw.append(np.sum(values**2))
        corrected.append(np.sum(flattened(values, 60) ** 2))
    assert np.mean(corrected) == pytest.approx(np.sum(true**2), rel=0.06)
    assert np.mean(raw) > np.mean(corrected)
    assert flattened(np.ones(4), 100).tolist() == [1, 1, 1, 1]


def test_the_lens_knows_the_variance_of_any_direction() -> None:
    rng = np.random.default_rng(13)
    rows = texts(5000, rng)
    lens = lens_of(rows)
    for direction in rng.normal(size=(5, D)):
        assert lens.variance(direction) == pytest.approx(float((rows @ direction).var()), rel=0.05)
    assert lens.noise == pytest.approx(float(np.sum(np.cov(rows, rowvar=False) ** 2)), rel=0.01)


def test_what_cannot_be_a_reference_is_refused() -> None:
    rng = np.random.default_rng(14)
    units, sample = reference(rng)
    with pytest.raises(ValueError, match="needs 2 units"):
        null_model(units[:1], sample)
    with pytest.raises(ValueError, match="sampled texts"):
        null_model(units, sample[:10])
    with pytest.raises(ValueError, match="the same"):
        null_model(units, np.ones((100, D)))
    model, _ = null_model(units, sample)
    with pytest.raises(ValueError, match="never reach"):
        threshold(model, Scan((1,), 14, 10_000), 0.05, 1)


def test_the_second_opinion_is_valid_and_finds_large_drifts() -> None:
    rng = np.random.default_rng(15)

    def largest(shift: float) -> float:
        units, sample = reference(rng)
        model, lens = null_model(units, sample)
        base, seen, found = lens.through(merged(units)), [], []
        wealth: list[float] = []
        for _ in range(SCAN.looks):
            seen.append(lens.through(unit(100, rng, shift=shift)))
            wealth = bet(wealth, model.moments, base, seen[:-1], seen[-1])
            found.append(opinion(wealth, SCAN.looks, 0.05))
        return max(found)

    quiet = [largest(0.0) for _ in range(60)]
    assert sum(value >= 1 for value in quiet) <= binom.ppf(0.999, 60, 0.05)
    assert largest(0.3) >= 1


def test_the_second_opinion_does_not_bet_on_nothing() -> None:
    rng = np.random.default_rng(16)
    units, sample = reference(rng)
    model, lens = null_model(units, sample)
    base, seen = lens.through(merged(units)), lens.through(unit(100, rng))
    assert bet([1.0] * 5, model.moments, base, [seen], EMPTY) == [1.0] * 5
    assert bet([], model.moments, base, [EMPTY], seen) == [0.0] * 5
    assert opinion([], 28, 0.05) == 0.0


def test_many_units_are_seen_as_each_by_itself() -> None:
    rng = np.random.default_rng(12)
    lens = lens_of(rng.normal(size=(200, 16)))
    units = [
        Sketch(3, 4.0, 6.0, rng.normal(size=16)),
        Sketch(0, 0.0, 0.0, np.zeros(0)),
        Sketch(2, 2.0, 2.0, rng.normal(size=16)),
    ]
    seen = lens.through_all(units)
    assert seen[1] is units[1]
    for one, unit_ in ((seen[0], units[0]), (seen[2], units[2])):
        alone = lens.through(unit_)
        assert (one.count, one.weight, one.squares) == (alone.count, alone.weight, alone.squares)
        assert one.total == pytest.approx(alone.total, rel=1e-12, abs=1e-12)
    assert lens.through_all([units[1]]) == [units[1]]
