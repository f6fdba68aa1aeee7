"""What was fitted from people's feedback, and the feedback that a fit is made from."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from schemas.control.analysis import calibrations
from storage.scope import LATEST_EVENT, ProjectReader, Range, scores_of

MAX_LABELS = 5_000
"""The newest answers with a verdict that a fit looks at."""

# People's verdicts on a span; an even split tells nothing. The range is of the spans, so that both sides lie in it.
_LABELLED = f"""
WITH verdicts AS (
    SELECT trace_id, span_id, avg(flagged) AS share, max(received_at) AS judged_at {scores_of("event", late=True)}
        AND name = {{name:String}} AND source = 'human' AND service = {{service:String}} AND flagged IS NOT NULL
    GROUP BY trace_id, span_id HAVING share != 0.5
    ORDER BY judged_at DESC, trace_id, span_id LIMIT {{limit:UInt32}}
),
scored AS (
    SELECT trace_id, span_id, scorer, evidence, scored_at {scores_of("event", late=False)}
        AND name = {{name:String}} AND source = 'analyzer' AND service = {{service:String}}
        AND value IS NOT NULL AND evidence != ''
)
SELECT lower(hex(scored.trace_id)) AS trace, lower(hex(scored.span_id)) AS span, share > 0.5 AS bad, scorer, evidence
FROM scored INNER JOIN verdicts ON verdicts.trace_id = scored.trace_id AND verdicts.span_id = scored.span_id
ORDER BY scored_at DESC, scorer, trace, span
"""


@dataclass(frozen=True)
class Calibration:
    """Weights fitted from the feedback on one service. `parameters` and `quality` are the analyzer's own.

    It holds until a newer one is made, or until it is withdrawn; then the one before holds again.
    """

    id: str
    project: str
    analyzer: str
    service: str
    parameters: Mapping[str, Any]
    n: int
    quality: Mapping[str, Any]
    created_by: str
    created_at: datetime
    withdrawn_at: datetime | None = None


def new_id() -> str:
    """A fresh id of a calibration."""
    return "cal_" + secrets.token_hex(10)


def insert_calibration(connection: Connection, calibration: Calibration) -> None:
    """Store a calibration; from now on it is the one that holds."""
    values = vars(calibration) | {"parameters": dict(calibration.parameters), "quality": dict(calibration.quality)}
    connection.execute(insert(calibrations).values(values))


def list_calibrations(
    connection: Connection, project: str, *, analyzer: str | None = None, service: str | None = None, limit: int = 100
) -> list[Calibration]:
    """The calibrations of a project, newest first, withdrawn ones too."""
    query = _newest_first(project, analyzer, service).limit(limit)
    return [Calibration(**row) for row in connection.execute(query).mappings()]


def _newest_first(project: str, analyzer: str | None, service: str | None) -> Select[Any]:
    query = select(calibrations).where(calibrations.c.project == project)
    if analyzer is not None:
        query = query.where(calibrations.c.analyzer == analyzer)
    if service is not None:
        query = query.where(calibrations.c.service == service)
    return query.order_by(calibrations.c.created_at.desc(), calibrations.c.id)


def withdraw_calibration(connection: Connection, project: str, calibration_id: str, now: datetime) -> Calibration | None:
    """Let a calibration hold no more; None where the project has none of this id that is not withdrawn."""
    own = (calibrations.c.project == project, calibrations.c.id == calibration_id, calibrations.c.withdrawn_at.is_(None))
    found = connection.execute(select(calibrations).where(*own)).mappings().one_or_none()
    if found is None:
        return None
    connection.execute(update(calibrations).where(*own).values(withdrawn_at=now))
    return replace(Calibration(**found), withdrawn_at=now)


def read_holding(
    connection: Connection, analyzer: str, services: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Calibration]:
    """The calibration that holds for each (project, service), where there is one."""
    found = {}
    for project, service in sorted(services):
        query = _newest_first(project, analyzer, service).where(calibrations.c.withdrawn_at.is_(None)).limit(1)
        row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            found[project, service] = Calibration(**row)
    return found


async def read_labelled(reader: ProjectReader, service: str, name: str, now: datetime) -> list[dict[str, Any]]:
    """Analyzers' scores of the spans that people judged under `name`: trace, span, bad, scorer, evidence; newest first.

    Spans as old as the longest range of a query are looked at.

    Raises:
        StoreError: the store refused, or a limit was reached.
    """
    span = Range(now - timedelta(days=reader.bounds.max_range_days) + LATEST_EVENT, now + LATEST_EVENT, "event")
    return await reader.fetch(_LABELLED, span, {"service": service, "name": name, "limit": MAX_LABELS})
