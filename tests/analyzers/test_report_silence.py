"""Hours that one of the two ranges lacks, and the days whose totals they spoil."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from analyzers.report.silence import HOUR, Silence, Silences, hours_of, silences_of
from analyzers.report.stretches import stretches

START = datetime(2026, 3, 2, tzinfo=UTC)
END = START + timedelta(days=7)
BEFORE = START - timedelta(days=7)


def at(day: int, hour: int) -> datetime:
    return START + timedelta(days=day, hours=hour)


def traffic(start: datetime, per_hour: int, *silent: tuple[datetime, datetime]) -> dict[datetime, int]:
    """A week of so many requests an hour by day and none at night, without the hours of `silent`."""
    times = [start + place * HOUR for place in range(168)]
    return {
        time: per_hour
        for time in times
        if 6 <= time.hour < 22 and not any(first <= time < last for first, last in silent)
    }  # fmt: skip


def found(now: dict[datetime, int], before: dict[datetime, int], end: datetime = END) -> Silences:
    return silences_of(hours_of(START, end, now, before, 1, "UTC"), stretches(START, END, "UTC"))


def test_an_outage_across_midnight_spoils_the_days_that_it_cuts_into() -> None:
    seen = found(traffic(START, 5, (at(3, 15), at(4, 12))), traffic(BEFORE, 5))
    assert seen == Silences((Silence(at(3, 15), at(4, 12), 65, before=False),), frozenset({3, 4}))
    assert seen.within(at(4, 0), at(4, 1))
    assert not seen.within(at(4, 12), at(5, 0))


def test_what_the_range_compared_with_lacks_counts_as_well() -> None:
    week = timedelta(days=7)
    seen = found(traffic(START, 5), traffic(BEFORE, 5, (at(1, 6) - week, at(1, 22) - week)))
    assert seen.places == {1}
    assert [(each.before, each.beside) for each in seen.found] == [(True, 80)]
    assert seen.found[0].start < START


@pytest.mark.parametrize(
    ("per_hour", "silent"),
    [
        (5, ()),  # nights are silent in both ranges
        (5, ((at(2, 10), at(2, 11)),)),  # one hour: five requests may fail to come
        (1, ((at(2, 6), at(2, 14)),)),  # eight requests may, too
    ],
)
def test_what_chance_can_do_is_no_silence(per_hour: int, silent: tuple[tuple[datetime, datetime], ...]) -> None:
    assert found(traffic(START, per_hour, *silent), traffic(BEFORE, per_hour)) == Silences()


def test_a_busy_hour_is_told_and_spoils_no_day() -> None:
    seen = found(traffic(START, 20, (at(2, 10), at(2, 11))), traffic(BEFORE, 20))
    assert [(each.start, each.end) for each in seen.found] == [(at(2, 10), at(2, 11))]
    assert seen.places == frozenset()


def test_hours_that_have_not_been_are_no_silence() -> None:
    now = {time: count for time, count in traffic(START, 20).items() if time < at(5, 12)}
    assert found(now, traffic(BEFORE, 20), end=at(5, 12)) == Silences()
