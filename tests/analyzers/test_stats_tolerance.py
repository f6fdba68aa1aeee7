import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.stats import msprt
from analyzers.stats.summary import EMPTY, Arm, RateArm
from analyzers.stats.tolerance import between_block_sd, sequential_rate_tolerance, sequential_tolerance
from tests.analyzers.stats_looks import FORTY_LOOKS, Floats, looks_at, share_ever


def blocks_of(values: Floats, count: int) -> list[Arm]:
    return [Arm.from_values(block.tolist()) for block in np.array_split(values, count)]


def dersimonian_laird(blocks: list[Arm]) -> float:
    """The estimator in its usual letters, weights 1 / (s²/n), s² pooled."""
    n = np.array([block.n for block in blocks])
    means = np.array([block.mean for block in blocks])
    pooled = sum(block.squared_deviations for block in blocks) / (n.sum() - len(n))
    w = n / pooled
    q = (w * (means - (w * means).sum() / w.sum()) ** 2).sum()
    return math.sqrt(max(0.0, (q - (len(n) - 1)) / (w.sum() - (w**2).sum() / w.sum())))


@given(st.lists(st.tuples(st.integers(2, 90), st.floats(-2, 2), st.floats(0.01, 2)), min_size=2, max_size=20))
def test_estimator_is_that_of_dersimonian_and_laird(rows: list[tuple[int, float, float]]) -> None:
    blocks = [Arm(*row) for row in rows]
    assert between_block_sd(blocks) == pytest.approx(dersimonian_laird(blocks), abs=1e-6)


def test_between_block_sd_is_recovered() -> None:
    rng = np.random.default_rng(40)
    blocks = blocks_of(np.repeat(rng.normal(0, 0.2, 400), 50) + rng.normal(0, 0.5, 20_000), 400)
    assert between_block_sd(blocks) == pytest.approx(0.2, rel=0.1)


def test_noise_alone_gives_a_small_tolerance() -> None:
    rng = np.random.default_rng(41)
    values = [sequential_tolerance(blocks_of(rng.normal(0, 0.4, 600), 12)).value for _ in range(200)]
    assert 0.05 < np.mean(values) < 0.08


@pytest.mark.parametrize("blocks", [[], [EMPTY, Arm(40, 1.0, 0.2)]])
def test_too_few_blocks_take_the_floor(blocks: list[Arm]) -> None:
    tolerance = sequential_tolerance(blocks)
    assert tolerance.value == pytest.approx(2 * 0.05 * math.sqrt(2))
    assert "the floor" in tolerance.reason


def test_a_short_history_is_moderated_by_the_prior() -> None:
    quiet = [Arm(100, 1.0, 0.2)] * 4
    wild = [Arm(100, mean, 0.2) for mean in (0.0, 1.0, 0.0, 1.0)]
    assert sequential_tolerance(quiet).between_sd == pytest.approx(0.05 * math.sqrt(4 / 7))
    assert 0.3 < sequential_tolerance(wild).between_sd < between_block_sd(wild)


def test_equal_values_everywhere_are_no_obstacle() -> None:
    assert between_block_sd([Arm(20, 3.0, 0.0)] * 6) == 0
    assert between_block_sd([Arm(1, 3.0, math.nan)] * 6) == 0


def test_a_longer_look_ahead_widens() -> None:
    blocks = [Arm(100, 1.0, 0.2)] * 12
    near, as_long, twice = (sequential_tolerance(blocks, horizon=h).value for h in (0.1, 1.0, 2.0))
    assert as_long == pytest.approx(near * 4 / 3)
    assert twice == pytest.approx(near * 2)


def test_rates_have_their_own_scale() -> None:
    steady = sequential_rate_tolerance([RateArm(200, 4)] * 12)
    shaken = sequential_rate_tolerance([RateArm(200, 40 if k % 4 == 0 else 4) for k in range(12)])
    assert 0.01 < steady.value < 0.02
    assert shaken.value > 0.1
    assert sequential_rate_tolerance([RateArm(50, 0)]).value == pytest.approx(0.2 * math.sqrt(2 * 0.5 * 50.5) / 51)


def test_drifting_traffic_alarms_seldom_with_the_tolerance_and_often_without() -> None:
    """A mean that moves by sd .08 between blocks of 50; 12 of them before a release that changes nothing, 8 after."""
    rng, paths, alpha = np.random.default_rng(42), 600, 0.05
    drift = np.repeat(rng.normal(0, 0.08, (paths, 20)), 50, axis=1)
    values = drift + rng.normal(0, 0.3, drift.shape)
    before, after = values[:, :600], looks_at(values[:, 600:], np.arange(30, 401, 10))
    variance = before.var(axis=1, ddof=1, keepdims=True) / 600 + after.variance / after.n
    difference = after.mean - before.mean(axis=1, keepdims=True)
    excess = np.abs(difference) - msprt.half_width(variance, msprt.LOG_TAU, alpha)
    tolerance = np.array([sequential_tolerance(blocks_of(row, 12)).value for row in before])
    assert share_ever(excess > 0) > 0.3
    assert share_ever(excess > tolerance[:, None]) < 0.05


def test_two_minutes_of_history_still_find_a_rise_of_sixty_percent() -> None:
    """300 requests in 6 blocks before, σ = .4, α = .001, margin 10 %: half by 60 requests, nine in ten by 120."""
    rng, paths = np.random.default_rng(43), 600
    before = rng.normal(0, 0.4, (paths, 300))
    after = looks_at(rng.normal(math.log(1.6), 0.4, (paths, 420)), FORTY_LOOKS)
    tolerance = np.array([sequential_tolerance(blocks_of(row, 6)).value for row in before])
    variance = before.var(axis=1, ddof=1, keepdims=True) / 300 + after.variance / after.n
    low = after.mean - before.mean(axis=1, keepdims=True) - msprt.half_width(variance, msprt.LOG_TAU, 0.001)
    found = low > math.log(1.1) + tolerance[:, None]
    assert found[:, FORTY_LOOKS <= 60].any(axis=1).mean() > 0.5
    assert found[:, FORTY_LOOKS <= 120].any(axis=1).mean() > 0.9
