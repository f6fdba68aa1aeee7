"""Embedding drift in the trace store: sketches, their sums over closed units, samples of embeddings, and looks.

Statements are fixed text; whatever comes from outside is a bound parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from schemas.drift import Slice, Stream, Verdict
from storage.clickhouse import ClickHouseStore

_SLICE = "slice_service, slice_target, slice_release, slice_model"
_OF_STREAM = (
    "project = {project:String} AND part = {part:String} AND slice_service = {service:String} "
    "AND slice_target = {target:String} AND slice_release = {release:String} AND slice_model = {model:String}"
)
_SAMPLED = (
    "project = {project:String} AND part = {part:String} AND embedder = {embedder:String} AND service = {service:String} "
    "AND bucket >= fromUnixTimestamp({start:Int64}) AND bucket < fromUnixTimestamp({end:Int64})"
)
_SUMS = "sum(n) AS n, sum(weight) AS weight, sum(squares) AS squares, sumForEach(sums) AS sums"


@dataclass(frozen=True)
class UnitSums:
    """The texts of one stream and embedder in one unit of time, from `start` on."""

    start: datetime
    embedder: str
    n: int
    weight: float
    squares: float
    sums: tuple[float, ...]


@dataclass(frozen=True)
class StreamGroup:
    """Streams that are read together: one part of a service, or one of its slices alone where much has to be read."""

    project: str
    part: str
    service: str
    alone: Stream | None = None

    @classmethod
    def of(cls, stream: Stream, *, caught_up: bool) -> StreamGroup:
        """The group of a stream."""
        return cls(stream.project, stream.part, stream.slice.service, None if caught_up else stream)


@dataclass(frozen=True)
class SampledText:
    """One text of the sample; ids are lowercase hex, the embedding is of little-endian bfloat16."""

    trace_id: str
    span_id: str
    time: datetime
    release: str
    model: str
    preview: str
    embedding: bytes
    bucket: datetime


@dataclass(frozen=True)
class SampledEmbeddings:
    """The sampled texts of one slice: their embeddings one after another, as little-endian bfloat16."""

    slice: Slice
    embeddings: bytes


@dataclass(frozen=True)
class LookRow:
    """One row of `drift_looks`; the fields are its columns (schemas/ddl/0004_drift.sql, 0006_novelty.sql)."""

    project: str
    time: datetime
    part: str
    scale: str
    slice_service: str
    slice_target: str
    slice_release: str
    slice_model: str
    embedder: str
    verdict: Verdict
    reason: str
    n: int
    looked_at: datetime
    window_n: int = 0
    window_units: int = 0
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    score: float | None = None
    threshold: float | None = None
    alarm: int | None = None
    second_opinion: float | None = None
    wealth: tuple[float, ...] = ()
    onset: datetime | None = None
    reference_id: str = ""
    windows: str = "[]"
    evidence: str = "{}"
    novelty: str = "{}"
    likeness_n: tuple[int, ...] = ()
    likeness_sums: tuple[float, ...] = ()

    @property
    def stream(self) -> Stream:
        """What was looked at."""
        own = Slice(self.slice_service, self.slice_target, self.slice_release, self.slice_model)
        return Stream(self.project, self.part, own)


_LOOK_COLUMNS = ", ".join(field.name for field in fields(LookRow))


async def earliest_sketch(store: ClickHouseStore) -> datetime | None:
    """Start of the earliest bucket that is not summed up and dropped yet."""
    rows = await store.query("SELECT count() AS n, min(bucket) AS first FROM embedding_sketches")
    return rows[0]["first"] if rows[0]["n"] else None


async def latest_unit(store: ClickHouseStore, unit: timedelta) -> datetime | None:
    """Start of the latest unit of this length that has sums."""
    sql = "SELECT count() AS n, max(unit) AS last FROM embedding_units WHERE unit_s = {unit_s:UInt32}"
    rows = await store.query(sql, {"unit_s": _seconds(unit)})
    return rows[0]["last"] if rows[0]["n"] else None


async def sum_sketches(store: ClickHouseStore, bucket: timedelta, start: datetime, end: datetime) -> None:
    """Sum the batches' sketches of [start, end) up, a row for each stream and bucket. Repeating it changes nothing."""
    await _sum(store, "embedding_sketches FINAL", "bucket", "", {"unit_s": _seconds(bucket), **_between(start, end)})


async def sum_units(store: ClickHouseStore, bucket: timedelta, unit: timedelta, start: datetime, end: datetime) -> None:
    """Sum buckets up to units, of [start, end) in whole units."""
    parameters = {"unit_s": _seconds(unit), "from_s": _seconds(bucket), **_between(start, end)}
    await _sum(store, "embedding_units FINAL", "unit", "unit_s = {from_s:UInt32} AND ", parameters)


