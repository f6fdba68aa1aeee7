"""`tracewarden report`: a report of a range as files.

The stores are opened by the command itself wherever they can be: on a server always, embedded when no process serves
them. Where `serve` has them open, that process is asked, at the host and port of the settings or at `--url`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from analyzers.report.sources import Sources
from api.base import open_control, open_store, utc_now, version
from api.control_schema import require_current
from api.datadir import DataDirLock, holder
from api.reporting import Reporter
from schemas.api.base import rfc3339
from schemas.control.core import DEFAULT_PROJECT
from schemas.settings import Settings
from storage.migrations import migrate_store

WEEK = timedelta(days=7)
TIMEOUT_S = 600.0
BY_HAND = "tracewarden report"


class ReportError(Exception):
    """No report was made; the message names the fix."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for: a range, a folder, and who is asked. `project` matters where the stores are opened here."""

    start: datetime | None
    end: datetime | None
    out: Path
    url: str | None = None
    key_file: Path | None = None
    project: str | None = None


@dataclass(frozen=True)
class Made:
    """The forms of a report, by ending."""

    name: str
    forms: dict[str, str]


async def write_report(settings: Settings, wanted: Wanted) -> list[Path]:
    """Make the report and write it; the files.

    Raises:
        ReportError: nobody could make it, or the folder cannot be written.
        QueryError, StoreError, ControlError, DataDirError: the stores refused.
    """
    url = wanted.url or _serving(settings)
    made = await (_ask(url, wanted) if url else _make(settings, wanted))
    try:
        wanted.out.mkdir(parents=True, exist_ok=True)
        files = {wanted.out / f"{made.name}.{ending}": text for ending, text in made.forms.items()}
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{wanted.out} cannot be written ({error.strerror}): pass --out with a writable folder") from error
    return list(files)


def _serving(settings: Settings) -> str | None:
    """Where to ask the process that has the embedded store open; None: it is free, or on a server."""
    if settings.clickhouse_url is not None or holder(settings.data_dir) is None:
        return None
    if settings.port == 0:
        raise ReportError(f"{settings.data_dir} is used by another process: pass --url with the address it printed")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - where to ask, not to listen
    return f"http://{host}:{settings.port}"


async def _make(settings: Settings, wanted: Wanted) -> Made:
    end = wanted.end or utc_now()
    lock = DataDirLock(settings.data_dir)
    if settings.clickhouse_url is None:
        lock.acquire()
    control, store = open_control(settings), open_store(settings, settings.query.threads)
    try:
        if settings.database_url is None:
            await control.migrate()
        else:
            await require_current(control)
        if store.embedded:
            await migrate_store(store, retention_days=settings.ingest.retention_days)
        reporter = Reporter(Sources(store, control, settings, utc_now, version()))
        stored = await reporter.make(wanted.project or DEFAULT_PROJECT, wanted.start or end - WEEK, end, BY_HAND)
    finally:
        await store.close()
        await control.close()
        lock.release()
    forms = {"html": stored.html, "json": json.dumps(stored.data, ensure_ascii=False, indent=1), "md": stored.markdown}
    return Made(file_name(stored.entry.project, stored.entry.starts_at, stored.entry.ends_at), forms)


async def _ask(url: str, wanted: Wanted) -> Made:
    body = {name: rfc3339(at) for name, at in (("from", wanted.start), ("to", wanted.end)) if at is not None}
    headers = {"Authorization": f"Bearer {_key(wanted.key_file)}"} if wanted.key_file else {}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
            entry = _answer(await client.post("/v1/reports", json=body), url).json()
            forms = {link.rpartition(".")[2]: _answer(await client.get(link), url).text for link in entry["links"].values()}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ReportError(
            f"{url} does not answer ({type(error).__name__}), and the process there has the stores open: pass --url with the "
            "address that `tracewarden serve` printed, or stop it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{url} is not Tracewarden: pass --url with the address that `tracewarden serve` printed") from error
    data = json.loads(forms["json"])
    return Made(file_name(data["project"], *(datetime.fromisoformat(data[name]) for name in ("start", "end"))), forms)


def _answer(answer: httpx.Response, url: str) -> httpx.Response:
    if answer.is_success:
        return answer
    if answer.headers.get("content-type") != "application/problem+json":
        raise ReportError(f"{url} answers {answer.status_code}: pass --url with the address that `tracewarden serve` printed")
    detail = answer.json()["detail"]
    hint = "; pass --key-file with a key of the scopes read and control" if answer.status_code in (401, 403) else ""
    raise ReportError(f"{url} refuses: {detail}{hint}")


def _key(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise ReportError(f"the key file {file} cannot be read ({error.strerror}): check its path and permissions") from error


def file_name(project: str, start: datetime, end: datetime) -> str:
    """Sortable, and made of letters that every file system takes."""
    plain = "".join(character if character.isalnum() or character in "-_" else "_" for character in project)[:60]
    return f"report-{plain}-{start:%Y%m%dT%H%M}-{end:%Y%m%dT%H%M}"
