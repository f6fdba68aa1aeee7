"""The weekly report: made once for each week by whichever process comes first, caught up after a stand-still, told once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, delete, insert

from alerting.outbox import claim_message
from api.base import StartError
from api.reporting import CAUGHT_UP_WEEKS, Reporter, ReportSchedule, check_channels
from api.services import Services
from schemas.control.alerting import channels
from schemas.control.core import projects
from schemas.sections import AlertingSettings, SlackChannel
from storage.deliveries import Delivery, list_deliveries
from storage.reports import ReportEntry, find_report, list_reports, read_schedule, write_schedule
from tests.api.report_fixtures import MovedClock, reporter, with_report
from tests.ingest.spans import ingest_spans, make_span

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
# Two weeks ago on a Wednesday, so that the weeks reported lie within the retention.
WEDNESDAY = NOON - timedelta(days=(NOON.weekday() - 2) % 7 + 14)
MONDAY_8 = (WEDNESDAY + timedelta(days=5)).replace(hour=8)


@pytest.fixture
async def parts(services: Services) -> Services:
    """Services with one project, `ours`, and a report on Mondays at 8 told to `team`."""

    def prepare(connection: Connection) -> None:
        connection.execute(delete(projects))
        connection.execute(insert(projects).values(name="ours", created_at=WEDNESDAY))
        connection.execute(insert(channels).values(name="team", type="slack", configured=True, address_hash=""))

    await services.control.write(prepare)
    return with_report(services, MovedClock(WEDNESDAY), channels=("team",))


def moved(parts: Services, to: datetime) -> None:
    assert isinstance(parts.clock, MovedClock)
    parts.clock.now = to


async def reports(parts: Services) -> list[ReportEntry]:
    return await parts.control.read(lambda connection: list_reports(connection, "ours"))


async def told(parts: Services) -> Sequence[Delivery]:
    return await parts.control.read(lambda connection: list_deliveries(connection, "ours"))


async def due_at(parts: Services) -> datetime | None:
    row = await parts.control.read(lambda connection: read_schedule(connection, "ours"))
    return None if row is None else row.due_at


async def traffic(parts: Services, at: datetime) -> None:
    await ingest_spans(parts.store, "ours", [make_span(start=at)], received_at=at + timedelta(seconds=5))


async def test_a_report_is_made_when_it_is_due_and_told_with_it(parts: Services) -> None:
    await traffic(parts, MONDAY_8 - timedelta(days=2))
    maker = reporter(parts)
    assert await maker.run_due() == 0
    assert await due_at(parts) == MONDAY_8
    moved(parts, MONDAY_8 - timedelta(seconds=1))
    assert await maker.run_due() == 0
    moved(parts, MONDAY_8)
    assert await maker.run_due() == 1
    assert await maker.run_due() == 0
    (entry,) = await reports(parts)
    week = MONDAY_8.replace(hour=0)
    assert (entry.starts_at, entry.ends_at, entry.created_by) == (week - timedelta(days=7), week, "schedule")
    (delivery,) = await told(parts)
    assert (delivery.channel, delivery.fingerprint, delivery.state) == ("team", entry.id, "pending")
    assert await due_at(parts) == MONDAY_8 + timedelta(days=7)


async def test_its_message_is_the_next_to_go_out(parts: Services) -> None:
    await traffic(parts, MONDAY_8 - timedelta(days=2))
    await reporter(parts).run_due()
    moved(parts, MONDAY_8)
    await reporter(parts).run_due()
    message = await parts.control.write(lambda connection: claim_message(connection, MONDAY_8, "w", ["team"]))
    assert message is not None
    assert message.report is not None
    assert message.notices == ()
    assert message.report.links["report"].endswith(".html")
    assert message.report.figures["Requests"].startswith("1")


async def test_several_processes_make_one_report_and_one_message(parts: Services) -> None:
    await traffic(parts, MONDAY_8 - timedelta(days=2))
    await reporter(parts).run_due()
    moved(parts, MONDAY_8 + timedelta(minutes=1))
    made = await asyncio.gather(*(reporter(parts).run_due() for _ in range(4)))
    assert sum(made) == 1
    assert len(await reports(parts)) == 1
    assert len(await told(parts)) == 1


async def test_missed_weeks_are_caught_up_once_each(parts: Services) -> None:
    await traffic(parts, MONDAY_8 - timedelta(days=2))
    await reporter(parts).run_due()
    moved(parts, MONDAY_8 + timedelta(days=8))
    assert await reporter(parts).run_due() == 2
    assert await reporter(parts).run_due() == 0
    assert {entry.period_key is not None for entry in await reports(parts)} == {True}
    assert len(await told(parts)) == 2
    assert await due_at(parts) == MONDAY_8 + timedelta(days=14)


async def test_after_a_long_stand_still_the_latest_weeks_are_caught_up(parts: Services) -> None:
    await reporter(parts).run_due()
    moved(parts, MONDAY_8 + timedelta(weeks=9, hours=1))
    assert await reporter(parts).run_due() == CAUGHT_UP_WEEKS
    newest = max(entry.ends_at for entry in await reports(parts))
    assert newest == (MONDAY_8 + timedelta(weeks=9)).replace(hour=0)


async def test_a_project_without_spans_gets_its_report_and_no_message(parts: Services) -> None:
    await reporter(parts).run_due()
    moved(parts, MONDAY_8)
    assert await reporter(parts).run_due() == 1
    assert await told(parts) == []


async def test_a_week_is_not_reported_again_when_the_hour_changes(parts: Services) -> None:
    await traffic(parts, MONDAY_8 - timedelta(days=2))
    await reporter(parts).run_due()
    moved(parts, MONDAY_8)
    await reporter(parts).run_due()
    await parts.control.write(lambda connection: write_schedule(connection, "ours", {"hour": 10}, MONDAY_8))
    await reporter(parts).run_due()
    assert await due_at(parts) == MONDAY_8.replace(hour=10)
    moved(parts, MONDAY_8 + timedelta(hours=2))
    assert await reporter(parts).run_due() == 0
    assert len(await told(parts)) == 1
    assert await due_at(parts) == MONDAY_8.replace(hour=10) + timedelta(days=7)


async def test_a_schedule_that_is_switched_off_is_never_due(parts: Services) -> None:
    await reporter(parts).run_due()
    await parts.control.write(lambda connection: write_schedule(connection, "ours", {"enabled": False}, WEDNESDAY))
    moved(parts, MONDAY_8)
    assert await reporter(parts).run_due() == 0
    assert await due_at(parts) is None


async def test_what_cannot_be_read_stays_due(parts: Services) -> None:
    await reporter(parts).run_due()
    moved(parts, MONDAY_8)
    narrow = parts.settings.query.model_copy(update={"max_range_days": 1})
    settings = parts.settings.model_copy(update={"query": narrow})
    broken = Reporter(type(reporter(parts)._sources)(parts.store, parts.control, settings, parts.clock, "test"))
    assert await broken.run_due() == 0
    assert await due_at(parts) == MONDAY_8
    assert await reporter(parts).run_due() == 1


async def test_the_schedule_looks_when_it_starts_and_stops_cleanly(parts: Services) -> None:
    schedule = ReportSchedule(reporter(parts), every_s=3600)
    await schedule.stop()
    schedule = ReportSchedule(reporter(parts), every_s=3600)
    await schedule.start()
    async with asyncio.timeout(60):
        while await due_at(parts) is None:
            await asyncio.sleep(0.05)
    await schedule.stop()
    await schedule.stop()


async def test_what_was_stored_is_what_was_made(parts: Services) -> None:
    stored = await reporter(parts).make("ours", WEDNESDAY - timedelta(days=1), WEDNESDAY, "ann")
    found = await parts.control.read(lambda connection: find_report(connection, "ours", stored.entry.id))
    assert found == stored
    assert await told(parts) == []


def test_a_channel_that_is_not_configured_is_refused(services: Services) -> None:
    parts = with_report(services, MovedClock(WEDNESDAY), channels=("team",))
    with pytest.raises(StartError, match=r"alerting\.channels has not \(it has none\)"):
        check_channels(parts.settings)
    slack: Any = SlackChannel(name="team", url=SecretStr("https://hooks.slack.example/x"))
    check_channels(parts.settings.model_copy(update={"alerting": AlertingSettings(channels=(slack,))}))
