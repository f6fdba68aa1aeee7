"""What drift is measured against, in the control database: references and the features of each embedder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from schemas.control.analysis import drift_references, embedder_versions
from schemas.drift import Slice, Stream

Mode = Literal["initial", "pinned", "rolling"]


@dataclass(frozen=True)
class Features:
    """The feature map of an embedder: fixed when it was first used."""

    version: str
    dimensions: int
    features: int
    seed: int
    bandwidth: float


@dataclass(frozen=True)
class StoredReference:
    """One reference of a stream and scale; `state` is what was computed from it. `replaced_at` None: in use."""

    id: str
    stream: Stream
    scale: str
    embedder: str
    mode: Mode
    starts_at: datetime
    ends_at: datetime
    n: int
    state: Mapping[str, Any]
    created_by: str
    created_at: datetime
    replaced_at: datetime | None = None


def new_reference_id() -> str:
    """A random id of 32 hex digits."""
    return secrets.token_hex(16)


def fix_features(connection: Connection, wanted: Features, now: datetime) -> Features:
    """The features of an embedder: those that are stored, else `wanted`, which is stored."""
    found = read_features(connection, wanted.version)
    if found is None:
        connection.execute(insert(embedder_versions).values(**asdict(wanted), created_at=now))
    return found or wanted


def read_features(connection: Connection, version: str) -> Features | None:
    """The features of an embedder; None where it was never used."""
    row = connection.execute(select(embedder_versions).where(embedder_versions.c.version == version)).one_or_none()
    return None if row is None else Features(row.version, row.dimensions, row.features, row.seed, row.bandwidth)


def put_reference(connection: Connection, reference: StoredReference) -> None:
    """Store a reference, in the place of the one that its stream, scale and embedder had."""
    in_use = *_of_the_same(reference), drift_references.c.replaced_at.is_(None)
    connection.execute(update(drift_references).where(*in_use).values(replaced_at=reference.created_at))
    connection.execute(
        insert(drift_references).values(
            id=reference.id,
            project=reference.stream.project,
            slice_key=reference.stream.key,
            slice={"part": reference.stream.part, **asdict(reference.stream.slice)},
            scale=reference.scale,
            embedder_version=reference.embedder,
            mode=reference.mode,
            starts_at=reference.starts_at,
            ends_at=reference.ends_at,
            n=reference.n,
            state=dict(reference.state),
            created_by=reference.created_by,
            created_at=reference.created_at,
        )
    )


def retire_reference(connection: Connection, project: str, reference_id: str, now: datetime) -> StoredReference | None:
    """Take a reference out of use, and the initial one that it replaced back into use; None where it was in no use.

    The texts that an initial reference was made of may be gone by now: it cannot be made again.
    """
    columns, found = drift_references.c, find_reference(connection, project, reference_id)
    if found is None or found.replaced_at is not None:
        return None
    connection.execute(update(drift_references).where(columns.id == reference_id).values(replaced_at=now))
    initial = select(columns.id).where(*_of_the_same(found), columns.mode == "initial").order_by(columns.created_at.desc())
    before = connection.execute(initial).scalars().first()
    if found.mode != "initial" and before is not None:
        connection.execute(update(drift_references).where(columns.id == before).values(replaced_at=None))
    return found


def find_reference(connection: Connection, project: str, reference_id: str) -> StoredReference | None:
    """A reference by its id, in use or not."""
    query = select(drift_references).where(drift_references.c.project == project, drift_references.c.id == reference_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _reference(row)


def active_ids(connection: Connection) -> dict[tuple[str, str, str, str], str]:
    """The id of every reference in use, by project, slice key, scale and embedder."""
    columns = drift_references.c
    query = select(columns.project, columns.slice_key, columns.scale, columns.embedder_version, columns.id)
    rows = connection.execute(query.where(columns.replaced_at.is_(None)).order_by(columns.created_at))
    return {(row.project, row.slice_key, row.scale, row.embedder_version): row.id for row in rows}


def list_references(connection: Connection, project: str, *, retired: bool) -> list[StoredReference]:
    """The references of a project without their states, the newest first; `retired`: also those out of use."""
    columns = [column for column in drift_references.c if column.name != "state"]
    query = select(*columns).where(drift_references.c.project == project)
    if not retired:
        query = query.where(drift_references.c.replaced_at.is_(None))
    return [_reference(row) for row in connection.execute(query.order_by(drift_references.c.created_at.desc()))]


def _of_the_same(reference: StoredReference) -> tuple[ColumnElement[bool], ...]:
    """References of the same stream, scale and embedder, in use or not."""
    columns = drift_references.c
    return (
        columns.project == reference.stream.project,
        columns.slice_key == reference.stream.key,
        columns.scale == reference.scale,
        columns.embedder_version == reference.embedder,
    )


def _reference(row: Row[Any]) -> StoredReference:
    named = row._mapping
    labels = dict(named["slice"])
    return StoredReference(
        id=named["id"],
        stream=Stream(named["project"], labels.pop("part"), Slice(**labels)),
        scale=named["scale"],
        embedder=named["embedder_version"],
        mode=named["mode"],
        starts_at=named["starts_at"],
        ends_at=named["ends_at"],
        n=named["n"],
        state=named.get("state", {}),
        created_by=named["created_by"],
        created_at=named["created_at"],
        replaced_at=named["replaced_at"],
    )
