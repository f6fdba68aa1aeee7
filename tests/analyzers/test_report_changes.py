"""Changes between ranges: sizes, intervals, and how seldom an unchanged stream is called changed."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from analyzers.report.changes import Sides, change_of, is_clear, wilson
from schemas.metrics import find_metric

REQUESTS, ERRORS, LATENCY = (find_metric(name) for name in ("requests.count", "errors.rate", "latency.p95"))


def test_without_history_the_interval_is_students_over_pairs() -> None:
    pairs = [(100.0, 120.0), (80.0, 100.0), (90.0, 99.0), (110.0, 150.0), (70.0, 70.0)]
    found = change_of(LATENCY, Sides(90.0, 110.0, 0, 0, pairs))
    assert found is not None
    logs = [math.log(after / before) for before, after in pairs]
    half = stats.t.ppf(0.975, 4) * stats.sem(logs)
    centre = math.log(110 / 90)
    assert found.stretches == 5
    assert found.effect == pytest.approx(110 / 90 - 1)
    assert found.low == pytest.approx(math.expm1(centre - half))
    assert found.high == pytest.approx(math.expm1(centre + half))


def test_a_step_in_the_middle_is_measured_by_the_weeks_before_it() -> None:
    steady = [(100.0, 101.0), (99.0, 100.0), (102.0, 100.0), (100.0, 99.0), (98.0, 100.0), (101.0, 100.0), (100.0, 101.0)]
    stepped = [(101.0, 100.0), (100.0, 99.0), (100.0, 101.0), (99.0, 150.0), (100.0, 150.0), (100.0, 149.0), (101.0, 151.0)]
    own = change_of(LATENCY, Sides(100.0, 128.0, 0, 0, stepped))
    measured = change_of(LATENCY, Sides(100.0, 128.0, 0, 0, stepped, steady))
    assert own is not None
    assert measured is not None
    assert not is_clear(own, 0.05 / 80)
    assert is_clear(measured, 0.05 / 80)


def test_shares_change_by_points_and_never_surer_than_their_counts() -> None:
    nothing = [(0.0, 0.0)] * 7
    found = change_of(ERRORS, Sides(0.0, 0.02, 50, 50, nothing, nothing))
    assert found is not None
    assert (found.kind, found.effect) == ("points", 0.02)
    assert not is_clear(found, 0.05)
    many = change_of(ERRORS, Sides(0.0, 0.02, 50_000, 50_000, nothing, nothing))
    assert is_clear(many, 0.05 / 80)


@pytest.mark.parametrize(("before", "after"), [(None, 5.0), (5.0, None), (0.0, 5.0)])
def test_what_has_no_baseline_has_no_change(before: float | None, after: float | None) -> None:
    assert change_of(REQUESTS, Sides(before, after, 0, 5)) is None


def test_few_stretches_tell_a_size_and_no_interval() -> None:
    found = change_of(REQUESTS, Sides(10.0, 20.0, 10, 20, [(5.0, 10.0), (5.0, 10.0), (None, 3.0)]))
    assert found is not None
    assert (found.effect, found.low, found.p) == (1.0, None, None)
    assert not is_clear(found, 0.05)
    gone = change_of(REQUESTS, Sides(10.0, 0.0, 10, 0))
    assert gone is not None
    assert gone.effect == -1.0


def test_days_that_share_their_moods_rarely_look_changed() -> None:
    """Weeks of one stream whose days vary by 10 % and whose weekends are quiet: 5 % at most should be called changed."""
    chance = random.Random(11)
    alarms = 0
    for _ in range(1500):
        oldest, before, after = (
            [1000 * (0.4 if day > 4 else 1) * math.exp(chance.gauss(0, 0.1)) for day in range(7)] for _ in range(3)
        )
        pairs, history = list(zip(before, after, strict=True)), list(zip(oldest, before, strict=True))
        sides = Sides(sum(before), sum(after), round(sum(before)), round(sum(after)), pairs, history)
        found = change_of(REQUESTS, sides)
        alarms += found is not None and found.p is not None and found.p <= 0.05
    assert alarms / 1500 < 0.065


@pytest.mark.parametrize(("events", "n"), [(0, 20), (3, 100), (100, 100), (7, 9000)])
def test_shares_have_wilsons_interval(events: int, n: int) -> None:
    expected = stats.binomtest(events, n).proportion_ci(0.95, "wilson")
    assert wilson(events / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_has_no_interval() -> None:
    assert wilson(0.5, 0) is None
