"""A range of time cut into the stretches whose values are drawn and whose differences show how much traffic varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from analyzers.report.schedule import WEEK, earlier

# Short ranges are cut at multiples of these; from two days on, at midnight.
UNITS = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900, 3600, 10_800))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TWO_DAYS = timedelta(days=2)
MOST = 31


@dataclass(frozen=True)
class Stretch:
    """One piece of a range; `whole` unless the range begins or ends within it."""

    start: datetime
    end: datetime
    whole: bool


def stretches(start: datetime, end: datetime, time_zone: str) -> list[Stretch]:
    """The range in calendar days of the time zone, or in hours, minutes and seconds where it is shorter than two days."""
    cuts = _midnights(start, end, ZoneInfo(time_zone)) if end - start >= TWO_DAYS else _multiples(start, end)
    edges = [start, *(cut for cut in cuts if start < cut < end), end]
    return [Stretch(first, last, first in cuts and last in cuts) for first, last in pairwise(edges)]


def weeks_back(start: datetime, end: datetime, time_zone: str) -> int:
    """How many weeks earlier the range lies that this one is compared with: the same weekdays, without overlap."""
    weeks = max(1, (end - start) // WEEK)
    return weeks if earlier(end, weeks, time_zone) <= start else weeks + 1


def shifted(stretch: Stretch, weeks: int, time_zone: str) -> Stretch:
    """The same hours of the clock so many weeks before."""
    return Stretch(earlier(stretch.start, weeks, time_zone), earlier(stretch.end, weeks, time_zone), stretch.whole)


@dataclass(frozen=True)
class Grid:
    """Steps of a series: they begin at multiples of `step` since 1970, moved by `shift`."""

    step: timedelta
    shift: timedelta


def grid_of(pieces: Sequence[Stretch]) -> Grid | None:
    """The steps that adjoining stretches are; None where they are of several lengths (as clocks change) or lie apart."""
    whole = [piece for piece in pieces if piece.whole]
    lengths = {piece.end - piece.start for piece in whole}
    if len(lengths) != 1 or any(one.end != other.start for one, other in pairwise(pieces)):
        return None
    (step,) = lengths
    shift = (whole[0].start - EPOCH) % step
    edges = [piece.start - EPOCH - shift for piece in pieces[1:]]
    ends = [piece.end - piece.start for piece in (pieces[0], pieces[-1])]
    return Grid(step, shift) if all(edge % step == timedelta(0) for edge in edges) and max(ends) <= step else None


def _midnights(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    day = start.astimezone(zone).date()
    found = [datetime.combine(day, time(), zone).astimezone(UTC)]
    while found[-1] < end:
        day += timedelta(days=1)
        found.append(datetime.combine(day, time(), zone).astimezone(UTC))
    return found


def _multiples(start: datetime, end: datetime) -> list[datetime]:
    unit = next((unit for unit in UNITS if (end - start) / unit <= MOST), UNITS[-1])
    first = EPOCH + (start - EPOCH) // unit * unit
    found = [first]
    while found[-1] < end:
        found.append(found[-1] + unit)
    return found
