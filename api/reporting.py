"""Making reports: on demand, and when they are due. What a finished report says is stored, and told where it is wanted.

The due time lives in the control database. APScheduler only asks, every so often and in every process that has the role,
whether something is due; whoever moves the due time on, in the transaction that stores the report and fills the outbox, has
made the week's report, and the others let theirs go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Connection

from alerting.reports import ReportNotice, announce_report
from analyzers.report import html, markdown
from analyzers.report.collection import collect
from analyzers.report.data import Report
from analyzers.report.schedule import WEEK, Period, next_due, week_before
from analyzers.report.sources import Sources
from analyzers.report.summary import figures_of, lines_of, title_of
from api.base import Base, StartError, version
from schemas.analysis import ReportSettings
from schemas.settings import Settings
from storage.analysis import Progress
from storage.clickhouse import StoreError
from storage.control import ControlError
from storage.reports import (
    ReportEntry,
    Schedule,
    ScheduleRow,
    StoredReport,
    insert_report,
    list_schedules,
    move_due,
    read_schedule,
    write_schedule,
)
from storage.scope import QueryError

LOOK_EVERY_S = 60
# Several processes look; they need not do so at the same moment.
JITTER_S = 15
# After a long stand-still so many weeks are caught up, the latest ones.
CAUGHT_UP_WEEKS = 4
SCHEDULED = "schedule"

_log = structlog.get_logger("reports")


class Reporter:
    """Makes and stores reports."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @property
    def settings(self) -> ReportSettings:
        """The schedule that holds where a project has none of its own, and the channels."""
        return self._sources.settings.analysis.report

    async def make(self, project: str, start: datetime, end: datetime, created_by: str) -> StoredReport:
        """A report on demand: stored, and told to nobody.

        Raises:
            QueryError: the range is empty or too long.
            StoreError, ControlError: a database could not answer.
        """
        schedule = schedule_of(await self._sources.control.read(lambda c: read_schedule(c, project)), self.settings)
        report = await collect(self._sources, project, Period(start, end), time_zone=schedule.time_zone, created_by=created_by)
        stored = await asyncio.to_thread(stored_report, report, None)
        await self._sources.control.write(lambda connection: insert_report(connection, stored))
        return stored

    async def run_due(self) -> int:
        """Make every report that is due; how many. One project's trouble does not keep the others from theirs."""
        made = 0
        for project, row in await self._sources.control.read(list_schedules):
            schedule = schedule_of(row, self.settings)
            try:
                made += await self._run_project(project, schedule, row)
            except (StoreError, QueryError, ControlError) as error:
                _log.error("report_failed", project=project, error=str(error), next="tried again at the next look")
        return made

    async def _run_project(self, project: str, schedule: Schedule, row: ScheduleRow | None) -> int:
        now = self._sources.clock()
        due_at, made = row.due_at if row else None, 0
        if due_at is None or due_at > now or not schedule.enabled:
            await self._plan(project, schedule, row, now)
            return 0
        while due_at <= now:
            following = next_due(schedule, due_at)
            skipped = now - due_at > CAUGHT_UP_WEEKS * WEEK
            made += await (self._skip if skipped else self._make_due)(project, schedule, due_at, following)
            due_at = following
        return made

    async def _plan(self, project: str, schedule: Schedule, row: ScheduleRow | None, now: datetime) -> None:
        due_at = next_due(schedule, now) if schedule.enabled else None
        if row is None or row.due_at != due_at:
            await self._sources.control.write(lambda connection: write_schedule(connection, project, {"due_at": due_at}, now))

    async def _skip(self, project: str, schedule: Schedule, due_at: datetime, following: datetime) -> int:
        now = self._sources.clock()
        _log.warning(
            "report_skipped", project=project, due_at=due_at.isoformat(), why=f"more than {CAUGHT_UP_WEEKS} weeks late"
        )
        await self._sources.control.write(lambda connection: move_due(connection, project, due_at, following, now))
        return 0

    async def _make_due(self, project: str, schedule: Schedule, due_at: datetime, following: datetime) -> int:
        period = week_before(due_at, schedule.time_zone)
        report = await collect(self._sources, project, period, time_zone=schedule.time_zone, created_by=SCHEDULED)
        stored = await asyncio.to_thread(stored_report, report, period.key)
        now, channels = self._sources.clock(), self.settings.channels if has_data(report) else ()

        def finish(connection: Connection) -> bool:
            if not move_due(connection, project, due_at, following, now) or not insert_report(connection, stored):
                return False
            announce_report(connection, notice_of(report), channels, now)
            return True

        if not await self._sources.control.write(finish):
            _log.info("report_made_elsewhere", project=project, week=period.key)
            return 0
        _log.info("report_made", project=project, week=period.key, id=report.id, channels=len(channels))
        return 1


