"""The command line. Errors are one line and name the fix; 2 means the settings or arguments, 1 what was met on the way.

What only one command needs is imported by that command: `keys` and `config` would take three times as long with all of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from api.base import ALL_ROLES, StartError, open_control, utc_now, version
from api.configuration import ConfigurationError, read_settings, shown_values, sources
from api.datadir import DataDirError, PepperError, read_pepper
from api.listeners import ListenError
from api.settings_catalogue import CONFIG_VARIABLE
from ingest.kafka_topics import KafkaUnusableError
from schemas.instant import parse_instant
from schemas.settings import Settings
from storage.clickhouse import StoreBusyError, StoreError
from storage.control import ControlDatabase, ControlError
from storage.keys import SCOPES, KeyRequestError, create_key, list_keys, revoke_key
from storage.migrations import SchemaMismatchError
from storage.scope import QueryError

T = TypeVar("T")

EXPECTED: tuple[type[Exception], ...] = (
    StartError,
    KafkaUnusableError,
    DataDirError,
    PepperError,
    ListenError,
    StoreError,
    ControlError,
    KeyRequestError,
    QueryError,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tracewarden watches LLM applications in production: traces in, regressions found, releases rolled back.",
)
keys_app = typer.Typer(no_args_is_help=True, help="API keys.")
config_app = typer.Typer(no_args_is_help=True, help="The settings in force.")
app.add_typer(keys_app, name="keys")
app.add_typer(config_app, name="config")

Config = Annotated[Path | None, typer.Option("--config", envvar=CONFIG_VARIABLE, help="YAML file with settings.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of everything that is kept. [default: data]")]
Host = Annotated[str | None, typer.Option("--host", help="Address that every listener binds to. [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", help="Port of API, health and metrics; 0: a free one. [default: 8080]")]
HttpPort = Annotated[int | None, typer.Option("--otlp-http-port", help="Port of OTLP/HTTP; 0: a free one. [default: 4318]")]
GrpcPort = Annotated[int | None, typer.Option("--otlp-grpc-port", help="Port of OTLP/gRPC; 0: a free one. [default: 4317]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Project = Annotated[str, typer.Option("--project", help="Project of the key.")]


def main() -> None:
    """Entry point of the `tracewarden` command. Libraries' own words about failures that we explain stay unseen."""
    logging.basicConfig(handlers=[logging.NullHandler()])
    app()


