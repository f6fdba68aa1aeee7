"""Reports: made on demand, listed, shown as HTML, JSON and Markdown; and when the project's own is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy import Connection

from analyzers.report.data import Report
from analyzers.report.schedule import next_due
from analyzers.report.sources import Sources, unknown_progress
from api.auth import authorise
from api.conditions import caller_of
from api.problem import Problem
from api.reporting import Reporter, links_of, schedule_of
from api.services import Services, services
from schemas.api.reports import ReportAnswer, ReportLinks, ReportList, ReportRequest, ScheduleAnswer, ScheduleRequest
from schemas.patterns import REPORT_ID
from storage.audit import record
from storage.keys import Principal
from storage.reports import (
    ReportEntry,
    ScheduleRow,
    StoredReport,
    find_report,
    list_reports,
    read_schedule,
    write_schedule,
)

router = APIRouter(tags=["reports"])

Reader = Annotated[Principal, Depends(authorise("read"))]
Controller = Annotated[Principal, Depends(authorise("control"))]
Parts = Annotated[Services, Depends(services)]
ReportId = Annotated[str, Path(pattern=REPORT_ID)]

WEEK = timedelta(days=7)
# A report is one file that fetches nothing and runs nothing; a browser is told to hold it to that.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class MarkdownResponse(Response):
    """Markdown text."""

    media_type = "text/markdown"


@router.post("/v1/reports", status_code=201)
async def create_report(body: ReportRequest, principal: Controller, parts: Parts, request: Request) -> ReportAnswer:
    """Make a report of a range and keep it: unless given, the seven days up to now. It is sent to nobody."""
    end = body.end or parts.clock()
    start = body.start or end - WEEK
    actor = caller_of(principal, request).actor
    made = await reporter_of(parts).make(principal.project, start, end, actor)
    return _answer(made.entry)


@router.get("/v1/reports")
async def list_latest_reports(
    principal: Reader,
    parts: Parts,
    before: Annotated[str | None, Query(pattern=REPORT_ID, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ReportList:
    """The latest reports, newest first."""

    def work(connection: Connection) -> list[ReportEntry]:
        last = _require(connection, principal, before).entry if before is not None else None
        position = None if last is None else (last.created_at, last.id)
        return list_reports(connection, principal.project, before=position, limit=limit)

    found = await parts.control.read(work)
    return ReportList(reports=[_answer(entry) for entry in found], next=found[-1].id if len(found) == limit else None)


@router.get("/v1/reports/schedule")
async def read_report_schedule(principal: Reader, parts: Parts) -> ScheduleAnswer:
    """When the project's next report is due."""
    row = await parts.control.read(lambda connection: read_schedule(connection, principal.project))
    return _schedule(row, parts)


@router.put("/v1/reports/schedule")
async def change_report_schedule(
    body: ScheduleRequest, principal: Controller, parts: Parts, request: Request
) -> ScheduleAnswer:
    """Give the project a schedule of its own. A report that is overdue stays so until it is made."""
    now, caller = parts.clock(), caller_of(principal, request)
    own = body.model_dump()

    def work(connection: Connection) -> ScheduleRow | None:
        before = read_schedule(connection, principal.project)
        write_schedule(connection, principal.project, own, now)
        changed = read_schedule(connection, principal.project)
        schedule = schedule_of(changed, parts.settings.analysis.report)
        overdue = before is not None and before.due_at is not None and before.due_at <= now
        if not schedule.enabled or not overdue:
            due_at = next_due(schedule, now) if schedule.enabled else None
            write_schedule(connection, principal.project, {"due_at": due_at}, now)
        shown = None if before is None else {name: getattr(before, name) for name in own}
        record(
            connection,
            project=principal.project,
            now=now,
            actor=caller.actor,
            action="report_schedule.changed",
            subject="report_schedule",
            before=shown,
            after=own,
            source=caller.source,
        )
        return read_schedule(connection, principal.project)

    return _schedule(await parts.control.write(work), parts)


@router.get("/v1/reports/{report_id}.html", response_class=HTMLResponse)
async def read_report_page(report_id: ReportId, principal: Reader, parts: Parts) -> HTMLResponse:
    """The report as one page."""
    found = await parts.control.read(lambda connection: _require(connection, principal, report_id))
    return HTMLResponse(found.html, headers=PAGE_HEADERS)


@router.get("/v1/reports/{report_id}.json", response_model=Report)
async def read_report_data(report_id: ReportId, principal: Reader, parts: Parts) -> JSONResponse:
    """Everything that the report says; each figure names the metric and labels that the API gives it for."""
    found = await parts.control.read(lambda connection: _require(connection, principal, report_id))
    return JSONResponse(found.data)


@router.get("/v1/reports/{report_id}.md", response_class=MarkdownResponse)
async def read_report_text(report_id: ReportId, principal: Reader, parts: Parts) -> MarkdownResponse:
    """The report as Markdown."""
    found = await parts.control.read(lambda connection: _require(connection, principal, report_id))
    return MarkdownResponse(found.markdown)


def reporter_of(parts: Services) -> Reporter:
    """What makes reports of this application."""
    progress = parts.analysis or unknown_progress
    return Reporter(Sources(parts.store, parts.control, parts.settings, parts.clock, parts.version, progress, parts.watermark))


def _require(connection: Connection, principal: Principal, report_id: str) -> StoredReport:
    found = find_report(connection, principal.project, report_id)
    if found is None:
        detail = f"The project has no report {report_id}: GET /v1/reports lists those it has."
        raise Problem(404, "There is no such report", detail, type="unknown-report")
    return found


def _answer(entry: ReportEntry) -> ReportAnswer:
    links = links_of(entry.id)
    return ReportAnswer(
        id=entry.id,
        start=entry.starts_at,
        end=entry.ends_at,
        created_at=entry.created_at,
        created_by=entry.created_by,
        headline=entry.headline,
        alarming=entry.alarming,
        links=ReportLinks(html=links["report"], json_=links["json"], markdown=links["markdown"]),
    )


def _schedule(row: ScheduleRow | None, parts: Services) -> ScheduleAnswer:
    settings = parts.settings.analysis.report
    schedule = schedule_of(row, settings)
    shown: dict[str, Any] = vars(schedule)
    return ScheduleAnswer(**shown, due_at=row.due_at if row else None, channels=list(settings.channels))
