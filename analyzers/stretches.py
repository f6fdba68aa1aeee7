"""The stretches of the log that the analyzers of a process go over: planned and read once for all of them.

Each analyzer has a cursor and a pace of its own. Those that keep pace end their stretches at the same offsets, so that the
heads among which each of them chooses are read for the first and handed to the others. One that lags goes from end to end, over
several at a time, until it has caught up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from storage.clickhouse import ClickHouseStore
from storage.span_texts import Stretch, cut, read_heads

STRETCH_SPANS = 5_000
KEPT_ENDS = 256
KEPT_HEADS = 4 * STRETCH_SPANS
"""Some twenty megabytes; of several partitions each has its share."""
KEPT_STRETCHES = 64


Heads = list[dict[str, Any]]
_Place = tuple[int, int, int]
"""(partition, first offset, offset of the end)"""


@dataclass(frozen=True)
class Planned:
    """The records [first, end) of a partition, which hold so many generative AI spans; `more`: others waited behind them."""

    first: int
    end: int
    spans: int
    more: bool


def follow(planned: Iterable[Planned], first: int, end: int) -> int | None:
    """Where a stretch from `first` ends so that it ends where others do: as far as its size and `end` allow.

    `planned` adjoin each other. None: none of them covers `first`.
    """
    until, spans = None, 0
    for each in planned:
        if each.end <= first:
            continue
        if each.end > end or (until is None and each.first > first):
            break
        spans += each.spans
        if until is not None and spans > STRETCH_SPANS:
            break
        until = each.end
    return until


class Stretches:
    """Shared by the analyzers of one process. Nothing rests on it: what it forgets is planned or read again, the same."""

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store
        self._planned: defaultdict[int, deque[Planned]] = defaultdict(lambda: deque(maxlen=KEPT_ENDS))
        self._planning: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._reading: dict[_Place, asyncio.Future[Heads]] = {}
        self._heads: OrderedDict[_Place, Heads] = OrderedDict()

    async def plan(self, stretch: Stretch) -> int:
        """Where to end a stretch that may go to the end of `stretch`.

        Raises:
            StoreError: the store does not answer.
        """
        planned = self._planned[stretch.partition]
        async with self._planning[stretch.partition]:
            until = follow(planned, stretch.first, stretch.end)
            if until is None:
                until, spans = await cut(self._store, stretch, STRETCH_SPANS)
                if planned and planned[-1].end < stretch.first:
                    planned.clear()
                if not planned or planned[-1].end == stretch.first:
                    planned.append(Planned(stretch.first, until, spans, until < stretch.end))
        return until

    def goes_on(self, partition: int, until: int, end: int) -> bool:
        """Whether more waits behind a stretch that ends at `until`: not what came since all of them looked."""
        last = self._planned[partition][-1] if self._planned[partition] else None
        if last is None or last.end < until:
            return until < end
        return last.end > until or last.more

    async def heads(self, stretch: Stretch) -> Heads:
        """`read_heads` of the stretch; to be looked at only, for others get the same.

        Raises:
            StoreError: the store does not answer.
        """
        place = stretch.partition, stretch.first, stretch.end
        if place in self._heads:
            return self._heads[place]
        if place not in self._reading:
            self._reading[place] = asyncio.ensure_future(self._read(place, stretch))
            self._reading[place].add_done_callback(_looked_at)
        # One that is told to stop does not break off what others wait for.
        return await asyncio.shield(self._reading[place])

    async def _read(self, place: _Place, stretch: Stretch) -> Heads:
        try:
            heads = await read_heads(self._store, stretch)
        finally:
            del self._reading[place]
        self._heads[place] = heads
        while len(self._heads) > KEPT_STRETCHES or sum(map(len, self._heads.values())) > max(KEPT_HEADS, len(heads)):
            self._heads.popitem(last=False)
        return heads


def _looked_at(reading: asyncio.Future[Heads]) -> None:
    """Those who waited for it may all have been told to stop: then its error is nobody's."""
    if not reading.cancelled():
        reading.exception()
