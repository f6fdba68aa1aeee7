"""Finished reports, and when the next ones are due, as rows of the control database."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection, RowMapping, and_, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from schemas.analysis import ReportSettings, Weekday
from schemas.control.analysis import report_schedules, reports
from schemas.control.core import projects

WEEKDAYS: tuple[str, ...] = get_args(Weekday)

_LISTED = ("id", "project", "period_key", "starts_at", "ends_at", "created_by", "created_at", "headline", "alarming")


@dataclass(frozen=True)
class Schedule:
    """When a project's weekly report is made: at `hour` o'clock of `weekday` in `time_zone`."""

    enabled: bool
    weekday: str
    hour: int
    time_zone: str


@dataclass(frozen=True)
class ScheduleRow:
    """A project's own schedule, with None where the settings hold, and when its next report is due."""

    project: str
    enabled: bool | None
    weekday: str | None
    hour: int | None
    time_zone: str | None
    due_at: datetime | None
    updated_at: datetime

    def over(self, settings: ReportSettings) -> Schedule:
        """The schedule in force."""
        return Schedule(
            enabled=settings.enabled if self.enabled is None else self.enabled,
            weekday=self.weekday or settings.weekday,
            hour=settings.hour if self.hour is None else self.hour,
            time_zone=self.time_zone or settings.time_zone,
        )


@dataclass(frozen=True)
class ReportEntry:
    """A finished report as lists show it. `period_key` names the week of a scheduled one."""

    id: str
    project: str
    period_key: str | None
    starts_at: datetime
    ends_at: datetime
    created_by: str
    created_at: datetime
    headline: str
    alarming: bool


@dataclass(frozen=True)
class StoredReport:
    """A finished report, whole; `data` is what its JSON says."""

    entry: ReportEntry
    data: Mapping[str, Any]
    html: str
    markdown: str


def insert_report(connection: Connection, report: StoredReport) -> bool:
    """Keep a report; False, and nothing is changed, when its week has one already."""
    entry = report.entry
    if entry.period_key is not None and _has_week(connection, entry.project, entry.period_key):
        return False
    values = {
        **vars(entry),
        "data": dict(report.data),
        "html": gzip.compress(report.html.encode()),
        "markdown": report.markdown,
    }
    connection.execute(insert(reports).values(values))
    return True


def find_report(connection: Connection, project: str, report_id: str) -> StoredReport | None:
    """One report."""
    query = select(reports).where(reports.c.project == project, reports.c.id == report_id)
    row = connection.execute(query).mappings().one_or_none()
    return (
        None if row is None else StoredReport(_entry(row), row["data"], gzip.decompress(row["html"]).decode(), row["markdown"])
    )


def list_reports(
    connection: Connection, project: str, *, before: tuple[datetime, str] | None = None, limit: int = 100
) -> list[ReportEntry]:
    """The latest reports of a project, newest first; `before` is the (created_at, id) of the last one seen."""
    r = reports.c
    clauses: list[ColumnElement[bool]] = [r.project == project]
    if before is not None:
        at, report_id = before
        clauses.append(or_(r.created_at < at, and_(r.created_at == at, r.id < report_id)))
    query = select(*(r[name] for name in _LISTED)).where(*clauses).order_by(r.created_at.desc(), r.id.desc()).limit(limit)
    return [_entry(row) for row in connection.execute(query).mappings()]


def read_schedule(connection: Connection, project: str) -> ScheduleRow | None:
    """A project's row, or None before the first look at it."""
    row = connection.execute(select(report_schedules).where(report_schedules.c.project == project)).mappings().one_or_none()
    return None if row is None else ScheduleRow(**row)


def list_schedules(connection: Connection) -> list[tuple[str, ScheduleRow | None]]:
    """Every project with its row."""
    rows = {row["project"]: ScheduleRow(**row) for row in connection.execute(select(report_schedules)).mappings()}
    return [(name, rows.get(name)) for name in connection.execute(select(projects.c.name).order_by(projects.c.name)).scalars()]


def write_schedule(connection: Connection, project: str, values: Mapping[str, Any], now: datetime) -> None:
    """Change members of a project's row, which begins with them."""
    changed = {**values, "updated_at": now}
    statement = update(report_schedules).where(report_schedules.c.project == project).values(changed)
    if connection.execute(statement).rowcount == 0:
        connection.execute(insert(report_schedules).values(project=project, **changed))


def move_due(connection: Connection, project: str, before: datetime, after: datetime, now: datetime) -> bool:
    """Set the next due time if it is still `before`; False when somebody else has moved it."""
    s = report_schedules.c
    statement = update(report_schedules).where(s.project == project, s.due_at == before).values(due_at=after, updated_at=now)
    return connection.execute(statement).rowcount == 1


def _has_week(connection: Connection, project: str, period_key: str) -> bool:
    query = select(reports.c.id).where(reports.c.project == project, reports.c.period_key == period_key)
    return connection.execute(query).first() is not None


def _entry(row: RowMapping) -> ReportEntry:
    return ReportEntry(**{name: row[name] for name in _LISTED})
