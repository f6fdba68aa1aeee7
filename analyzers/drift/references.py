"""Makes references from stored units, keeps those in use at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from analyzers.drift.bfloat16 import from_bfloat16
from analyzers.drift.reference import (
    SAMPLES,
    Reference,
    ReferenceTooSmallError,
    Sample,
    alpha_of,
    build_both,
    scan_of,
    seed_of,
    sketches_of,
)
from analyzers.stats.mean_embedding import FeatureMap
from schemas.analysis import DriftSettings
from schemas.drift import Stream, Verdict, floor_to
from schemas.duration import format_duration, parse_duration
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.drift import first_units, read_samples, read_units
from storage.drift_references import (
    Mode,
    StoredReference,
    active_ids,
    find_reference,
    new_reference_id,
    put_reference,
    read_features,
)

SHORTEST_CALENDAR = timedelta(minutes=5)
WEEK, DAY = timedelta(days=7), timedelta(days=1)
LONGEST_GROWTH = 4

SYSTEM = "tracewarden"


@dataclass(frozen=True)
class Known:
    """A reference in use."""

    stored: StoredReference
    reference: Reference


@dataclass(frozen=True)
class Waiting:
    """Why there is no reference yet."""

    verdict: Verdict
    reason: str


class References:
    """The references of every project. `refresh` before a round of looks. `threads` None: the event loop's own."""

    def __init__(
        self, store: ClickHouseStore, control: ControlDatabase, settings: DriftSettings, threads: Executor | None = None
    ) -> None:
        self._store = store
        self._control = control
        self._settings = settings
        self._threads = threads
        self._ids: dict[tuple[str, str, str, str], str] = {}
        self._known: dict[str, Known] = {}

    async def refresh(self) -> None:
        """Learn which references are in use."""
        self._ids = await self._control.read(active_ids)
        in_use = set(self._ids.values())
        self._known = {id_: known for id_, known in self._known.items() if id_ in in_use}

    async def find(self, stream: Stream, scale: str, embedder: str, end: datetime) -> Known | Waiting:
        """What a stream is compared with at `end`: its own reference, for a release without one that of its service and
        target. A stream without one gets the initial one as soon as its first units are complete.
        """
        known = await self._in_use(stream, scale, embedder)
        if known is None and stream.slice.level == "release":
            known = await self._in_use(replace(stream, slice=stream.slice.whole), scale, embedder)
            if known is None:
                return Waiting("no-reference", "the service and target of this release has no reference yet")
        found = known or await self._initial(stream, scale, embedder, end)
        if isinstance(found, Known) and found.stored.ends_at >= end:
            reason = f"the reference reaches to {found.stored.ends_at.isoformat()}: windows begin after it"
            return Waiting("collecting-reference", reason)
        return found

    async def make(
        self, stream: Stream, scale: str, embedder: str, start: datetime, end: datetime, *, mode: Mode, by: str, now: datetime
    ) -> Known:
        """Make a reference of the complete units in [start, end) and put it into use.

        Raises:
            ReferenceTooSmallError: too few texts.
        """
        return await self.use(await self.prepare(stream, scale, embedder, start, end, mode=mode, by=by, now=now))

    async def prepare(
        self, stream: Stream, scale: str, embedder: str, start: datetime, end: datetime, *, mode: Mode, by: str, now: datetime
    ) -> StoredReference:
        """As `make`, but nothing is stored yet."""
        reference, n = await self._built(stream, scale, embedder, start, end)
        return StoredReference(
            id=new_reference_id(),
            stream=stream,
            scale=scale,
            embedder=embedder,
            mode=mode,
            starts_at=start,
            ends_at=end,
            n=n,
            state=reference.state(),
            created_by=by,
            created_at=now,
        )

    async def use(self, stored: StoredReference) -> Known:
        """Put a prepared reference into use."""
        await self._control.write(lambda connection: put_reference(connection, stored))
        known = _known(stored)
        self._ids[stored.stream.project, stored.stream.key, stored.scale, stored.embedder] = stored.id
        self._known[stored.id] = known
        return known

    async def by_id(self, project: str, reference_id: str) -> Known | None:
        """A reference, in use or not."""
        stored = await self._control.read(lambda connection: find_reference(connection, project, reference_id))
        return None if stored is None else _known(stored)

    async def feature_map(self, embedder: str) -> FeatureMap:
        """φ of an embedder that was used before."""
        found = await self._control.read(lambda connection: read_features(connection, embedder))
        if found is None:
            raise ReferenceTooSmallError(f"nothing was embedded with {embedder}")
        return FeatureMap(found.dimensions, found.bandwidth, found.features, found.seed)

    async def _built(self, stream: Stream, scale: str, embedder: str, start: datetime, end: datetime) -> tuple[Reference, int]:
        unit, settings = parse_duration(scale), self._settings
        units = [sketch for _, sketch in sketches_of(await read_units(self._store, stream, unit, start, end, embedder))]
        n = sum(one.count for one in units)
        if n < settings.min_reference:
            raise ReferenceTooSmallError(
                f"the reference has {n} texts and needs {settings.min_reference} (analysis.drift.min_reference)"
            )
        samples = await read_samples(self._store, stream, embedder, start, end, SAMPLES)
        feature_map = await self.feature_map(embedder)

        def work() -> Reference:
            embeddings = from_bfloat16([text.embedding for text in samples], feature_map.dimensions)
            sample = Sample(embeddings, [floor_to(text.bucket, unit) for text in samples])
            scan, alpha, seed = scan_of(settings, unit), alpha_of(settings), seed_of(stream, scale, start)
            return build_both(units, sample, feature_map, scan, alpha, settings.min_reference, seed)

        return await asyncio.get_running_loop().run_in_executor(self._threads, work), n

    async def _in_use(self, stream: Stream, scale: str, embedder: str) -> Known | None:
        found = self._ids.get((stream.project, stream.key, scale, embedder))
        if found is None:
            return None
        if found not in self._known:
            known = await self.by_id(stream.project, found)
            if known is None:
                return None
            self._known[found] = known
        return self._known[found]

    async def _initial(self, stream: Stream, scale: str, embedder: str, end: datetime) -> Known | Waiting:
        unit = parse_duration(scale)
        firsts = await first_units(self._store, stream, unit)
        # The first unit is left out: the stream began somewhere within it.
        start = firsts.get(embedder, end) + unit
        wanted, complete = reference_units(self._settings, unit), max(0, (end - start) // unit)
        if complete < wanted:
            return _collecting(list(firsts), embedder, complete, wanted, unit)
        return await self._grown(stream, scale, embedder, (start, start + wanted * unit, end))

    async def _grown(
        self, stream: Stream, scale: str, embedder: str, times: tuple[datetime, datetime, datetime]
    ) -> Known | Waiting:
        """The first complete units, or as many more up to now as it takes."""
        start, enough, end = times
        latest = max(start, end - LONGEST_GROWTH * (enough - start))
        reason = ""
        for first, last in dict.fromkeys(((start, enough), (latest, end))):
            try:
                return await self.make(stream, scale, embedder, first, last, mode="initial", by=SYSTEM, now=end)
            except ReferenceTooSmallError as error:
                reason = str(error)
        return Waiting("reference-too-small", f"{reason}; more units are added until it is large enough")


def _known(stored: StoredReference) -> Known:
    """From its state alone, also where it has just been made: after a restart it decides the same, to the last digit."""
    return Known(replace(stored, state={}), Reference.from_state(stored.state))


def reference_units(settings: DriftSettings, unit: timedelta) -> int:
    """Units of a reference that nobody pinned. Where a unit is a part of a day, at least a week: every hour of it counts."""
    if SHORTEST_CALENDAR <= unit < DAY:
        return max(settings.reference_units, ceil(WEEK / unit))
    return settings.reference_units


def _collecting(embedders: Sequence[str], embedder: str, complete: int, wanted: int, unit: timedelta) -> Waiting:
    progress = f"{complete} of the {wanted} units of {format_duration(unit)} of its reference are complete"
    if embedders and embedders[0] != embedder:
        before = embedders[max(0, embedders.index(embedder) - 1)] if embedder in embedders else embedders[-1]
        reason = f"the embedder changed from {before} to {embedder}; the two are never compared: {progress}"
        return Waiting("embedder-changed", reason)
    return Waiting("collecting-reference", progress)