async def _sum(store: ClickHouseStore, table: str, column: str, condition: str, parameters: Mapping[str, Any]) -> None:
    unit = "toDateTime(intDiv(toUnixTimestamp(at), {unit_s:UInt32}) * {unit_s:UInt32}, 'UTC')"
    keys = f"project, part, embedder, {_SLICE}"
    await store.command(
        f"INSERT INTO embedding_units (unit_s, {keys}, unit, n, weight, squares, sums, square_sums, updated_at) "
        f"SELECT {{unit_s:UInt32}}, {keys}, {unit} AS start, {_SUMS}, sumForEach(square_sums) AS square_sums, now64(3) "
        f"FROM (SELECT {keys}, {column} AS at, n, weight, squares, sums, square_sums FROM {table} WHERE {condition}"
        f"{column} >= fromUnixTimestamp({{start:Int64}}) AND {column} < fromUnixTimestamp({{end:Int64}})) "
        f"GROUP BY {keys}, start",
        parameters,
    )


async def drop_sketches(store: ClickHouseStore, before: datetime) -> None:
    """Drop the sketches of whole days before `before`, which must be summed up."""
    rows = await store.query(
        "SELECT DISTINCT toString(toDate(bucket)) AS day FROM embedding_sketches WHERE bucket < fromUnixTimestamp({end:Int64})",
        {"end": int(before.timestamp())},
    )
    for row in rows:
        if row["day"] < before.date().isoformat():
            await store.command(f"ALTER TABLE embedding_sketches DROP PARTITION '{row['day']}'")


async def streams_with_units(store: ClickHouseStore, unit: timedelta, since: datetime) -> list[Stream]:
    """Every stream that had texts since `since`."""
    rows = await store.query(
        f"SELECT DISTINCT project, part, {_SLICE} FROM embedding_units "
        f"WHERE unit_s = {{unit_s:UInt32}} AND unit >= fromUnixTimestamp({{start:Int64}}) ORDER BY project, part, {_SLICE}",
        {"unit_s": _seconds(unit), "start": int(since.timestamp())},
    )
    return [_stream_of(row) for row in rows]


async def first_units(store: ClickHouseStore, stream: Stream, unit: timedelta) -> dict[str, datetime]:
    """Start of the first unit with texts of each embedder of a stream."""
    rows = await store.query(
        f"SELECT embedder, min(unit) AS first FROM embedding_units "
        f"WHERE {_OF_STREAM} AND unit_s = {{unit_s:UInt32}} GROUP BY embedder ORDER BY first",
        {**_named(stream), "unit_s": _seconds(unit)},
    )
    return {row["embedder"]: row["first"] for row in rows}


async def read_units(
    store: ClickHouseStore, stream: Stream, unit: timedelta, start: datetime, end: datetime, embedder: str = ""
) -> list[UnitSums]:
    """The sums of a stream's closed units in [start, end), in order of time; of one embedder, or of all."""
    of_embedder = " AND embedder = {embedder:String}" if embedder else ""
    rows = await store.query(
        f"SELECT unit, embedder, n, weight, squares, sums FROM embedding_units FINAL "
        f"WHERE {_OF_STREAM} AND unit_s = {{unit_s:UInt32}}{of_embedder} AND unit >= fromUnixTimestamp({{start:Int64}}) "
        f"AND unit < fromUnixTimestamp({{end:Int64}}) ORDER BY unit, embedder",
        {**_named(stream), "unit_s": _seconds(unit), "embedder": embedder, **_between(start, end)},
    )
    return [_unit(row) for row in rows]


async def read_group(
    store: ClickHouseStore, group: StreamGroup, unit: timedelta, start: datetime, end: datetime
) -> dict[Stream, list[UnitSums]]:
    """`read_units` of every stream of a group, of all embedders."""
    if group.alone is not None:
        return {group.alone: await read_units(store, group.alone, unit, start, end)}
    rows = await store.query(
        f"SELECT project, part, {_SLICE}, unit, embedder, n, weight, squares, sums "
        "FROM embedding_units FINAL WHERE project = {project:String} AND part = {part:String} "
        "AND slice_service = {service:String} AND unit_s = {unit_s:UInt32} "
        "AND unit >= fromUnixTimestamp({start:Int64}) AND unit < fromUnixTimestamp({end:Int64}) ORDER BY unit, embedder",
        {
            "project": group.project,
            "part": group.part,
            "service": group.service,
            "unit_s": _seconds(unit),
            **_between(start, end),
        },
    )
    found: dict[Stream, list[UnitSums]] = {}
    for row in rows:
        found.setdefault(_stream_of(row), []).append(_unit(row))
    return found


def _unit(row: Mapping[str, Any]) -> UnitSums:
    return UnitSums(row["unit"], row["embedder"], row["n"], row["weight"], row["squares"], tuple(row["sums"]))


