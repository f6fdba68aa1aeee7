"""API keys on both control databases."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, select

from schemas.control.core import api_keys
from schemas.settings import AuthSettings
from storage.control import ControlDatabase
from storage.keys import KeyRequestError, NewKey, Principal, create_key, find_key, list_keys, load_pepper, revoke_key

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PEPPER = SecretStr("pepper")


async def make(control: ControlDatabase, project: str = "shop", scopes: tuple[str, ...] = ("read", "ingest")) -> NewKey:
    return await control.write(lambda connection: create_key(connection, project, scopes, "gateway", PEPPER, NOW))


async def find(control: ControlDatabase, key: str, pepper: SecretStr = PEPPER) -> Principal | None:
    return await control.read(lambda connection: find_key(connection, key, pepper, NOW))


async def test_a_key_opens_its_project_with_its_scopes(control: ControlDatabase) -> None:
    new = await make(control)
    assert new.key.startswith("tw_")
    assert len(new.key) == 3 + 43
    assert await find(control, new.key) == Principal("shop", frozenset({"read", "ingest"}), new.id, "gateway")


async def test_another_key_or_another_pepper_opens_nothing(control: ControlDatabase) -> None:
    new = await make(control)
    assert await find(control, new.key + "x") is None
    assert await find(control, new.key, SecretStr("other")) is None


async def test_the_key_itself_is_kept_nowhere_and_not_shown_by_accident(control: ControlDatabase) -> None:
    new = await make(control)
    rows = await control.read(lambda connection: connection.execute(select(api_keys)).all())
    assert new.key not in repr(rows)
    assert new.key not in repr(new)


async def test_a_revoked_key_stays_listed_and_opens_nothing(control: ControlDatabase) -> None:
    new = await make(control)
    assert await control.write(lambda connection: revoke_key(connection, new.id, NOW))
    assert not await control.write(lambda connection: revoke_key(connection, new.id, NOW + timedelta(hours=1)))
    assert await find(control, new.key) is None
    (info,) = await control.read(lambda connection: list_keys(connection, "shop"))
    assert info.revoked_at == NOW
    assert info.scopes == {"read", "ingest"}


async def test_keys_are_listed_by_project(control: ControlDatabase) -> None:
    await make(control, "shop")
    await make(control, "desk")

    def projects_of(connection: Connection, project: str | None) -> list[str]:
        return sorted(info.project for info in list_keys(connection, project))

    assert await control.read(lambda connection: projects_of(connection, None)) == ["desk", "shop"]
    assert await control.read(lambda connection: projects_of(connection, "desk")) == ["desk"]


@pytest.mark.parametrize(
    ("project", "scopes", "message"),
    [
        ("shop", (), "at least one scope"),
        ("shop", ("root",), "unknown scopes root: choose from admin, control, feedback, ingest, read"),
        ("../shop", ("read",), "is no project name"),
    ],
)
async def test_a_key_that_cannot_be_made_says_what_would_do(
    control: ControlDatabase, project: str, scopes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(KeyRequestError, match=message):
        await make(control, project, scopes)


def test_the_pepper_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = load_pepper(AuthSettings(), folder)
    assert load_pepper(AuthSettings(), folder) == first
    assert stat.S_IMODE((folder / "pepper").stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == ["pepper"]


def test_the_pepper_of_the_settings_comes_first(tmp_path: Path) -> None:
    assert load_pepper(AuthSettings(pepper=PEPPER), tmp_path) == PEPPER
    assert list(tmp_path.iterdir()) == []


def test_an_empty_pepper_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("")
    with pytest.raises(ValueError, match="holds no pepper"):
        load_pepper(AuthSettings(), tmp_path)
