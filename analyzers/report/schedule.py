"""When a report is due and which week it is about: calendar arithmetic in the schedule's time zone, never in UTC days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from storage.reports import WEEKDAYS, Schedule

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Period:
    """A range of time, `end` excluded; `key` names it where each such range is reported once."""

    start: datetime
    end: datetime
    key: str | None = None


def next_due(schedule: Schedule, after: datetime) -> datetime:
    """The first moment later than `after` at which the report is due, in UTC.

    An hour that the clocks skip is due when they have moved on (02:00 of a spring night is 03:00 there), an hour that
    they repeat the first time.
    """
    zone = ZoneInfo(schedule.time_zone)
    today = after.astimezone(zone).date()
    ahead = (WEEKDAYS.index(schedule.weekday) - today.weekday()) % 7
    candidates = (_moment(today + timedelta(days=ahead + more), schedule.hour, zone) for more in (0, 7, 14))
    return next(moment for moment in candidates if moment > after)


def week_before(due_at: datetime, time_zone: str) -> Period:
    """The seven whole calendar days before the day of `due_at`: 167 or 169 hours where the clocks change."""
    zone = ZoneInfo(time_zone)
    last = due_at.astimezone(zone).date()
    first = last - WEEK
    return Period(_moment(first, 0, zone), _moment(last, 0, zone), f"{first}/{last}")


def earlier(moment: datetime, weeks: int, time_zone: str) -> datetime:
    """The same hour on the clock so many weeks before."""
    zone = ZoneInfo(time_zone)
    local = moment.astimezone(zone)
    return (local.replace(tzinfo=None) - weeks * WEEK).replace(tzinfo=zone, fold=local.fold).astimezone(UTC)


def _moment(day: date, hour: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(hour), zone).astimezone(UTC)
