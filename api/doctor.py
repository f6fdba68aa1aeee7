"""`tracewarden doctor`: try everything that the settings name, and say for each what is wrong and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import httpx
from sqlalchemy import func, select

from alerting.http import GuardedClient, OutgoingRefusedError
from alerting.notifiers import build_endpoints
from api.assembly import low_disk
from api.base import open_control, open_store, utc_now
from api.datadir import DataDirError, PepperError, create, holder, read_pepper
from api.listeners import ListenError, bind
from ingest.kafka_topics import KafkaUnusableError, check_topics
from schemas.rule_file import RuleFileError, read_rule_file
from schemas.sections import Channel, SlackChannel
from schemas.settings import Settings, read_secret
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase, ControlError
from storage.migrations import SchemaMismatchError, check_store
from storage.unreadable_parts import unreadable_parts

CHECK_TIMEOUT_S = 15.0
MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)
MIN_SERVER = (25, 6)
UNKNOWN_DATABASE = 81  # ClickHouse's error codes
AUTHENTICATION_FAILED = 516


@dataclass(frozen=True)
class Finding:
    """What one check found. `detail` of a wrong one ends with the fix."""

    name: str
    wrong: bool
    detail: str


Check = Callable[[Settings], Awaitable[list[Finding]]]


def fine(name: str, detail: str) -> list[Finding]:
    """A check that found nothing wrong."""
    return [Finding(name, False, detail)]


def wrong(name: str, detail: str) -> list[Finding]:
    """A check that found something; `detail` names the fix."""
    return [Finding(name, True, detail)]


async def examine(settings: Settings) -> list[Finding]:
    """Every check, one after the other; each has `CHECK_TIMEOUT_S`."""
    findings: list[Finding] = []
    for name, check in _checks(settings):
        try:
            findings += await asyncio.wait_for(check(settings), CHECK_TIMEOUT_S)
        except TimeoutError:
            findings += wrong(name, f"no answer within {CHECK_TIMEOUT_S:g} s: check the address, the network and firewalls")
    return findings


def report(findings: list[Finding]) -> Iterator[str]:
    """Lines for a screen, wrong ones marked; the last line sums up."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        yield f"{'WRONG' if finding.wrong else 'ok':<5}  {finding.name:<{width}}  {finding.detail}"
    count = sum(finding.wrong for finding in findings)
    yield f"{count} of {len(findings)} checks found something wrong" if count else "everything works"


def _checks(settings: Settings) -> list[tuple[str, Check]]:
    """What to try; a running process on the same data directory answers for its own store and ports."""
    before: list[tuple[str, Check]] = [("data_dir", check_data_dir), ("secrets", check_secrets), ("clock", check_clock)]
    after: list[tuple[str, Check]] = [
        ("control", check_control),
        ("channels", check_channels),
        ("rules_file", check_rules_file),
    ]
    if settings.kafka is not None:
        after.append(("kafka", check_log))
    if settings.clickhouse_url is None and holder(settings.data_dir) is not None:
        return [*before, ("process", check_process), *after]
    return [*before, ("store", check_store_opens), ("ports", check_ports), *after]


async def check_data_dir(settings: Settings) -> list[Finding]:
    """It can be written, and has room."""
    folder = settings.data_dir.resolve()
    try:
        create(folder)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except DataDirError as error:
        return wrong("data_dir", str(error))
    except OSError as error:
        return wrong("data_dir", f"{folder} cannot be written ({error.strerror}): free some space or pass another --data-dir")
    problem = low_disk(folder)
    free = shutil.disk_usage(folder).free
    return wrong("data_dir", problem) if problem else fine("data_dir", f"{folder} is writable, {free / 2**30:.1f} GiB free")


async def check_secrets(settings: Settings) -> list[Finding]:
    """Every file with a secret can be read, and the pepper exists where it must."""
    problems = [problem for problem in map(_unreadable, _secret_files(settings)) if problem]
    try:
        read_pepper(settings)
    except (PepperError, DataDirError) as error:
        problems.append(str(error))
    return [finding for problem in problems for finding in wrong("secrets", problem)] or fine("secrets", "readable")


def _secret_files(settings: Settings) -> list[Path]:
    files = [channel.url_file if isinstance(channel, SlackChannel) else channel.secret_file for channel in _channels(settings)]
    if settings.kafka is not None:
        files += [settings.kafka.password_file, settings.kafka.ca_file]
    return [file for file in files if file is not None]


def _channels(settings: Settings) -> tuple[Channel, ...]:
    return settings.alerting.channels


def _unreadable(file: Path) -> str | None:
    try:
        read_secret(None, file)
    except ValueError as error:
        return str(error)
    return None


async def check_clock(settings: Settings) -> list[Finding]:
    """This machine's clock is not before the day Tracewarden was installed on it."""
    installed, now = installed_at(), utc_now()
    if now < installed:
        return wrong(
            "clock", f"it says {now:%Y-%m-%d %H:%M}Z, before Tracewarden was installed ({installed:%Y-%m-%d}): set it, run NTP"
        )
    return fine("clock", f"it says {now:%Y-%m-%d %H:%M:%S}Z")


def installed_at() -> datetime:
    """When this module's file was written."""
    return datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)


async def check_process(settings: Settings) -> list[Finding]:
    """The process that has the data directory says itself whether it is ready."""
    pid = holder(settings.data_dir)
    url = f"http://{settings.host}:{settings.port}/readyz"
    states = await asyncio.to_thread(_ready_states, url)
    name = "process"
    if states is None:
        return wrong(
            name,
            f"process {pid} uses {settings.data_dir} and does not answer on {url}: pass the --host and --port it was started "
            "with, or look at its log",
        )
    return [Finding(f"{name}: {part}", state != "ok", state) for part, state in states.items()]


