"""The contract of ClickHouseStore, on chDB directly and through clickhouse-connect's HTTP client."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.writer import insert_records
from storage.clickhouse import ClickHouseStore, StoreError
from storage.migrations import SchemaMismatchError, check_store, migrate_store
from tests.ingest.spans import make_envelope, make_span
from tests.kafka.broker import HOST, free_port
from tests.storage.http_front import HttpFront

_numbers = itertools.count()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpFront]:
    """A running front."""
    found = HttpFront(tmp_path_factory.mktemp("front") / "chdb")
    found.start()
    yield found
    found.kill9()


@pytest.fixture(params=["chdb", "http"])
async def any_store(request: pytest.FixtureRequest) -> AsyncIterator[ClickHouseStore]:
    """A store with an empty database of its own."""
    url = request.getfixturevalue("chdb_url") if request.param == "chdb" else request.getfixturevalue("front").url
    store = ClickHouseStore(url, database=f"contract_{next(_numbers)}", threads=2)
    await store.create_database()
    yield store
    await store.command(f"DROP DATABASE IF EXISTS {store.database}")
    await store.close()


@pytest.fixture
async def migrated_store(any_store: ClickHouseStore) -> ClickHouseStore:
    """The same, with the schema."""
    await migrate_store(any_store)
    return any_store


MOMENT = datetime(2026, 3, 29, 1, 59, 59, 123000, tzinfo=UTC)
VALUES: list[tuple[str, Any]] = [
    ("String", "it's \\ \t\n 'quoted' {x:String} – é 漢 \U0001f600"),
    ("String", ""),
    ("UInt8", 255),
    ("UInt32", 2**32 - 1),
    ("UInt64", 2**64 - 1),
    ("Int64", -(2**63)),
    ("Float64", -1.5e300),
    ("Bool", True),
    ("Date", date(2026, 2, 28)),
    ("DateTime64(3, 'UTC')", MOMENT),
    ("Decimal(18, 12)", Decimal("0.000000000001")),
    ("Nullable(String)", None),
    ("Nullable(Float64)", 2.5),
    ("Array(String)", ["a'b", "", "\\", "\n"]),
    ("Array(UInt64)", [1, 2**63]),
    ("Array(String)", []),
]


@pytest.mark.parametrize(("type_", "value"), VALUES)
async def test_a_bound_parameter_comes_back(any_store: ClickHouseStore, type_: str, value: object) -> None:
    rows = await any_store.query(f"SELECT {{value:{type_}}} AS value", {"value": value})
    found = rows[0]["value"]
    if isinstance(found, datetime) and found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    assert found == value


async def test_bytes_are_bound_as_hexadecimal(any_store: ClickHouseStore) -> None:
    rows = await any_store.query("SELECT unhex({id:String}) = toFixedString(unhex('00ff10'), 3) AS same", {"id": "00ff10"})
    assert rows == [{"same": 1}]


async def test_settings_hold_for_one_query_only(any_store: ClickHouseStore) -> None:
    sql = "SELECT toUInt64(value) AS value FROM system.settings WHERE name = 'max_result_rows'"
    before = await any_store.query(sql)
    assert await any_store.query(sql, settings={"max_result_rows": 77}) == [{"value": 77}]
    assert await any_store.query(sql) == before


async def test_an_empty_result_has_no_rows(any_store: ClickHouseStore) -> None:
    assert await any_store.query("SELECT 1 AS x WHERE 0") == []


async def test_rows_inserted_come_back_in_their_types(any_store: ClickHouseStore) -> None:
    await any_store.command(
        "CREATE TABLE kept (at DateTime64(3, 'UTC'), name LowCardinality(String), price Nullable(Decimal(18, 12)),"
        " tags Array(String), attributes Map(String, String), id FixedString(3)) ENGINE = MergeTree ORDER BY at"
    )
    columns = ["at", "name", "price", "tags", "attributes", "id"]
    rows = [
        [MOMENT, "a'b", Decimal("1.5"), ["x"], {"k": "v"}, b"\x00\xff\x10"],
        [MOMENT.replace(year=2027), "", None, [], {}, b"abc"],
    ]
    await any_store.insert_rows("kept", columns, rows)
    found = await any_store.query("SELECT * FROM kept ORDER BY at")
    as_utc = [[row["at"].replace(tzinfo=UTC), *(row[column] for column in columns[1:])] for row in found]
    assert as_utc == rows  # times come without a zone: they are UTC


@pytest.mark.parametrize(
    ("sql", "code", "transient"),
    [
        ("SELEC 1", 62, False),
        ("SELECT missing_column", 47, False),
        ("SELECT throwIf(1)", 395, False),
        ("SELECT * FROM missing_table", 60, True),
        ("SELECT sleep(3) SETTINGS max_execution_time = 0.1", 159, True),
        ("SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000", 241, True),
    ],
)
async def test_an_error_has_its_code(any_store: ClickHouseStore, sql: str, code: int, transient: bool) -> None:
    with pytest.raises(StoreError) as caught:
        await any_store.query(sql)
    assert (caught.value.code, caught.value.transient) == (code, transient)
    assert caught.value.advice
    assert await any_store.query("SELECT 1 AS x") == [{"x": 1}]


async def test_a_command_fails_with_its_code_too(any_store: ClickHouseStore) -> None:
    with pytest.raises(StoreError) as caught:
        await any_store.command("DROP TABLE missing_table")
    assert caught.value.code == 60


async def test_threads_do_not_disturb_each_other(any_store: ClickHouseStore) -> None:
    sql = "SELECT {n:UInt64} AS n, sum(number) AS total, getSetting('max_threads') AS threads FROM numbers({n:UInt64})"
    found = await asyncio.gather(*(any_store.query(sql, {"n": n}, {"max_threads": n % 3 + 1}) for n in range(1, 31)))
    assert found == [[{"n": n, "total": n * (n - 1) // 2, "threads": n % 3 + 1}] for n in range(1, 31)]


async def test_the_schema_is_made_once_and_checked(any_store: ClickHouseStore) -> None:
    with pytest.raises(SchemaMismatchError, match="tracewarden migrate"):
        await check_store(any_store)
    assert await migrate_store(any_store)
    assert await migrate_store(any_store) == []
    await check_store(any_store)
    await any_store.command("ALTER TABLE store_migrations DELETE WHERE name LIKE '0001%'", settings={"mutations_sync": 2})
    with pytest.raises(SchemaMismatchError, match="0001"):
        await check_store(any_store)


async def test_the_same_token_stores_a_batch_once(migrated_store: ClickHouseStore) -> None:
    envelopes = [make_envelope("default", [make_span(name=f"é {n}"), make_span()]) for n in range(20)]
    records = [(3, offset, envelope) for offset, envelope in enumerate(envelopes)]
    for _ in range(3):
        await insert_records(migrated_store, records, token="t1")
    sql = "SELECT count() AS n, uniqExact(span_key) AS spans, max(log_offset) AS last FROM spans WHERE log_partition = 3"
    assert await migrated_store.query(sql) == [{"n": 40, "spans": 40, "last": 19}]
    await insert_records(migrated_store, records, token="t2")
    assert (await migrated_store.query(sql))[0]["n"] == 80


async def test_bytes_that_are_no_record_are_refused_whole(migrated_store: ClickHouseStore) -> None:
    good = make_envelope("default", [make_span()])
    bad = type(good)("default", good.received_at_ns, 1, b"\x0a\xff\xff\xff\xff\x0f not a request")
    with pytest.raises(StoreError) as caught:
        await insert_records(migrated_store, [(0, 0, good), (0, 1, bad)], token="t")
    assert not caught.value.transient
    assert await migrated_store.query("SELECT count() AS n FROM spans") == [{"n": 0}]


async def test_no_place_for_a_temporary_file_is_a_matter_of_the_disk(
    chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ClickHouseStore(chdb_url, database="default")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match="free some disk space") as caught:
        await store.insert_raw("any", b"x", "Protobuf", {})
    assert caught.value.transient
    await store.close()


async def test_a_server_that_does_not_answer_is_named_with_the_fix() -> None:
    port = free_port()
    store = ClickHouseStore(f"http://user:hidden-word@{HOST}:{port}")
    for work in (store.query("SELECT 1"), store.create_database()):
        with pytest.raises(StoreError, match=f"{HOST}:{port} does not answer.*clickhouse_url") as caught:
            await work
        assert (caught.value.code, caught.value.transient) == (None, True)
        assert "hidden-word" not in str(caught.value)
    await store.close()


async def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    front = HttpFront(tmp_path / "chdb")
    front.start()
    store = ClickHouseStore(front.url, database="kept")
    await migrate_store(store)
    records = [(0, 0, make_envelope("default", [make_span()]))]
    await insert_records(store, records, token="t")
    front.kill9()
    with pytest.raises(StoreError, match="does not answer") as caught:
        await insert_records(store, records, token="t")
    assert caught.value.transient
    front.start()
    await insert_records(store, records, token="t")
    assert await store.query("SELECT count() AS n FROM spans") == [{"n": 1}]
    await store.close()
    front.kill9()


OPENS = """
import asyncio, sys
from storage.clickhouse import ClickHouseStore, StoreBusyError
try:
    asyncio.run(ClickHouseStore(sys.argv[1]).create_database())
except StoreBusyError as error:
    print(error, end="")
    sys.exit(3)
"""


def opened_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OPENS, f"chdb://{path}"], capture_output=True, text=True, timeout=120, check=False
    )


async def test_a_folder_that_another_process_has_open_is_busy(tmp_path: Path) -> None:
    front = HttpFront(tmp_path / "chdb")
    front.start()
    second = opened_elsewhere(tmp_path / "chdb")
    assert second.returncode == 3, second.stderr
    assert "another tracewarden process uses it" in second.stdout
    assert "pass another --data-dir" in second.stdout
    front.kill9()
    third = opened_elsewhere(tmp_path / "chdb")
    assert third.returncode == 0, third.stderr
