"""API keys: 256 random bits, shown once, kept as HMAC-SHA256 under a pepper that is not in the database."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Connection, RowMapping, insert, or_, select, update

from schemas.control.core import DEFAULT_PROJECT, api_keys, projects
from schemas.settings import AuthSettings, read_secret

SCOPES = frozenset({"ingest", "feedback", "read", "control", "admin"})
PREFIX = "tw_"
PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class KeyRequestError(ValueError):
    """A key cannot be made as asked; the message says what would do."""


@dataclass(frozen=True)
class Principal:
    """Who is calling: one key of one project."""

    project: str
    scopes: frozenset[str]
    key_id: str
    name: str


@dataclass(frozen=True)
class NewKey:
    """A key just made. `key` is shown to its owner and kept nowhere."""

    key: str = field(repr=False)
    id: str


@dataclass(frozen=True)
class KeyInfo:
    """A key as it may be listed."""

    id: str
    project: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None


# The caller without a key, where none is needed: on loopback.
ANONYMOUS = Principal(DEFAULT_PROJECT, SCOPES, "", "anonymous")


def create_key(
    connection: Connection, project: str, scopes: Iterable[str], name: str, pepper: SecretStr, now: datetime
) -> NewKey:
    """Make a key; the project comes into being with its first one.

    Raises:
        KeyRequestError: a scope is unknown or none is given, or the project's name is malformed.
    """
    granted = _checked_scopes(scopes)
    _ensure_project(connection, project, now)
    new = NewKey(key=PREFIX + secrets.token_urlsafe(32), id="key_" + secrets.token_hex(8))
    connection.execute(
        insert(api_keys).values(
            id=new.id, project=project, name=name, scopes=sorted(granted), digest=_digest(new.key, pepper), created_at=now
        )
    )
    return new


def find_key(connection: Connection, presented: str, pepper: SecretStr, now: datetime) -> Principal | None:
    """Whose key this is; None when it is unknown or revoked."""
    query = select(api_keys).where(
        api_keys.c.digest == _digest(presented, pepper), or_(api_keys.c.revoked_at.is_(None), api_keys.c.revoked_at > now)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Principal(row["project"], frozenset(row["scopes"]), row["id"], row["name"])


def list_keys(connection: Connection, project: str | None = None) -> list[KeyInfo]:
    """The keys of a project, or of all, oldest first; revoked ones too."""
    query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
    if project is not None:
        query = query.where(api_keys.c.project == project)
    return [_info(row) for row in connection.execute(query).mappings()]


def revoke_key(connection: Connection, key_id: str, now: datetime) -> bool:
    """End a key at once; False when there is none of this id that is still valid."""
    statement = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(statement).rowcount == 1


def load_pepper(auth: AuthSettings, data_dir: Path) -> SecretStr:
    """The pepper from the settings, else from `<data_dir>/pepper`, which is made on first use (mode 0600).

    Raises:
        ValueError: the settings give it twice, or it cannot be read.
    """
    given = read_secret(auth.pepper, auth.pepper_file)
    if given is not None:
        return given
    file = data_dir / "pepper"
    if not file.exists():
        _create_pepper(file)
    kept = read_secret(None, file)
    if kept is None or len(kept.get_secret_value()) < 43:
        raise ValueError(f"{file} holds no pepper: restore it from a backup, or delete it and create every API key anew")
    return kept


def _create_pepper(file: Path) -> None:
    """Write it beside its place and link it there, so that of several processes one wins and none reads half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".pepper.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
            stream.flush()
            os.fsync(stream.fileno())
        file.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    granted = frozenset(scopes)
    unknown = granted - SCOPES
    if unknown or not granted:
        what = f"unknown scopes {', '.join(sorted(unknown))}" if unknown else "a key needs at least one scope"
        raise KeyRequestError(f"{what}: choose from {', '.join(sorted(SCOPES))}")
    return granted


def _ensure_project(connection: Connection, project: str, now: datetime) -> None:
    if not PROJECT_NAME.fullmatch(project):
        raise KeyRequestError(f"{project!r} is no project name: use up to 128 letters, digits, '.', '_' and '-'")
    if connection.execute(select(projects.c.name).where(projects.c.name == project)).first() is None:
        connection.execute(insert(projects).values(name=project, created_at=now))


def _digest(key: str, pepper: SecretStr) -> str:
    return hmac.new(pepper.get_secret_value().encode(), key.encode(), hashlib.sha256).hexdigest()


def _info(row: RowMapping) -> KeyInfo:
    return KeyInfo(
        row["id"], row["project"], row["name"], frozenset(row["scopes"]), row["created_at"], revoked_at=row["revoked_at"]
    )
