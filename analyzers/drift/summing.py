"""Sums the sketches of batches up to closed units of time, so that a look reads a handful of rows whatever the traffic.

A bucket is closed when everything that arrived in it is analyzed; its sketches never change after that, so summing twice
gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from schemas.drift import bucket_of, floor_to
from schemas.duration import parse_duration
from storage.clickhouse import ClickHouseStore
from storage.drift import drop_sketches, earliest_sketch, latest_unit, sum_sketches, sum_units

DAY = timedelta(days=1)


class Summing:
    """Remembers how far it is; after a restart it repeats the day it was in."""

    def __init__(self, store: ClickHouseStore, scales: Iterable[str]) -> None:
        scales = tuple(scales)
        self._store = store
        self._bucket = bucket_of(scales)
        self._larger = sorted({parse_duration(scale) for scale in scales} - {self._bucket})
        self._done: datetime | None = None
        self._dropped: datetime | None = None

    async def advance(self, watermark: datetime) -> datetime:
        """Sum everything that arrived before `watermark` up; until when buckets are closed."""
        closed = floor_to(watermark, self._bucket)
        start = self._done if self._done is not None else await self._start()
        while start is not None and start < closed:
            end = min(closed, floor_to(start, DAY) + DAY)
            await self._sum(start, end)
            self._done = start = end
        day = floor_to(closed, DAY)
        if self._done is not None and self._done >= day and day != self._dropped:
            await drop_sketches(self._store, day)
            self._dropped = day
        return closed

    async def _sum(self, start: datetime, end: datetime) -> None:
        await sum_sketches(self._store, self._bucket, start, end)
        for unit in self._larger:
            first, last = floor_to(start, unit), floor_to(end, unit)
            if first < last:
                await sum_units(self._store, self._bucket, unit, first, last)

    async def _start(self) -> datetime | None:
        known = [await earliest_sketch(self._store), await latest_unit(self._store, self._bucket)]
        return min((floor_to(time, DAY) for time in known if time is not None), default=None)
