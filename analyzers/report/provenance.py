"""The versions, seeds and references that the figures of a report depend on."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from analyzers.report.data import CoverageRow, Fact
from analyzers.report.sources import Sources
from schemas.control.analysis import drift_references, embedder_versions

REFERENCES = 12


async def read_provenance(sources: Sources, project: str, coverage: Sequence[CoverageRow]) -> list[Fact]:
    """Facts, from the program down to each reference."""
    scorers = sorted({row.scorer for row in coverage})
    drift = sources.settings.analysis.drift
    facts = [
        Fact(name="Tracewarden", value=sources.version),
        Fact(name="scorers seen", value=", ".join(scorers) or "none"),
        Fact(
            name="drift settings",
            value=(
                f"false alarm rate {drift.false_alarm_rate:g} in 28 windows, "
                f"windows {_listed(drift.windows)} × {_listed(drift.scales)}"
            ),
        ),
    ]
    return facts + await sources.control.read(lambda connection: [*_embedders(connection), *_references(connection, project)])


def _embedders(connection: Connection) -> list[Fact]:
    rows = connection.execute(select(embedder_versions).order_by(embedder_versions.c.created_at)).all()
    return [
        Fact(
            name="embedder",
            value=f"{row.version}: {row.features} random features, seed {row.seed}, bandwidth {row.bandwidth:.4g}",
        )
        for row in rows
    ]


def _references(connection: Connection, project: str) -> list[Fact]:
    r = drift_references.c
    query = select(drift_references).where(r.project == project, r.replaced_at.is_(None)).order_by(r.n.desc(), r.id)
    rows = connection.execute(query).all()
    facts = [
        Fact(
            name=f"reference {row.id}",
            value=(
                f"{_named(row.slice)} at {row.scale}, {row.mode}, {row.starts_at:%Y-%m-%d %H:%M} to "
                f"{row.ends_at:%Y-%m-%d %H:%M} UTC, n = {row.n:,}"
            ),
        )
        for row in rows[:REFERENCES]
    ]
    if len(rows) > REFERENCES:
        facts.append(Fact(name="references", value=f"{len(rows) - REFERENCES} more: GET /v1/drift/references lists them"))
    return facts


def _named(labels: object) -> str:
    if not isinstance(labels, dict):
        return str(labels)
    return ", ".join(f"{name} {value}" for name, value in labels.items() if value) or "everything"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