class ReportSchedule:
    """Asks a reporter again and again whether something is due, as a component of a process."""

    def __init__(self, reporter: Reporter, every_s: int = LOOK_EVERY_S) -> None:
        self._reporter = reporter
        self._every_s = every_s
        self._busy = asyncio.Lock()
        self._scheduler: AsyncIOScheduler | None = None

    async def start(self) -> None:
        """Look at once, then every so often."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        trigger = IntervalTrigger(seconds=self._every_s, jitter=min(JITTER_S, self._every_s // 4), timezone=UTC)
        self._scheduler.add_job(
            self._look, trigger, next_run_time=datetime.now(UTC), coalesce=True, max_instances=1, misfire_grace_time=None
        )
        self._scheduler.start()

    async def stop(self) -> None:
        """Begin no further look, and wait for the one under way."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is None:
            return
        scheduler.remove_all_jobs()
        async with self._busy:
            scheduler.shutdown(wait=False)

    async def _look(self) -> None:
        async with self._busy:
            try:
                await self._reporter.run_due()
            except ControlError as error:
                _log.warning("reports_paused", error=str(error))
            except Exception as error:  # a look that fails must not end the later ones; it is logged with its trace
                _log.error("report_look_failed", exc_info=error)


def assemble_reporting(
    base: Base, progress: Callable[[], Awaitable[Sequence[Progress]]], watermark: Callable[[], Awaitable[datetime | None]]
) -> ReportSchedule:
    """The schedule of a process.

    Raises:
        StartError: a channel of analysis.report.channels is not one of alerting.channels.
    """
    check_channels(base.settings)
    sources = Sources(base.store, base.control, base.settings, base.clock, version(), progress, watermark)
    return ReportSchedule(Reporter(sources))


def check_channels(settings: Settings) -> None:
    """Refuse a report that would be told to a channel that nobody configured.

    Raises:
        StartError: with those that there are.
    """
    known = [channel.name for channel in settings.alerting.channels]
    for name in settings.analysis.report.channels:
        if name not in known:
            there = ", ".join(known) or "none"
            raise StartError(
                f"analysis.report.channels names {name!r}, which alerting.channels has not (it has {there}): add it there"
            )


def schedule_of(row: ScheduleRow | None, settings: ReportSettings) -> Schedule:
    """The schedule in force."""
    if row is None:
        return Schedule(settings.enabled, settings.weekday, settings.hour, settings.time_zone)
    return row.over(settings)


def stored_report(report: Report, period_key: str | None) -> StoredReport:
    """A report in all its forms."""
    entry = ReportEntry(
        id=report.id,
        project=report.project,
        period_key=period_key,
        starts_at=report.start,
        ends_at=report.end,
        created_by=report.created_by,
        created_at=report.created_at,
        headline=report.headline,
        alarming=report.alarming,
    )
    return StoredReport(entry, report.model_dump(mode="json"), html.render(report), markdown.render(report))


def has_data(report: Report) -> bool:
    """Whether there is anything to tell: a project that never sent a span sends no messages either."""
    requests = report.overview["requests.count"]
    return requests.value is not None or requests.before is not None


def notice_of(report: Report) -> ReportNotice:
    """What is told of a report."""
    return ReportNotice(
        id=report.id,
        project=report.project,
        start=report.start,
        end=report.end,
        created_at=report.created_at,
        title=title_of(report),
        headline=report.headline,
        alarming=report.alarming,
        lines=list(lines_of(report)),
        figures=figures_of(report),
        links=links_of(report.id),
    )


def links_of(report_id: str) -> dict[str, str]:
    """Paths of a report's forms."""
    return {
        name: f"/v1/reports/{report_id}.{ending}" for name, ending in (("report", "html"), ("json", "json"), ("markdown", "md"))
    }
