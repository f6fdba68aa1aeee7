"""Metrics of the report's ranges, read by the function that /v1/metrics calls, so that both say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from analyzers.report.changes import Sides, change_of, wilson
from analyzers.report.data import Change, Figure, Point
from analyzers.report.schedule import earlier
from analyzers.report.silence import HOUR, Silences, hours_of, silences_of
from analyzers.report.stretches import EPOCH, TWO_DAYS, Grid, Stretch, grid_of, shifted, stretches, weeks_back
from schemas.metrics import Metric, ScoreMetric, UnknownMetricError, find_metric
from schemas.settings import QuerySettings
from storage.clickhouse import ClickHouseStore
from storage.metrics import MetricQuery, Series, read_series
from storage.metrics import Point as Value
from storage.scope import QueryError

AT_ONCE = 2
NOTHING = "nothing in this range reported it"

Labels = tuple[str, ...]
Pieces = list[dict[Labels, Value]]


@dataclass(frozen=True)
class Ranges:
    """The range of a report, the one it is compared with, and the stretches of both and of the one before, in parallel."""

    start: datetime
    end: datetime
    before_start: datetime
    before_end: datetime
    weeks: int
    time_zone: str
    stretches: tuple[Stretch, ...]
    earlier: tuple[Stretch, ...]
    earliest: tuple[Stretch, ...]


def ranges_of(start: datetime, end: datetime, time_zone: str) -> Ranges:
    """What a report over a range reads."""
    weeks = weeks_back(start, end, time_zone)
    pieces = tuple(stretches(start, end, time_zone))
    return Ranges(
        start=start,
        end=end,
        before_start=earlier(start, weeks, time_zone),
        before_end=earlier(end, weeks, time_zone),
        weeks=weeks,
        time_zone=time_zone,
        stretches=pieces,
        earlier=tuple(shifted(piece, weeks, time_zone) for piece in pieces),
        earliest=tuple(shifted(piece, 2 * weeks, time_zone) for piece in pieces),
    )


@dataclass(frozen=True)
class Figures:
    """Reads figures of one project, a few statements at a time so that dashboards are not held up.

    `silent`: places of the stretches that are not whole in both ranges; totals are compared without them.
    """

    store: ClickHouseStore
    project: str
    ranges: Ranges
    bounds: QuerySettings
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    silent: frozenset[int] = frozenset()

    async def one(self, name: str) -> Figure:
        """A metric over everything, with its stretches."""
        return (await self.grouped(name, (), pieces=True))[()]

    async def grouped(self, name: str, group_by: Labels, *, pieces: bool = False) -> dict[Labels, Figure]:
        """A metric by the labels found in either range; `pieces`: with its stretches, and so an interval of the change.

        Of scores: by the labels found in the range, each by the scorer of its newest ones (a calibrated service has its own).
        What another scorer said before is not compared with them.
        """
        r, metric = self.ranges, find_metric(name)
        now = await self._series(name, r.start, r.end, group_by)
        scored = isinstance(metric, ScoreMetric) and any(one.labels["scorer"] for one in now)
        keys = (*group_by, "scorer") if scored else group_by
        after, before = _by(keys, now), _by(keys, await self._series(name, r.before_start, r.before_end, keys))
        some = any(known(value[0]) is not None for value in (*after.values(), *before.values()))
        found = await self._stretches(name, keys) if pieces and some else [[{} for _ in r.stretches] for _ in range(3)]
        nothing = (Value(r.start, None, 0),)
        return {
            labels[: len(group_by)]: self._figure(
                metric,
                dict(zip(keys, labels, strict=True)),
                after.get(labels, nothing)[0],
                before.get(labels, nothing)[0],
                [[piece.get(labels) for piece in each] for each in found] if pieces else [[], [], []],
            )
            for labels in (after if scored else {**after, **before})
        }

    async def silences(self, until: datetime) -> Silences:
        """Hours up to a moment that one of the two ranges lacks; none where neither or only one range has spans at all."""
        r, name = self.ranges, "requests.count"
        end = min(r.end, until)
        if end - r.start < TWO_DAYS:
            return Silences()
        now, before = await self._hourly(name, r.start, r.end), await self._hourly(name, r.before_start, r.before_end)
        if not now or not before:
            return Silences()
        return silences_of(hours_of(r.start, end, now, before, r.weeks, r.time_zone), r.stretches)

    async def _hourly(self, name: str, start: datetime, end: datetime) -> dict[datetime, int]:
        found = await self._series(name, start, end, (), Grid(HOUR, (start - EPOCH) % HOUR))
        return {point.time: point.n for series in found for point in series.points if point.n}

    async def _stretches(self, name: str, keys: Labels) -> list[Pieces]:
        """Values of the stretches of the range, of the one before and of the one before that."""
        r, count = self.ranges, len(self.ranges.stretches)
        together = await self._at_once(name, (*r.earliest, *r.earlier, *r.stretches), keys)
        if together is not None:
            return [together[2 * count :], together[count : 2 * count], together[:count]]
        return [await self._pieces(name, each, keys) for each in (r.stretches, r.earlier, r.earliest)]

    async def _pieces(self, name: str, pieces: Sequence[Stretch], keys: Labels) -> Pieces:
        found = await self._at_once(name, pieces, keys)
        if found is not None:
            return found
        reads = [self._series(name, piece.start, piece.end, keys) for piece in pieces]
        return [{labels: points[0] for labels, points in _by(keys, one).items()} for one in await asyncio.gather(*reads)]

    async def _at_once(self, name: str, pieces: Sequence[Stretch], keys: Labels) -> Pieces | None:
        """Values of stretches in one query; None where they are not the steps of one, or too many or too long for one."""
        grid = grid_of(pieces)
        if grid is None:
            return None
        try:
            found = _by(keys, await self._series(name, pieces[0].start, pieces[-1].end, keys, grid))
        except QueryError:
            return None
        return [{labels: points[place] for labels, points in found.items()} for place in range(len(pieces))]

    async def _series(
        self, name: str, start: datetime, end: datetime, group_by: Labels, grid: Grid | None = None
    ) -> list[Series]:
        step, shift = (grid.step, grid.shift) if grid else (None, timedelta(0))
        async with self.gate:
            return await read_series(
                self.store, MetricQuery(self.project, name, start, end, step, group_by, shift=shift), self.bounds
            )

    def _figure(
        self,
        metric: Metric,
        labels: Mapping[str, str],
        now: Value,
        before: Value,
        pieces: Sequence[Sequence[Value | None]],
    ) -> Figure:
        value, earlier_value = known(now), known(before)
        points = [_point(*each) for each in zip(self.ranges.stretches, *pieces[:2], strict=False)]
        oldest = [known(piece) for piece in pieces[2]]
        sides = Sides(
            before=earlier_value,
            after=value,
            n_before=before.n,
            n_after=now.n,
            pairs=[(point.before, point.value) for point in points if point.whole],
            history=[(value, point.before) for value, point in zip(oldest, points, strict=True) if point.whole],
        )
        kept = self._without_silence(sides, pieces) if metric.kind in ("count", "sum") else sides
        change = change_of(metric, kept) if kept is not None else None
        return Figure(
            metric=metric.name,
            unit=metric.unit,
            worse=metric.worse,
            labels=dict(labels),
            value=value,
            n=now.n,
            interval=wilson(value, now.n) if metric.kind == "rate" and value is not None else None,
            before=earlier_value,
            n_before=before.n,
            change=_left_out(change, len(self.silent) if kept is not sides else 0),
            points=points,
            missing="" if value is not None else NOTHING,
        )

    def _without_silence(self, sides: Sides, pieces: Sequence[Sequence[Value | None]]) -> Sides | None:
        """Totals without the silent stretches; None where the stretches are not known."""
        if not self.silent or sides.before is None or sides.after is None:
            return sides
        if not pieces[0]:
            return None
        kept = [[piece for place, piece in enumerate(each) if place not in self.silent] for each in pieces[:2]]
        after, before = (sum(known(piece) or 0.0 for piece in each) for each in kept)
        n_after, n_before = (sum(piece.n for piece in each if piece) for each in kept)
        return replace(sides, before=before, after=after, n_before=n_before, n_after=n_after)


def _left_out(change: Change | None, stretches: int) -> Change | None:
    return change if change is None or not stretches else change.model_copy(update={"left_out": stretches})


def known(value: Value | None) -> float | None:
    """What a point says; None where it rests on nothing, which for a count looks like zero."""
    return None if value is None or value.n == 0 else value.value


def has_metric(name: str) -> bool:
    """Whether the catalogue knows a metric."""
    try:
        find_metric(name)
    except UnknownMetricError:
        return False
    return True


def _point(piece: Stretch, after: Value | None, before: Value | None) -> Point:
    n = after.n if after else 0
    return Point(start=piece.start, end=piece.end, value=known(after), n=n, before=known(before), whole=piece.whole)


def _by(keys: Labels, found: Sequence[Series]) -> dict[Labels, tuple[Value, ...]]:
    """Points by labels."""
    return {tuple(series.labels[name] for name in keys): series.points for series in found}