async def read_samples(
    store: ClickHouseStore, stream: Stream, embedder: str, start: datetime, end: datetime, limit: int
) -> list[SampledText]:
    """At most `limit` sampled texts of a stream whose buckets lie in [start, end), in an order that is random but fixed."""
    of_target = f"{_SAMPLED} AND target = {{target:String}}"
    inner = "".join(f" AND {name} = {{{name}:String}}" for name in ("release", "model") if getattr(stream.slice, name))
    # The slot's row is chosen before its release is asked for, and the vectors are read only of those that are wanted.
    keys = f"SELECT bucket, slot FROM embedding_samples FINAL WHERE {of_target}{inner}"
    chosen = f"{keys} ORDER BY slot, bucket LIMIT {{limit:UInt32}}"
    rows = await store.query(
        f"SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, time, release, model, preview, bucket, "
        "embedding FROM embedding_samples FINAL "
        f"WHERE {of_target} AND (bucket, slot) IN ({chosen}) "
        "ORDER BY cityHash64(trace_id, span_id)",
        {**_named(stream), "embedder": embedder, "limit": limit, **_between(start, end)},
        binary=["embedding"],
    )
    return [_sampled(row) for row in rows]


def _sampled(row: Mapping[str, Any]) -> SampledText:
    return SampledText(
        trace_id=row["trace"],
        span_id=row["span"],
        time=row["time"],
        release=row["release"],
        model=row["model"],
        preview=row["preview"],
        embedding=row["embedding"],
        bucket=row["bucket"],
    )


async def read_embeddings(
    store: ClickHouseStore, group: StreamGroup, embedder: str, start: datetime, end: datetime, limit: int | None
) -> list[SampledEmbeddings]:
    """A random but fixed sample of texts of each target, of buckets in [start, end); by release and model.

    The lowest slots are taken, each with all of its buckets, until they hold `limit` texts; all slots where that is None.
    """
    condition = _SAMPLED if group.alone is None else f"{_SAMPLED} AND target = {{target:String}}"
    lowest = ""
    if limit is not None:
        # As in read_samples, the vectors are read only of texts that are wanted. Whole slots are few to look up.
        lower = "sum(count()) OVER (PARTITION BY target ORDER BY slot) - count()"
        counted = f"SELECT target, slot, {lower} AS lower FROM embedding_samples FINAL WHERE {condition} GROUP BY target, slot"
        lowest = f" AND (target, slot) IN (SELECT target, slot FROM ({counted}) WHERE lower < {{limit:UInt32}})"
    rows = await store.query(
        "SELECT target, release, model, arrayStringConcat(groupArray(embedding)) AS embeddings FROM embedding_samples FINAL "
        f"WHERE {condition}{lowest} GROUP BY target, release, model",
        {
            "project": group.project,
            "part": group.part,
            "service": group.service,
            "target": group.alone.slice.target if group.alone is not None else "",
            "embedder": embedder,
            "limit": limit or 0,
            **_between(start, end),
        },
        binary=["embeddings"],
    )
    return [
        SampledEmbeddings(Slice(group.service, row["target"], row["release"], row["model"]), row["embeddings"]) for row in rows
    ]


async def insert_looks(store: ClickHouseStore, rows: Sequence[LookRow]) -> None:
    """Returns when they are on disk; a look that is there already is replaced."""
    if rows:
        names = [field.name for field in fields(LookRow)]
        await store.insert_rows("drift_looks", names, [[getattr(row, name) for name in names] for row in rows])


async def last_looks(store: ClickHouseStore, scale: str, since: datetime, project: str | None = None) -> list[LookRow]:
    """The latest look at each stream, of those with one since `since`; of one project, or of all."""
    of_project = "project = {project:String} AND " if project is not None else ""
    rows = await store.query(
        f"SELECT {_LOOK_COLUMNS} FROM drift_looks FINAL WHERE {of_project}scale = {{scale:String}} "
        f"AND time >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC') "
        f"ORDER BY drift_looks.time DESC LIMIT 1 BY project, part, {_SLICE}",
        {"project": project or "", "scale": scale, "start": int(since.timestamp() * 1000)},
    )
    return [_look(row) for row in rows]


async def looks_between(store: ClickHouseStore, project: str, scale: str, start: datetime, end: datetime) -> list[LookRow]:
    """Every look of a project whose unit ended in (start, end], in order of stream and time."""
    rows = await store.query(
        f"SELECT {_LOOK_COLUMNS} FROM drift_looks FINAL "
        "WHERE project = {project:String} AND scale = {scale:String} "
        "AND time > fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({end:Int64}, 'UTC') "
        f"ORDER BY part, {_SLICE}, drift_looks.time",
        {"project": project, "scale": scale, "start": int(start.timestamp() * 1000), "end": int(end.timestamp() * 1000)},
    )
    return [_look(row) for row in rows]


def _look(row: Mapping[str, Any]) -> LookRow:
    return LookRow(**{**row, **{name: tuple(row[name]) for name in ("wealth", "likeness_n", "likeness_sums")}})


def _stream_of(row: Mapping[str, Any]) -> Stream:
    own = Slice(row["slice_service"], row["slice_target"], row["slice_release"], row["slice_model"])
    return Stream(row["project"], row["part"], own)


def _named(stream: Stream) -> dict[str, Any]:
    return {"project": stream.project, "part": stream.part, **asdict(stream.slice)}


def _between(start: datetime, end: datetime) -> dict[str, int]:
    return {"start": int(start.timestamp()), "end": int(end.timestamp())}


def _seconds(length: timedelta) -> int:
    return round(length.total_seconds())
