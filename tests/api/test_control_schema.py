"""A role of its own does not start on a control database of another version."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from api.base import StartError
from api.control_schema import require_current
from storage.control import ControlDatabase


async def test_none_then_current_then_another(control_url: str) -> None:
    control = ControlDatabase(control_url)
    try:
        with pytest.raises(StartError, match=r"no schema yet, this version needs .*: run `tracewarden migrate`"):
            await require_current(control)
        await control.migrate()
        await require_current(control)
        await control.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '0001'")))
        with pytest.raises(StartError, match="has the schema 0001, this version needs"):
            await require_current(control)
    finally:
        await control.close()
