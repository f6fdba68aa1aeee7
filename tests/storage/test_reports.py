"""Reports and schedules as rows, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import insert

from schemas.analysis import ReportSettings
from schemas.control.core import projects
from storage.control import ControlDatabase, sqlite_url
from storage.reports import (
    ReportEntry,
    Schedule,
    StoredReport,
    find_report,
    insert_report,
    list_reports,
    list_schedules,
    move_due,
    read_schedule,
    write_schedule,
)

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlDatabase]:
    found = ControlDatabase(sqlite_url(tmp_path))
    await found.migrate()
    await found.write(lambda connection: connection.execute(insert(projects).values(name="ours", created_at=NOW)))
    yield found
    await found.close()


def stored(number: int, period_key: str | None = None, project: str = "ours") -> StoredReport:
    at = NOW + timedelta(minutes=number)
    entry = ReportEntry(f"rp_{number:02x}", project, period_key, NOW - WEEK, NOW, "schedule", at, "All quiet.", False)
    return StoredReport(entry, {"id": number, "text": "größer"}, "<p>größer 客服</p>", "# größer\n")


async def test_a_report_comes_back_as_it_was(control: ControlDatabase) -> None:
    assert await control.write(lambda connection: insert_report(connection, stored(1)))
    assert await control.read(lambda connection: find_report(connection, "ours", "rp_01")) == stored(1)
    assert await control.read(lambda connection: find_report(connection, "theirs", "rp_01")) is None


async def test_a_week_has_one_report_and_demand_has_many(control: ControlDatabase) -> None:
    assert await control.write(lambda connection: insert_report(connection, stored(1, "2026-03-02/2026-03-09")))
    assert not await control.write(lambda connection: insert_report(connection, stored(2, "2026-03-02/2026-03-09")))
    for number in (3, 4):
        report = stored(number)
        assert await control.write(partial(insert_report, report=report))
    listed = await control.read(lambda connection: list_reports(connection, "ours"))
    assert [entry.id for entry in listed] == ["rp_04", "rp_03", "rp_01"]
    last = listed[0]
    older = await control.read(lambda connection: list_reports(connection, "ours", before=(last.created_at, last.id), limit=1))
    assert [entry.id for entry in older] == ["rp_03"]


async def test_only_the_first_moves_a_due_time(control: ControlDatabase) -> None:
    await control.write(lambda connection: write_schedule(connection, "ours", {"due_at": NOW}, NOW))
    assert await control.write(lambda connection: move_due(connection, "ours", NOW, NOW + WEEK, NOW))
    assert not await control.write(lambda connection: move_due(connection, "ours", NOW, NOW + WEEK, NOW))
    row = await control.read(lambda connection: read_schedule(connection, "ours"))
    assert row is not None
    assert row.due_at == NOW + WEEK


async def test_a_projects_own_schedule_lies_over_the_settings(control: ControlDatabase) -> None:
    await control.write(lambda connection: write_schedule(connection, "ours", {"hour": 0, "time_zone": "Asia/Tokyo"}, NOW))
    rows = dict(await control.read(list_schedules))
    assert rows["default"] is None
    row = rows["ours"]
    assert row is not None
    assert row.over(ReportSettings(weekday="friday")) == Schedule(True, "friday", 0, "Asia/Tokyo")
