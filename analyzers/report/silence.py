"""Hours in which no span of anybody arrived, though the same hours of the other range are busy.

Nobody can tell an outage of the application from one of the way in, or from a holiday. But none of them is a change of what a
day brings: totals are compared without the stretches that such hours cut into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from analyzers.report.schedule import earlier
from analyzers.report.stretches import Stretch

HOUR = timedelta(hours=1)
# No request where so many were usual: by chance that happens once in 20,000 times.
BUSY = 10
# A stretch in which a smaller share of its requests lies in silent hours is compared all the same.
NEGLIGIBLE = 0.1

Counts = Mapping[datetime, int]


@dataclass(frozen=True)
class Hour:
    """One hour of a range with its requests, and those of the same hour of the range compared with (`then`)."""

    start: datetime
    then: datetime
    now: int
    before: int


@dataclass(frozen=True)
class Silence:
    """Hours without a request, and how many the other range has in them; `before`: they are of the range compared with."""

    start: datetime
    end: datetime
    beside: int
    before: bool


@dataclass(frozen=True)
class Silences:
    """Those that stand out, and the places of the stretches that they spoil."""

    found: tuple[Silence, ...] = ()
    places: frozenset[int] = frozenset()

    def within(self, start: datetime, end: datetime) -> bool:
        """Whether some of a time of the range is silent."""
        return any(each.start < end and start < each.end for each in self.found if not each.before)


def hours_of(start: datetime, end: datetime, now: Counts, before: Counts, weeks: int, time_zone: str) -> list[Hour]:
    """The whole hours of a range; an hour without a count had no request."""
    times = [start + place * HOUR for place in range((end - start) // HOUR)]
    return [_hour(time, earlier(time, weeks, time_zone), now, before) for time in times]


def silences_of(hours: Sequence[Hour], stretches: Sequence[Stretch]) -> Silences:
    """What stands out among the hours of a range, and which of its stretches it spoils."""
    late = [run for run in _runs(hours, [hour.now == 0 for hour in hours]) if sum(hour.before for hour in run) >= BUSY]
    early = [run for run in _runs(hours, [hour.before == 0 for hour in hours]) if sum(hour.now for hour in run) >= BUSY]
    silent = {hour.start for run in (*late, *early) for hour in run}
    found = [Silence(run[0].start, run[-1].start + HOUR, sum(hour.before for hour in run), before=False) for run in late]
    found += [Silence(run[0].then, run[-1].then + HOUR, sum(hour.now for hour in run), before=True) for run in early]
    spoilt = (
        place
        for place, stretch in enumerate(stretches)
        if _is_spoilt([hour for hour in hours if stretch.start <= hour.start < stretch.end], silent)
    )
    return Silences(tuple(found), frozenset(spoilt))


def _hour(time: datetime, then: datetime, now: Counts, before: Counts) -> Hour:
    return Hour(time, then, now.get(time, 0), before.get(then, 0))


def _runs(hours: Sequence[Hour], silent: Sequence[bool]) -> Iterator[list[Hour]]:
    for is_silent, run in groupby(zip(silent, hours, strict=True), key=lambda each: each[0]):
        if is_silent:
            yield [hour for _, hour in run]


def _is_spoilt(hours: Sequence[Hour], silent: set[datetime]) -> bool:
    busiest = [max(hour.now, hour.before) for hour in hours]
    lost = sum(count for hour, count in zip(hours, busiest, strict=True) if hour.start in silent)
    return lost >= BUSY and lost > NEGLIGIBLE * sum(busiest)