def _ready_states(url: str) -> dict[str, str] | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return None
    try:
        return {str(name): str(state) for name, state in json.loads(body)["dependencies"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


async def check_store_opens(settings: Settings) -> list[Finding]:
    """The trace store answers, is recent enough and has this version's schema."""
    store = open_store(settings, threads=1)
    try:
        return await _examine_store(store)
    except StoreError as error:
        return wrong("store", _store_problem(store, error))
    finally:
        await store.close()


def _store_problem(store: ClickHouseStore, error: StoreError) -> str:
    said = " ".join(str(error).split())
    if store.embedded or isinstance(error, SchemaMismatchError):
        return said
    address = urlsplit(store.url)
    if error.code is None:
        return f"{address.hostname}:{address.port} does not answer: check clickhouse_url, and that the server runs"
    known = {
        UNKNOWN_DATABASE: f"the server has no database {store.database}: run `tracewarden migrate`, which creates it",
        AUTHENTICATION_FAILED: "the server refuses the user or the password: check clickhouse_url",
    }
    return known.get(error.code, f"{said}: check clickhouse_url")


async def _examine_store(store: ClickHouseStore) -> list[Finding]:
    if store.embedded:
        await store.create_database()
    row = (await store.query("SELECT version() AS version, now64(3, 'UTC') AS now"))[0]
    found = str(row["version"])
    if tuple(int(part) for part in found.split(".")[:2]) < MIN_SERVER:
        return wrong(
            "store", f"ClickHouse {found} cannot decode what is written: upgrade it to {MIN_SERVER[0]}.{MIN_SERVER[1]}"
        )
    engine = "chDB, ClickHouse" if store.embedded else "ClickHouse"
    findings = fine("store", f"{engine} {found} answers")
    if problem := await unreadable_parts(store):
        findings += wrong("store: parts", problem)
    if not store.embedded:
        await check_store(store)
        findings += compare_clocks("clock: store", row["now"], utc_now())
    return findings


async def check_control(settings: Settings) -> list[Finding]:
    """The control database answers; over a network its clock agrees with ours."""
    control = open_control(settings)
    try:
        return await _examine_control(control)
    except ControlError as error:
        return wrong("control", " ".join(str(error).split()))
    finally:
        await control.close()


async def _examine_control(control: ControlDatabase) -> list[Finding]:
    now = await control.read(lambda connection: connection.execute(select(func.current_timestamp())).scalar_one())
    if control.url.startswith("sqlite"):
        return fine("control", "SQLite answers")
    return [*fine("control", "PostgreSQL answers"), *compare_clocks("clock: control", now, utc_now())]


def compare_clocks(name: str, theirs: datetime, ours: datetime) -> list[Finding]:
    """Whether a server's clock and ours agree; times from it mix with ours in every window."""
    difference = abs(ours - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)))
    if difference <= MAX_CLOCK_DIFFERENCE:
        return fine(name, f"agrees within {difference.total_seconds():.1f} s")
    return wrong(name, f"differs from this machine's by {difference.total_seconds():.0f} s: run NTP on both machines")


async def check_ports(settings: Settings) -> list[Finding]:
    """Every port can be bound."""
    wanted = (("port", "--port"), ("otlp_http_port", "--otlp-http-port"), ("otlp_grpc_port", "--otlp-grpc-port"))
    return [finding for name, flag in wanted for finding in _check_port(name, settings.host, getattr(settings, name), flag)]


def _check_port(name: str, host: str, port: int, flag: str) -> list[Finding]:
    try:
        bind(host, port, flag).close()
    except ListenError as error:
        return wrong(name, str(error))
    return fine(name, f"{port} on {host} is free" if port else "a free one")


async def check_channels(settings: Settings) -> list[Finding]:
    """Each channel's address resolves and may be called; nothing is sent."""
    async with GuardedClient(settings.outgoing.allowed_networks, settings.outgoing.timeout_s) as client:
        return [finding for channel in _channels(settings) for finding in await _check_channel(client, channel)]


async def _check_channel(client: GuardedClient, channel: Channel) -> list[Finding]:
    name = f"channel {channel.name}"
    try:
        build_endpoints([channel], client, None)
        await client.check(_address(channel))
    except (OutgoingRefusedError, ValueError) as error:
        return wrong(name, str(error))
    except httpx.TransportError as error:
        return wrong(name, str(error))
    return fine(name, "its address resolves and may be called (nothing was sent)")


def _address(channel: Channel) -> str:
    if not isinstance(channel, SlackChannel):
        return channel.url
    url = read_secret(channel.url, channel.url_file)
    return url.get_secret_value() if url else ""


async def check_log(settings: Settings) -> list[Finding]:
    """Kafka answers and has the topics."""
    assert settings.kafka is not None
    try:
        await check_topics(settings.kafka)
    except (KafkaUnusableError, ValueError) as error:
        return wrong("kafka", str(error))
    return fine("kafka", f"topics {settings.kafka.topic} and {settings.kafka.dead_letter_topic} are there")


async def check_rules_file(settings: Settings) -> list[Finding]:
    """The rules of the file are valid."""
    file = settings.alerting.rules_file
    if file is None:
        return []
    try:
        found = read_rule_file(file, [channel.name for channel in _channels(settings)])
    except RuleFileError as error:
        return [finding for line in str(error).splitlines() for finding in wrong("rules_file", line)]
    return fine("rules_file", f"{file} has {len(found.rules)} rules")
