"""Whether the control database has the schema of this version; roles of their own do not migrate it by themselves."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import storage
from api.base import StartError
from storage.control import ControlDatabase


async def require_current(control: ControlDatabase) -> None:
    """Nothing, when the schema is this version's.

    Raises:
        StartError: there is none, or it is another version's.
        ControlError: the database does not answer.
    """
    wanted, found = head(), await control.read(revision)
    if found != wanted:
        raise StartError(
            f"the control database has {f'the schema {found}' if found else 'no schema yet'}, this version needs {wanted}: "
            "run `tracewarden migrate` with this version"
        )


def head() -> str | None:
    """The schema of this version."""
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "alembic"))
    return ScriptDirectory.from_config(config).get_current_head()


def revision(connection: Connection) -> str | None:
    """The schema that the database has."""
    return MigrationContext.configure(connection).get_current_revision()
