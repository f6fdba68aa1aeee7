"""The contract of the control database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from schemas.control import metadata
from schemas.control.core import api_keys, audit, projects
from storage.audit import read_audit, record
from storage.control import ControlDatabase, ControlError, sqlite_url

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def add_project(connection: Connection, name: str = "shop", at: datetime = NOW) -> None:
    connection.execute(insert(projects).values(name=name, created_at=at))


def project_names(connection: Connection) -> list[str]:
    return list(connection.execute(select(projects.c.name).order_by(projects.c.name)).scalars())


async def test_migrations_build_exactly_the_tables_of_the_metadata(control: ControlDatabase) -> None:
    differences = await control.read(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}), metadata
        )
    )
    assert differences == []


async def test_migrating_again_and_from_several_processes_changes_nothing(control_url: str) -> None:
    databases = [ControlDatabase(control_url) for _ in range(3)]
    await asyncio.gather(*(database.migrate() for database in databases))
    await databases[0].migrate()
    assert await databases[0].read(project_names) == ["default"]
    for database in databases:
        await database.close()


async def test_what_was_written_is_read_by_another_connection(control: ControlDatabase, control_url: str) -> None:
    await control.write(add_project)
    other = ControlDatabase(control_url)
    assert await other.read(project_names) == ["default", "shop"]
    await other.close()


async def test_an_exception_rolls_everything_back(control: ControlDatabase) -> None:
    def fail(connection: Connection) -> None:
        add_project(connection)
        raise LookupError("half way")

    with pytest.raises(LookupError, match="half way"):
        await control.write(fail)
    assert await control.read(project_names) == ["default"]


async def test_a_read_keeps_nothing(control: ControlDatabase) -> None:
    await control.read(add_project)
    assert await control.read(project_names) == ["default"]


async def test_foreign_keys_hold(control: ControlDatabase) -> None:
    row = {"id": "k", "project": "nowhere", "name": "n", "scopes": [], "digest": "d", "created_at": NOW}
    with pytest.raises(IntegrityError):
        await control.write(lambda connection: connection.execute(insert(api_keys).values(row)))


async def test_concurrent_read_modify_write_loses_nothing(control: ControlDatabase, control_url: str) -> None:
    other = ControlDatabase(control_url)
    await control.write(add_project)

    def add_an_hour(connection: Connection) -> None:
        seen = connection.execute(select(projects.c.created_at).where(projects.c.name == "shop")).scalar_one()
        connection.execute(update(projects).where(projects.c.name == "shop").values(created_at=seen + timedelta(hours=1)))

    await asyncio.gather(*(database.write(add_an_hour) for database in [control, other] * 10))
    found = await control.read(
        lambda connection: connection.execute(select(projects.c.created_at).where(projects.c.name == "shop")).scalar_one()
    )
    assert found == NOW + timedelta(hours=20)
    await other.close()


async def test_moments_come_back_aware_and_in_utc(control: ControlDatabase) -> None:
    tokyo = datetime(2026, 3, 1, 21, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    await control.write(lambda connection: add_project(connection, at=tokyo))
    found = await control.read(
        lambda connection: connection.execute(select(projects.c.created_at).where(projects.c.name == "shop")).scalar_one()
    )
    assert found == tokyo
    assert found.tzinfo is UTC


async def test_a_moment_without_zone_is_refused(control: ControlDatabase) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(StatementError, match="no time zone"):
        await control.write(lambda connection: add_project(connection, at=naive))


def audit_line(connection: Connection, action: str = "promote") -> None:
    record(
        connection,
        project="default",
        actor="ann",
        action=action,
        subject="target:chat",
        before=None,
        after={"generation": 2},
        source="127.0.0.1",
        now=NOW,
    )


async def test_the_audit_log_reads_newest_first_and_by_page(control: ControlDatabase) -> None:
    for action in ("create", "promote", "rollback"):
        await control.write(partial(audit_line, action=action))
    lines = await control.read(lambda connection: read_audit(connection, "default", subject="target:chat", limit=2))
    assert [line.action for line in lines] == ["rollback", "promote"]
    assert lines[0].after == {"generation": 2}
    assert lines[0].before is None
    rest = await control.read(lambda connection: read_audit(connection, "default", before_id=lines[-1].id))
    assert [line.action for line in rest] == ["create"]
    assert await control.read(lambda connection: read_audit(connection, "elsewhere")) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'bob'", "DELETE FROM audit"])
async def test_the_database_refuses_to_change_the_audit_log(control: ControlDatabase, statement: str) -> None:
    await control.write(audit_line)
    with pytest.raises(DBAPIError, match="append only"):
        await control.write(lambda connection: connection.execute(text(statement)))
    assert len(await control.read(lambda connection: connection.execute(select(audit)).all())) == 1


async def test_replacing_or_truncating_the_audit_log_is_refused_too(control: ControlDatabase) -> None:
    await control.write(audit_line)

    def evade(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            columns = "id, project, at, actor, action, subject, source"
            connection.execute(text(f"INSERT OR REPLACE INTO audit ({columns}) VALUES (1, 'p', '2026', 'b', 'c', 'd', 'e')"))
        else:
            connection.execute(text("TRUNCATE audit"))

    with pytest.raises(DBAPIError, match="append only"):
        await control.write(evade)


async def test_sqlite_is_set_up_to_keep_what_it_acknowledged(tmp_path: Path) -> None:
    database = ControlDatabase(sqlite_url(tmp_path))

    def pragmas(connection: Connection) -> list[object]:
        return [
            connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert await database.read(pragmas) == ["wal", 2, 1]
    await database.close()


async def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    database = ControlDatabase(sqlite_url(tmp_path))
    await database.close()
    await database.close()


async def test_a_database_that_cannot_be_opened_says_what_to_check(tmp_path: Path) -> None:
    database = ControlDatabase(f"sqlite:///{tmp_path}/missing/control.db")
    with pytest.raises(ControlError, match=r"missing/control\.db cannot be used .* check its folder"):
        await database.migrate()
    await database.close()


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    database = ControlDatabase("postgresql+psycopg://ann:hush@127.0.0.1:1/control")
    with pytest.raises(ControlError, match="check that it runs") as caught:
        await database.read(project_names)
    assert "hush" not in str(caught.value)
    await database.close()


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(ControlError, match="must be a file"):
        ControlDatabase("sqlite:///:memory:")
