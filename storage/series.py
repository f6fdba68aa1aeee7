"""A metric over time: what is asked, and the points that answer it, without gaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas.settings import QuerySettings
from storage.scope import Axis, QueryError, Range, epoch_ms, from_epoch_ms


@dataclass(frozen=True)
class MetricQuery:
    """One metric of one project between `start` (included) and `end`.

    `step` None asks for one point over the whole range; `shift` moves where steps begin, as days of a time zone do not begin
    at multiples since 1970. `axis` says whether times are those of the events or of their arrival. A filter's empty value
    means: not given.
    """

    project: str
    metric: str
    start: datetime
    end: datetime
    step: timedelta | None = None
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    axis: Axis = "event"
    shift: timedelta = timedelta(0)


@dataclass(frozen=True)
class Point:
    """A value over one step from `time` on, resting on `n` observations; None where there is none to tell it from."""

    time: datetime
    value: float | None
    n: int


@dataclass(frozen=True)
class Series:
    """The points of one combination of dimensions, in order and without gaps."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Steps:
    """The points of a range: `start` or, with a step, its multiples since 1970 + `shift_ms`; the ends may be partial."""

    start_ms: int
    end_ms: int
    step_ms: int | None
    shift_ms: int = 0

    def grid(self, at: str) -> str:
        """SQL of the start of the point that the time `at` (SQL, DateTime64(3)) belongs to, in epoch milliseconds."""
        if self.step_ms is None:
            return "{start:Int64}"
        since = f"toUnixTimestamp64Milli({at})"
        if self.shift_ms == 0:
            return f"toInt64(intDiv({since}, {{step:Int64}}) * {{step:Int64}})"
        return f"toInt64(intDiv({since} - {self.shift_ms}, {{step:Int64}}) * {{step:Int64}} + {self.shift_ms})"

    def times(self) -> list[int]:
        """When each point starts, in epoch milliseconds."""
        if self.step_ms is None:
            return [self.start_ms]
        first = (self.start_ms - self.shift_ms) // self.step_ms * self.step_ms + self.shift_ms
        return list(range(first, self.end_ms, self.step_ms))


def steps_of(query: MetricQuery, bounds: QuerySettings) -> Steps:
    """The points that a query asks for.

    Raises:
        QueryError: the range, the step, or the number of points.
    """
    Range(query.start, query.end).check(bounds)
    start_ms, end_ms = epoch_ms(query.start), epoch_ms(query.end)
    if query.step is None:
        return Steps(start_ms, end_ms, None)
    step_ms = query.step // timedelta(milliseconds=1)
    if step_ms < 1000:
        raise QueryError("bad-step", "the step is shorter than a second: ask for 1s or more")
    if (end_ms - start_ms) / step_ms > bounds.max_rows:
        raise _too_many(f"{(end_ms - start_ms) // step_ms} points a series", bounds)
    return Steps(start_ms, end_ms, step_ms, query.shift // timedelta(milliseconds=1))


def _too_many(what: str, bounds: QuerySettings) -> QueryError:
    return QueryError(
        "too-many-points",
        f"{what}: an answer has at most {bounds.max_rows} points. Ask for a longer step, a shorter range, fewer groups or a "
        "filter, or raise query.max_rows",
    )


def gathered(
    rows: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    steps: Steps,
    bounds: QuerySettings,
    *,
    nothing: float | None,
    always: Iterable[tuple[str, ...]] = (),
) -> list[Series]:
    """The series of rows of label columns, `t`, `value` and `n`, in the order of their labels.

    `labels` says which column holds which; a point without rows has the value `nothing`. `always` are series that are
    there without any row.

    Raises:
        QueryError: too-many-points.
    """
    found: dict[tuple[str, ...], dict[int, Point]] = {key: {} for key in always}
    for row in rows:
        found.setdefault(tuple(row[column] for column in labels.values()), {})[row["t"]] = _point(row)
    times = steps.times()
    if max(len(rows), len(found) * len(times)) > bounds.max_rows:
        raise _too_many(f"{len(found)} or more series of {len(times)} points", bounds)
    return [
        Series(
            dict(zip(labels, key, strict=True)),
            tuple(points.get(time) or Point(from_epoch_ms(time), nothing, 0) for time in times),
        )
        for key, points in found.items()
    ]


def _point(row: Mapping[str, Any]) -> Point:
    value = row["value"]
    return Point(from_epoch_ms(row["t"]), None if value is None else float(value), row["n"])