@app.callback(invoke_without_command=True)
def _root(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show_version:
        typer.echo(version())
        raise typer.Exit


@app.command("serve")
def serve_command(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    otlp_http_port: HttpPort = None,
    otlp_grpc_port: GrpcPort = None,
    config: Config = None,
) -> None:
    """Run every role in one process."""
    flags = given(data_dir=data_dir, host=host, port=port, otlp_http_port=otlp_http_port, otlp_grpc_port=otlp_grpc_port)
    settings = read(config, flags)
    _run(settings, ALL_ROLES)


@app.command("ingest")
def ingest_command(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    otlp_http_port: HttpPort = None,
    otlp_grpc_port: GrpcPort = None,
    config: Config = None,
) -> None:
    """Receive traces and put them on Kafka (health and metrics on --port)."""
    flags = given(data_dir=data_dir, host=host, port=port, otlp_http_port=otlp_http_port, otlp_grpc_port=otlp_grpc_port)
    _run_role("ingest", config, flags)


@app.command("write")
def write_command(data_dir: DataDir = None, host: Host = None, port: Port = None, config: Config = None) -> None:
    """Write from Kafka into ClickHouse (health and metrics on --port)."""
    _run_role("write", config, given(data_dir=data_dir, host=host, port=port))


@app.command("analyze")
def analyze_command(data_dir: DataDir = None, host: Host = None, port: Port = None, config: Config = None) -> None:
    """Score what is stored: drift, toxicity, grounding, quality; send the weekly report (health and metrics on --port)."""
    _run_role("analyze", config, given(data_dir=data_dir, host=host, port=port))


@app.command("alert")
def alert_command(data_dir: DataDir = None, host: Host = None, port: Port = None, config: Config = None) -> None:
    """Evaluate rules, deliver notifications, carry out rollbacks (health and metrics on --port)."""
    _run_role("alert", config, given(data_dir=data_dir, host=host, port=port))


@app.command("api")
def api_command(data_dir: DataDir = None, host: Host = None, port: Port = None, config: Config = None) -> None:
    """Serve the query and control API."""
    _run_role("api", config, given(data_dir=data_dir, host=host, port=port))


@app.command("migrate")
def migrate_command(data_dir: DataDir = None, config: Config = None) -> None:
    """Bring the control database, the trace store and the Kafka topics up to date."""
    from api.migration import migrate

    settings = read(config, given(data_dir=data_dir))
    for line in _guarded(lambda: asyncio.run(migrate(settings))):
        typer.echo(line)


@app.command("doctor")
def doctor_command(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    otlp_http_port: HttpPort = None,
    otlp_grpc_port: GrpcPort = None,
    config: Config = None,
) -> None:
    """Try every connection; say what is wrong and what to do about it."""
    from api.doctor import examine, report

    flags = given(data_dir=data_dir, host=host, port=port, otlp_http_port=otlp_http_port, otlp_grpc_port=otlp_grpc_port)
    settings = read(config, flags)
    findings = asyncio.run(examine(settings))
    for line in report(findings):
        typer.echo(line)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


@app.command("report")
def report_command(
    start: Annotated[
        str | None, typer.Option("--from", help="RFC 3339 or epoch milliseconds. [default: a week before --to]")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339 or epoch milliseconds, excluded. [default: now]")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files. [default: here]", show_default=False)] = Path(),
    url: Annotated[str | None, typer.Option("--url", help="A Tracewarden to ask, instead of the stores of --data-dir.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="File with the API key to ask with.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Project, where the stores are opened here; else the key's.")
    ] = None,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    config: Config = None,
) -> None:
    """Make a report of a range and write it as HTML, JSON and Markdown. Where `serve` runs, it is asked (--host, --port)."""
    from api.report_command import ReportError, Wanted, write_report

    settings = read(config, given(data_dir=data_dir, host=host, port=port))
    wanted = Wanted(_instant("--from", start), _instant("--to", end), out, url, key_file, project)
    for file in _guarded(lambda: asyncio.run(write_report(settings, wanted)), ReportError):
        typer.echo(str(file))


def _instant(flag: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        _fail(f"{flag}: {error}", 2)


@config_app.command("show")
def config_show(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Every setting in force and where it came from; secrets are hidden."""
    flags = given(data_dir=data_dir)
    settings = read(config, flags)
    values, origins = shown_values(settings), sources(config, flags, os.environ)
    if as_json:
        typer.echo(json.dumps({name: {"value": values[name], "source": origins[name]} for name in values}, indent=2))
        return
    rows = [[name, "unset" if value is None else str(value), origins[name]] for name, value in values.items()]
    _print_table(["setting", "value", "source"], rows)


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Option("--name", help="What the key is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help=f"One of {', '.join(sorted(SCOPES))}; may be repeated.")],
    project: Project = "default",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: this is the only time it is shown."""
    settings = read(config, given(data_dir=data_dir))
    pepper = _guarded(lambda: read_pepper(settings))
    new = _in_control(settings, lambda c: create_key(c, project, scope, name, pepper, utc_now()), write=True)
    if as_json:
        typer.echo(json.dumps({"id": new.id, "key": new.key, "project": project, "scopes": sorted(scope), "name": name}))
        return
    typer.echo(new.key)
    typer.echo(f"{new.id}, project {project}, {' '.join(sorted(scope))}. Keep the key now: it is not shown again.", err=True)


@keys_app.command("list")
def keys_list(
    project: Annotated[str | None, typer.Option("--project", help="Only the keys of this project.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List keys, revoked ones too; the keys themselves are not kept."""
    settings = read(config, given(data_dir=data_dir))
    found = _in_control(settings, lambda connection: list_keys(connection, project))
    rows = [[key.id, key.project, key.name, " ".join(sorted(key.scopes)), _state(key.revoked_at is not None)] for key in found]
    columns = ["id", "project", "name", "scopes", "state"]
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
    else:
        _print_table(columns, rows)


def _state(revoked: bool) -> str:
    return "revoked" if revoked else "active"


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `keys list` shows it.")],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """End a key; running processes notice within seconds."""
    settings = read(config, given(data_dir=data_dir))
    if not _in_control(settings, lambda connection: revoke_key(connection, key_id, utc_now()), write=True):
        _fail(f"there is no active key {key_id}: `tracewarden keys list` shows them", 1)
    typer.echo(f"{key_id} is revoked")


def given(**flags: object) -> dict[str, object]:
    """The flags that were given: the others leave their settings to the environment, the file and the defaults."""
    return {name: value for name, value in flags.items() if value is not None}


def read(config: Path | None, flags: dict[str, object]) -> Settings:
    """The settings, or their problems on standard error and exit code 2."""
    try:
        return read_settings(config, flags, os.environ)
    except ConfigurationError as error:
        for problem in error.problems:
            typer.echo(f"settings: {problem}", err=True)
        raise typer.Exit(2) from error


def _run_role(role: str, config: Path | None, flags: dict[str, object]) -> None:
    settings = read(config, flags)
    try:
        settings.require_cluster(role)
    except ValueError as error:
        _fail(f"settings: {error}", 2)
    _run(settings, (role,))


def _run(settings: Settings, roles: Sequence[str]) -> None:
    from api.serve import serve

    _guarded(lambda: serve(settings, roles))


def _in_control(settings: Settings, work: Callable[[Connection], T], *, write: bool = False) -> T:
    async def transact() -> T:
        control = open_control(settings)
        try:
            return await _transact(control, work, write)
        finally:
            await control.close()

    return _guarded(lambda: asyncio.run(transact()))


async def _transact(control: ControlDatabase, work: Callable[[Connection], T], write: bool) -> T:
    await control.migrate()
    run_in: Callable[[Callable[[Connection], T]], Awaitable[T]] = control.write if write else control.read
    return await run_in(work)


def _guarded(work: Callable[[], T], *expected: type[Exception]) -> T:
    """Run `work`; an error that names its own fix becomes one line and exit code 1; others are faults."""
    try:
        return work()
    except EXPECTED + expected as error:
        _fail(_words(error), 1)


def _words(error: Exception) -> str:
    silent = isinstance(error, StoreError) and error.code is None
    if silent and not isinstance(error, StoreBusyError | SchemaMismatchError):
        return "the trace store does not answer: check clickhouse_url, and that the server runs"
    return str(error)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"tracewarden: {message}" if code == 1 else message, err=True)
    raise typer.Exit(code)


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    wide = None if sys.stdout.isatty() else 500
    Console(width=wide, soft_wrap=True).print(table, markup=False)
