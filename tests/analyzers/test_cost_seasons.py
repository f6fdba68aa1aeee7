"""Unusual hours, steps, budgets and trends, on series whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analyzers.cost.anomalies import find_anomalies, step_limit
from analyzers.cost.budget import judge_budget, month_of
from analyzers.cost.seasons import HOUR, WEEK_HOURS, Hour, complete_hours, season_of
from analyzers.cost.trend import find_trend

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def series(weeks: float, *, noise: float = 0.2, seed: int = 1, memory: float = 0.0, heavy: bool = False) -> list[Hour]:
    """Costs with a day, a weekend and noise on the log scale; `memory` is the correlation of neighbours."""
    count = round(weeks * WEEK_HOURS)
    rng = np.random.default_rng(seed)
    hours = np.arange(count)
    level = 0.8 * np.sin(2 * np.pi * hours / 24) - 0.7 * ((hours // 24) % 7 >= 5)
    shocks = rng.standard_t(5, count) * np.sqrt(3 / 5) if heavy else rng.normal(size=count)
    for index in range(1, count):
        shocks[index] = memory * shocks[index - 1] + np.sqrt(1 - memory**2) * shocks[index]
    return [Hour(MONDAY + index * HOUR, float(cost)) for index, cost in enumerate(10 * np.exp(level + noise * shocks))]


def scaled(hours: Sequence[Hour], factor: float, first: int, last: int | None = None) -> list[Hour]:
    chosen = range(first, len(hours) if last is None else last)
    return [Hour(hour.start, hour.cost_usd * (factor if index in chosen else 1)) for index, hour in enumerate(hours)]


def test_an_hour_that_stands_out_for_its_hour_of_the_week_is_found() -> None:
    hours = series(5)
    quiet = min(range(4 * WEEK_HOURS, 5 * WEEK_HOURS), key=lambda index: hours[index].cost_usd)
    found = find_anomalies(hours[: 4 * WEEK_HOURS], scaled(hours, 8, quiet, quiet + 1)[4 * WEEK_HOURS :])
    [anomaly] = found.anomalies
    assert found.basis == "hour-of-week"
    assert anomaly.start == hours[quiet].start
    assert anomaly.z > 5
    assert anomaly.expected_usd == pytest.approx(hours[quiet].cost_usd, rel=0.6)
    # At noon the same amount would be nothing unusual.
    assert anomaly.cost_usd < 2 * max(hour.cost_usd for hour in hours)
    assert found.steps == ()


@pytest.mark.parametrize("factor", [1.5, 0.6])
def test_a_step_is_found_with_its_onset_and_size(factor: float) -> None:
    hours = series(6, seed=2)
    onset = 4 * WEEK_HOURS + 100
    found = find_anomalies(hours[: 4 * WEEK_HOURS], scaled(hours, factor, onset)[4 * WEEK_HOURS :])
    [step] = found.steps
    assert abs(step.onset - hours[onset].start) <= 12 * HOUR
    assert step.detected - hours[onset].start <= 48 * HOUR
    assert step.ratio == pytest.approx(factor, rel=0.15)


@pytest.mark.parametrize("how", [{}, {"memory": 0.6}, {"heavy": True, "noise": 0.3}])
def test_ordinary_weeks_seldom_alarm(how: dict[str, float]) -> None:
    """Four weeks against four, 40 times: at most a tenth has any unusual hour, at most a tenth any step."""
    found = [
        find_anomalies(hours[: 4 * WEEK_HOURS], hours[4 * WEEK_HOURS :])
        for hours in (series(8, seed=seed, **how) for seed in range(40))  # type: ignore[arg-type]  # by name
    ]
    assert sum(bool(each.anomalies) for each in found) <= 4
    assert sum(bool(each.steps) for each in found) <= 4


def test_short_histories_go_by_hour_of_day_and_shorter_ones_say_nothing() -> None:
    hours = series(2)
    by_day = find_anomalies(hours[: 5 * 24], hours[5 * 24 : 6 * 24])
    assert by_day.basis == "hour-of-day"
    nothing = find_anomalies(hours[: 3 * 24], hours[3 * 24 : 4 * 24])
    assert (nothing.basis, nothing.anomalies, nothing.history_hours) == ("none", (), 72)
    assert "72 hours of history" in nothing.reason


def test_the_time_before_the_application_ran_is_no_history() -> None:
    empty = [Hour(MONDAY - (index + 1) * HOUR, 0.0) for index in reversed(range(WEEK_HOURS))]
    assert find_anomalies(empty, series(1)).basis == "none"
    assert find_anomalies([*empty, *series(2)], []).history_hours == 2 * WEEK_HOURS


def test_hours_without_traffic_stay_finite() -> None:
    hours = [Hour(hour.start, hour.cost_usd if 8 <= hour.start.hour < 18 else 0.0) for hour in series(5)]
    found = find_anomalies(hours[: 4 * WEEK_HOURS], hours[4 * WEEK_HOURS :])
    assert found.anomalies == ()
    at_night = scaled(hours, 1, 0)
    at_night[4 * WEEK_HOURS + 2] = Hour(hours[4 * WEEK_HOURS + 2].start, 10.0)
    [anomaly] = find_anomalies(hours[: 4 * WEEK_HOURS], at_night[4 * WEEK_HOURS :]).anomalies
    assert anomaly.expected_usd == pytest.approx(0, abs=1e-9)


def test_the_limit_of_the_steps_keeps_the_run_length() -> None:
    """Normal noise, both sides: a false alarm in 672 hours about as often as asked for."""
    limit = step_limit(0.2, 672)
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(300):
        up = down = 0.0
        for value in rng.normal(size=672):
            up, down = max(0.0, up + value - 0.5), max(0.0, down - value - 0.5)
            if max(up, down) > limit:
                alarms += 1
                break
    assert 0.14 <= alarms / 300 <= 0.27


def test_whole_hours_whose_cost_is_known() -> None:
    start = MONDAY + timedelta(minutes=20)
    found = complete_hours([(MONDAY, 9.0), (MONDAY + 2 * HOUR, 3.0), (MONDAY + HOUR, None)], start, MONDAY + 3.5 * HOUR)
    assert found == [Hour(MONDAY + 2 * HOUR, 3.0)], "no hour whose cost is unknown"
    assert complete_hours([], MONDAY, MONDAY + HOUR) == [Hour(MONDAY, 0.0)]
    assert complete_hours([], start, start) == []


def test_the_month_end_interval_holds_the_truth() -> None:
    """60 months of which 10 days are known: the 90 % interval holds the end in 48 to 60."""
    held = 0
    for seed in range(60):
        hours = series(9, seed=seed, memory=0.6)
        now = datetime(2026, 2, 11, tzinfo=UTC)
        start, end = month_of(now)
        spent = sum(hour.cost_usd for hour in hours if start <= hour.start < now)
        state = judge_budget(1e6, [hour for hour in hours if now - timedelta(days=28) <= hour.start < now], spent, now)
        truth = sum(hour.cost_usd for hour in hours if start <= hour.start < end)
        assert state.month_end is not None
        held += state.month_end.low_usd <= truth <= state.month_end.high_usd
    assert 48 <= held <= 60


def steady(days: int, usd_an_hour: float, until: datetime) -> list[Hour]:
    return [Hour(until - (index + 1) * HOUR, usd_an_hour) for index in reversed(range(24 * days))]


NOON = datetime(2026, 2, 16, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("budget", "verdict"), [(100.0, "exceeded"), (600.0, "will_exceed"), (673.0, "within"), (10_000.0, "within")]
)
def test_a_steady_cost_ends_where_it_must(budget: float, verdict: str) -> None:
    spent = 15 * 24 + 12.5
    state = judge_budget(budget, steady(20, 1.0, NOON.replace(minute=0)), spent, NOON)
    assert state.verdict == verdict
    assert state.month_end is not None
    assert state.month_end.expected_usd == pytest.approx(28 * 24)
    assert (state.start, state.end) == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


def test_an_uncertain_end_may_exceed() -> None:
    hours = series(4, noise=0.8, seed=5)
    now = hours[-1].start + HOUR
    state = judge_budget(1.0, hours, 0.5, now)
    assert state.month_end is not None
    assert judge_budget(state.month_end.expected_usd, hours, 0.5, now).verdict == "may_exceed"
    assert state.month_end.low_usd >= 0.5


def test_too_little_data_gives_no_estimate_but_still_tells_what_is_spent() -> None:
    state = judge_budget(50.0, steady(3, 1.0, NOON.replace(minute=0)), 72.0, NOON)
    assert (state.month_end, state.verdict, state.basis) == (None, "exceeded", "none")
    early = judge_budget(100.0, steady(3, 1.0, NOON.replace(minute=0)), 72.0, NOON)
    assert early.verdict == "not_yet"
    assert "needs 4" in early.reason
    assert judge_budget(1.0, [], 0.0, NOON).verdict == "not_yet"


def test_the_last_moment_of_a_month_has_nothing_ahead() -> None:
    now = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    state = judge_budget(1000.0, steady(14, 1.0, now.replace(minute=0, second=0)), 671.9, now)
    assert state.month_end is not None
    assert state.month_end.expected_usd == pytest.approx(671.9, abs=0.01)


def test_the_season_follows_the_length_of_the_history() -> None:
    assert [season_of(series(weeks)).basis for weeks in (0.1, 1, 2)] == ["none", "hour-of-day", "hour-of-week"]


def test_trends() -> None:
    rng = np.random.default_rng(1)
    rising = find_trend([10 + 0.5 * day + value for day, value in enumerate(rng.normal(size=21))])
    assert rising.direction == "up"
    assert rising.usd_per_day == pytest.approx(0.5, abs=0.15)
    assert find_trend([10 - 0.5 * day for day in range(10)]).direction == "down"
    assert find_trend(rng.normal(10, 1, 21).tolist()).direction == "none"
    assert find_trend([1.0] * 6).direction == "not_yet"
    assert find_trend([0.0] * 30).direction == "none"
