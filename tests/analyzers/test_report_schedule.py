"""When reports are due, over changes of the clocks, and how ranges are cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.report.schedule import earlier, next_due, week_before
from analyzers.report.stretches import Grid, grid_of, shifted, stretches, weeks_back
from storage.reports import WEEKDAYS, Schedule

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/Santiago", "Asia/Beirut")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weekly(weekday: str, hour: int, zone: str) -> Schedule:
    return Schedule(True, weekday, hour, zone)


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        (weekly("monday", 8, "UTC"), "2026-03-02T07:59", "2026-03-02T08:00"),
        (weekly("monday", 8, "UTC"), "2026-03-02T08:00", "2026-03-09T08:00"),
        (weekly("monday", 8, "Europe/Berlin"), "2026-03-23T07:00", "2026-03-30T06:00"),  # the clocks went forward
        (weekly("monday", 8, "Europe/Berlin"), "2026-10-19T06:00", "2026-10-26T07:00"),  # and back
        (weekly("sunday", 2, "Europe/Berlin"), "2026-03-28T12:00", "2026-03-29T01:00"),  # 02:00 does not exist: 03:00
        (weekly("sunday", 2, "Europe/Berlin"), "2026-03-29T01:00", "2026-04-05T00:00"),
        (weekly("sunday", 2, "Europe/Berlin"), "2026-10-24T12:00", "2026-10-25T00:00"),  # 02:00 comes twice: the first
        (weekly("sunday", 2, "Europe/Berlin"), "2026-10-25T00:30", "2026-11-01T01:00"),  # between both: next week
        (weekly("monday", 0, "Pacific/Apia"), "2026-03-01T10:59", "2026-03-01T11:00"),
        (weekly("monday", 23, "America/New_York"), "2026-03-09T12:00", "2026-03-10T03:00"),
    ],
)
def test_the_next_report_is_due_at_the_hour_on_the_clock(schedule: Schedule, after: str, due: str) -> None:
    assert next_due(schedule, utc(after)) == utc(due)


@given(
    st.sampled_from(WEEKDAYS),
    st.integers(0, 23),
    st.sampled_from(ZONES),
    st.integers(1_577_836_800, 1_893_456_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
)
def test_each_week_is_due_once_and_none_is_left_out(weekday: str, hour: int, zone: str, after: datetime) -> None:
    schedule = weekly(weekday, hour, zone)
    first = next_due(schedule, after)
    second = next_due(schedule, first)
    assert after < first <= after + timedelta(days=7, hours=2)
    assert timedelta(days=6, hours=22) <= second - first <= timedelta(days=7, hours=2)
    assert week_before(first, zone).end == week_before(second, zone).start


def test_a_week_in_which_the_clocks_change_has_its_true_length() -> None:
    spring = week_before(utc("2026-03-30T06:00"), "Europe/Berlin")
    assert (spring.start, spring.end) == (utc("2026-03-22T23:00"), utc("2026-03-29T22:00"))
    assert spring.end - spring.start == timedelta(hours=167)
    assert spring.key == "2026-03-23/2026-03-30"
    autumn = week_before(utc("2026-10-26T07:00"), "Europe/Berlin")
    assert autumn.end - autumn.start == timedelta(hours=169)


def test_days_are_those_of_the_time_zone() -> None:
    spring = week_before(utc("2026-03-30T06:00"), "Europe/Berlin")
    days = stretches(spring.start, spring.end, "Europe/Berlin")
    assert [(day.end - day.start) // timedelta(hours=1) for day in days] == [24] * 6 + [23]
    assert all(day.whole for day in days)
    assert [shifted(day, 1, "Europe/Berlin").end for day in days][-1] == spring.start


def test_days_are_steps_of_one_series_unless_the_clocks_change() -> None:
    week = week_before(utc("2026-03-09T07:00"), "Europe/Berlin")
    days = stretches(week.start, week.end, "Europe/Berlin")
    before = [shifted(day, 1, "Europe/Berlin") for day in days]
    assert grid_of([*before, *days]) == Grid(timedelta(days=1), timedelta(hours=23))
    assert grid_of([*before[:-1], *days]) is None
    spring = week_before(utc("2026-03-30T06:00"), "Europe/Berlin")
    assert grid_of(stretches(spring.start, spring.end, "Europe/Berlin")) is None
    ragged = stretches(utc("2026-03-02T12:00"), utc("2026-03-05T12:00"), "UTC")
    assert grid_of(ragged) == Grid(timedelta(days=1), timedelta(0))
    assert grid_of([*(shifted(day, 1, "UTC") for day in ragged), *ragged]) is None


@pytest.mark.parametrize(
    ("start", "end", "count", "whole"),
    [
        ("2026-03-02T00:00", "2026-03-02T00:30", 30, 30),
        ("2026-03-02T00:00", "2026-03-02T02:00", 24, 24),
        ("2026-03-02T00:10", "2026-03-02T06:10", 25, 23),
        ("2026-03-02T00:00", "2026-03-03T00:00", 24, 24),
        ("2026-03-02T12:00", "2026-03-05T12:00", 4, 2),
        ("2026-03-02T00:00:12", "2026-03-02T00:01:50", 20, 19),
        ("2026-03-02T00:00:11", "2026-03-02T00:00:14", 1, 0),
    ],
)
def test_a_range_is_cut_without_gaps(start: str, end: str, count: int, whole: int) -> None:
    found = stretches(utc(start), utc(end), "UTC")
    assert (len(found), sum(one.whole for one in found)) == (count, whole)
    assert (found[0].start, found[-1].end) == (utc(start), utc(end))
    assert all(one.end == other.start for one, other in pairwise(found))


@pytest.mark.parametrize(("days", "weeks"), [(0.1, 1), (7, 1), (7.5, 2), (14, 2), (28, 4)])
def test_ranges_are_compared_with_the_same_weekdays(days: float, weeks: int) -> None:
    end = utc("2026-03-30T00:00")
    assert weeks_back(end - timedelta(days=days), end, "UTC") == weeks


def test_the_autumn_week_of_169_hours_is_compared_with_the_one_before() -> None:
    autumn = week_before(utc("2026-10-26T07:00"), "Europe/Berlin")
    assert weeks_back(autumn.start, autumn.end, "Europe/Berlin") == 1
    assert earlier(autumn.end, 1, "Europe/Berlin") == autumn.start
