"""Metrics of the report's ranges, read by the function that /v1/metrics calls, so that both say the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from analyzers.report.changes import Sides, change_of, wilson
from analyzers.report.data import Figure, Point
from analyzers.report.schedule import earlier
from analyzers.report.stretches import Stretch, grid, shifted, stretches, weeks_back
from schemas.metrics import Metric, ScoreMetric, UnknownMetricError, find_metric
from schemas.settings import QuerySettings
from storage.clickhouse import ClickHouseStore
from storage.metrics import MetricQuery, Series, read_series
from storage.metrics import Point as Value
from storage.scope import QueryError

AT_ONCE = 2
NOTHING = "nothing in this range reported it"

Labels = tuple[str, ...]


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
    """Reads figures of one project, a few statements at a time so that dashboards are not held up."""

    store: ClickHouseStore
    project: str
    ranges: Ranges
    bounds: QuerySettings
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def one(self, name: str, filters: Mapping[str, str] | None = None) -> Figure:
        """A metric over everything, or over what passes `filters`, with its stretches."""
        found = await self.grouped(name, (), filters, pieces=True)
        return found[()]

    async def grouped(
        self, name: str, group_by: Labels, filters: Mapping[str, str] | None = None, *, pieces: bool = False
    ) -> dict[Labels, Figure]:
        """A metric by the labels found in either range; `pieces`: with its stretches, and so an interval of the change."""
        r, metric = self.ranges, find_metric(name)
        filters = await self._one_scorer(metric, filters or {})
        now, before = await asyncio.gather(
            self._read(name, r.start, r.end, group_by, filters),
            self._read(name, r.before_start, r.before_end, group_by, filters),
        )
        wanted = (r.stretches, r.earlier, r.earliest) if pieces else ((), (), ())
        found = [await self._pieces(name, each, group_by, filters) for each in wanted]
        return {
            labels: self._figure(
                metric,
                {**filters, **dict(zip(group_by, labels, strict=True))},
                now.get(labels, Value(r.start, None, 0)),
                before.get(labels, Value(r.start, None, 0)),
                [[piece.get(labels) for piece in each] for each in found],
            )
            for labels in {**now, **before}
        }

    async def _one_scorer(self, metric: Metric, filters: Mapping[str, str]) -> Mapping[str, str]:
        """The filters, and for scores the scorer of the range's newest ones: what another said is not compared with them."""
        if not isinstance(metric, ScoreMetric) or "scorer" in filters:
            return filters
        query = MetricQuery(self.project, metric.name, self.ranges.start, self.ranges.end, None, (), filters)
        [series] = await self._series(query)
        scorer = series.labels.get("scorer", "")
        return {**filters, "scorer": scorer} if scorer else filters

    async def _read(
        self, name: str, start: datetime, end: datetime, group_by: Labels, filters: Mapping[str, str]
    ) -> dict[Labels, Value]:
        found = await self._series(MetricQuery(self.project, name, start, end, None, group_by, filters))
        return {_labels(series, group_by): series.points[0] for series in found}

    async def _pieces(
        self, name: str, pieces: Sequence[Stretch], group_by: Labels, filters: Mapping[str, str]
    ) -> list[dict[Labels, Value]]:
        """Values of each stretch: in one query where they are the steps of a series (UTC days, hours), else one by one."""
        if not pieces:
            return []
        step = grid(pieces)
        if step is not None:
            query = MetricQuery(self.project, name, pieces[0].start, pieces[-1].end, step, group_by, filters)
            with contextlib.suppress(QueryError):  # too many points at once, perhaps
                found = await self._series(query)
                return [{_labels(one, group_by): one.points[place] for one in found} for place in range(len(pieces))]
        reads = [self._read(name, piece.start, piece.end, group_by, filters) for piece in pieces]
        return list(await asyncio.gather(*reads))

    async def _series(self, query: MetricQuery) -> list[Series]:
        async with self.gate:
            return await read_series(self.store, query, self.bounds)

    def _figure(
        self,
        metric: Metric,
        labels: Mapping[str, str],
        now: Value,
        before: Value,
        pieces: Sequence[Sequence[Value | None]],
    ) -> Figure:
        value, earlier_value = known(now), known(before)
        points = [_point(*each) for each in zip(self.ranges.stretches, *pieces[:2], strict=False)] if pieces[0] else []
        oldest = [known(piece) for piece in pieces[2]]
        whole = [piece.whole for piece in self.ranges.stretches[: len(points)]]
        sides = Sides(
            before=earlier_value,
            after=value,
            n_before=before.n,
            n_after=now.n,
            pairs=[(point.before, point.value) for point, is_whole in zip(points, whole, strict=True) if is_whole],
            history=[
                (oldest_value, point.before)
                for oldest_value, point, is_whole in zip(oldest, points, whole, strict=True)
                if is_whole
            ],
        )
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
            change=change_of(metric, sides),
            points=points,
            missing="" if value is not None else NOTHING,
        )


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
    return Point(start=piece.start, end=piece.end, value=known(after), n=after.n if after else 0, before=known(before))


def _labels(series: Series, group_by: Labels) -> Labels:
    return tuple(series.labels[name] for name in group_by)
