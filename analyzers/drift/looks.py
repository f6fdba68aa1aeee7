"""The periodic look: for every stream one decision a closed unit. Looking more often finds the same decisions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from analyzers.drift.decision import Seen, consecutive, decide, distance_of
from analyzers.drift.evidence import Stretch, gather
from analyzers.drift.novel_texts import NovelTexts
from analyzers.drift.reference import ReferenceTooSmallError, scan_of, sketches_of
from analyzers.drift.references import SYSTEM, Known, References, Waiting, reference_units
from analyzers.drift.summing import Summing
from analyzers.stats.mean_embedding import Sketch, merged
from schemas.analysis import DriftSettings
from schemas.drift import Stream, floor_to
from schemas.duration import parse_duration
from schemas.instruments import Instruments
from storage.analysis import Seat, leave_seat, take_seat
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase, ControlError
from storage.drift import LookRow, StreamGroup, UnitSums, insert_looks, last_looks, read_group, streams_with_units

_log = structlog.get_logger("drift")

SEAT = Seat("drift.looks", "", 0)
LEASE = timedelta(seconds=60)
PROLONG = timedelta(seconds=20)
PAUSE_S = 5.0

Watermark = Callable[[], Awaitable[datetime | None]]
"""Everything that arrived before it is analyzed by the drift analyzer; None while that is unknown."""


@dataclass(frozen=True)
class Units:
    """The closed units of one stream by embedder."""

    of: dict[str, dict[datetime, Sketch]]

    @classmethod
    def of_rows(cls, rows: Sequence[UnitSums]) -> Units:
        """From what is stored."""
        found: dict[str, dict[datetime, Sketch]] = {}
        for row, sketch in sketches_of(rows):
            found.setdefault(row.embedder, {})[row.start] = sketch
        return cls(found)

    def embedder_at(self, end: datetime) -> str | None:
        """The embedder in use last before `end`: of two in one unit, the one that began later."""
        begun = [
            (max(start for start in units if start < end), min(units), name)
            for name, units in self.of.items()
            if min(units) < end
        ]
        return max(begun)[2] if begun else None


class DriftLooks:
    """Looks at every stream of every project; of several processes the one with the lease does."""

    def __init__(
        self,
        store: ClickHouseStore,
        control: ControlDatabase,
        settings: DriftSettings,
        *,
        watermark: Watermark,
        clock: Callable[[], datetime],
        threads: Executor,
        instruments: Instruments,
    ) -> None:
        self._store = store
        self._control = control
        self._settings = settings
        self._watermark = watermark
        self._clock = clock
        self._threads = threads
        self._instruments = instruments
        self._holder = secrets.token_hex(8)
        self._summing = Summing(store, settings.scales)
        self._references = References(store, control, settings, threads)
        self._looked: dict[str, datetime] = {}
        self._leading_since: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`, then let another process do it."""
        try:
            while not stop.is_set():
                await self._round()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), PAUSE_S)
        finally:
            await self._leave()

    async def run_once(self, now: datetime) -> int:
        """Decide every unit that closed since the last time; how many looks were written.

        Raises:
            StoreError, ControlError: a database cannot be used; what was written stays, the rest follows next time.
        """
        if not await self._leads(now):
            self._looked.clear()
            self._instruments.drift_looked_until.clear()
            return 0
        watermark = await self._watermark()
        if watermark is None:
            return 0
        closed = await self._summing.advance(watermark)
        await self._references.refresh()
        return sum([await self._at_scale(scale, closed) for scale in self._settings.scales])

    async def _round(self) -> None:
        try:
            await self.run_once(self._clock())
        except (StoreError, ControlError) as error:
            _log.warning("looks_paused", error=str(error))
        except Exception:  # whatever it is, the next round starts from what is stored
            _log.exception("looks_failed")

    async def _leads(self, now: datetime) -> bool:
        if self._leading_since is not None and timedelta(0) <= now - self._leading_since < PROLONG:
            return True
        token = await self._control.write(lambda connection: take_seat(connection, SEAT, self._holder, now, LEASE))
        self._leading_since = None if token is None else now
        return token is not None

    async def _leave(self) -> None:
        now, self._leading_since = self._clock(), None
        try:
            await self._control.write(lambda connection: leave_seat(connection, SEAT, self._holder, now))
        except ControlError as error:
            _log.warning("lease_not_given_back", error=str(error))

    async def _at_scale(self, scale: str, closed: datetime) -> int:
        unit = parse_duration(scale)
        end = floor_to(closed, unit)
        if self._looked.get(scale) == end:
            return 0
        looks = scan_of(self._settings, unit).looks
        last = {row.stream: row for row in await last_looks(self._store, scale, end - looks * unit)}
        due: dict[StreamGroup, dict[Stream, datetime]] = {}
        for stream in await streams_with_units(self._store, unit, end - looks * unit):
            first = last[stream].time + unit if stream in last else end - (looks - 1) * unit
            if first <= end:
                due.setdefault(StreamGroup.of(stream, caught_up=first == end), {})[stream] = first
        written = 0
        for group, firsts in due.items():
            written += await self._at_group(group, firsts, scale, end, last)
            if not await self._leads(self._clock()):
                return written
        self._looked[scale] = end
        self._instruments.drift_looked_until.labels(scale).set(end.timestamp())
        return written

    async def _at_group(
        self, group: StreamGroup, firsts: Mapping[Stream, datetime], scale: str, end: datetime, last: Mapping[Stream, LookRow]
    ) -> int:
        """Read the units of several streams at once, since most of a small query is its overhead."""
        unit = parse_duration(scale)
        start = min(firsts.values()) - (max(self._settings.windows) + 1) * unit
        units = await read_group(self._store, group, unit, start, end)
        texts = NovelTexts(self._store, group, unit, self._settings)
        rows: list[LookRow] = []
        for stream, first in firsts.items():
            own = Units.of_rows(units.get(stream, ()))
            rows += await self._at_stream(stream, scale, own, texts, (first, end), last.get(stream))
        await insert_looks(self._store, rows)
        return len(rows)

    async def _at_stream(
        self,
        stream: Stream,
        scale: str,
        units: Units,
        texts: NovelTexts,
        ends: tuple[datetime, datetime],
        before: LookRow | None,
    ) -> list[LookRow]:
        (end, newest), unit = ends, parse_duration(scale)
        rows: list[LookRow] = []
        while end <= newest:
            row = await self._look(stream, scale, units, texts, end, before, newest=end == newest)
            if row is not None:
                rows.append(row)
                before = row
            end += unit
        return rows

    async def _look(
        self,
        stream: Stream,
        scale: str,
        units: Units,
        texts: NovelTexts,
        end: datetime,
        before: LookRow | None,
        *,
        newest: bool,
    ) -> LookRow | None:
        """The decision at `end`; None before the stream's first text."""
        embedder, unit = units.embedder_at(end), parse_duration(scale)
        if embedder is None:
            return None
        newest_unit = units.of[embedder].get(end - unit)
        n = newest_unit.count if newest_unit else 0
        blank = _blank(stream, scale, embedder, end, n, self._clock())
        known = await self._references.find(stream, scale, embedder, end)
        if isinstance(known, Waiting):
            return replace(blank, verdict=known.verdict, reason=known.reason)
        start = max(known.stored.ends_at, end - max(known.reference.scan.windows) * unit)
        same = before if before is not None and before.reference_id == known.stored.id else None
        likeness: Sequence[Sketch] = ()
        if known.reference.novelty is not None:
            likeness = await texts.since(start, end, stream.slice, embedder, known.reference.novelty.topics, same)
        own = consecutive(units.of[embedder], start, end, unit)
        seen = Seen(own, unit, same.wealth if same else (), likeness)
        row = decide(replace(blank, reference_id=known.stored.id), known.reference, seen)
        if row.alarm and (newest or not (before and before.alarm)):
            row = await self._explained(row, known, seen)
        await self._roll(row, known, unit)
        return row

    async def _explained(self, row: LookRow, known: Known, seen: Seen) -> LookRow:
        """With what the drift consists of, and the interval from the window's own spread."""
        window = merged([unit for unit in seen.units[-row.window_units :] if unit.count])
        direction = window.mean - known.reference.sketch.mean
        evidence = await gather(
            self._store,
            self._threads,
            await self._references.feature_map(row.embedder),
            row.embedder,
            Stretch(row.stream, row.time - row.window_units * seen.unit, row.time),
            Stretch(known.stored.stream, known.stored.starts_at, known.stored.ends_at),
            direction,
            known.reference.novelty,
        )
        distance = distance_of(window, known.reference, evidence.witness_now)
        found = json.dumps(evidence.found)
        return replace(row, evidence=found, effect=distance.value, effect_low=distance.low, effect_high=distance.high)

    async def _roll(self, row: LookRow, known: Known, unit: timedelta) -> None:
        """A rolling reference that served its horizon makes room for the latest units, unless they drift."""
        due = known.stored.ends_at + known.reference.scan.looks * unit
        if known.stored.mode != "rolling" or row.verdict != "no-drift" or row.time < due or known.stored.stream != row.stream:
            return
        start = row.time - reference_units(self._settings, unit) * unit
        with contextlib.suppress(ReferenceTooSmallError):  # the old one stays
            await self._references.make(
                row.stream, row.scale, row.embedder, start, row.time, mode="rolling", by=SYSTEM, now=row.time
            )


def _blank(stream: Stream, scale: str, embedder: str, end: datetime, n: int, looked_at: datetime) -> LookRow:
    own = stream.slice
    return LookRow(
        project=stream.project,
        time=end,
        part=stream.part,
        scale=scale,
        slice_service=own.service,
        slice_target=own.target,
        slice_release=own.release,
        slice_model=own.model,
        embedder=embedder,
        verdict="no-data",
        reason="",
        n=n,
        looked_at=looked_at,
    )
