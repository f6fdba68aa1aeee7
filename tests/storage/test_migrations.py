"""The store's schema: applied once, refused when it differs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analyzers.drift.bfloat16 import to_bfloat16
from schemas.view import VIEW
from storage.clickhouse import ClickHouseStore
from storage.migrations import COLD_CODEC, RETAINED, SchemaMismatchError, check_store, migrate_store, migrations
from tests.ingest.spans import ingest_spans, make_span


async def migrated(store: ClickHouseStore) -> ClickHouseStore:
    await migrate_store(store)
    return store


async def test_runs_every_file_once(bare_store: ClickHouseStore) -> None:
    first = await migrate_store(bare_store)
    assert first == [*(migration.name for migration in migrations(bare_store)), VIEW]
    assert await migrate_store(bare_store) == []
    await check_store(bare_store)


async def test_a_writer_refuses_a_store_without_schema(bare_store: ClickHouseStore) -> None:
    await bare_store.create_database()
    with pytest.raises(SchemaMismatchError, match=r"no schema yet.*tracewarden migrate"):
        await check_store(bare_store)


async def test_a_writer_refuses_a_store_without_its_view(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    await store.command(f"DROP VIEW {VIEW}")
    with pytest.raises(SchemaMismatchError, match="tracewarden migrate"):
        await check_store(store)


async def test_a_writer_refuses_another_mapping(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    await store.insert_rows("store_migrations", ["name", "hash"], [[VIEW, "of another version"]])
    with pytest.raises(SchemaMismatchError, match="the view differs"):
        await check_store(store)


async def test_another_mapping_replaces_the_query_of_the_view(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    await store.insert_rows("store_migrations", ["name", "hash"], [[VIEW, "of another version"]])
    assert await migrate_store(store) == [VIEW]
    await check_store(store)
    await ingest_spans(store, "default", [make_span()])
    assert await store.query("SELECT count() AS n FROM spans") == [{"n": 1}]


async def test_an_edited_file_is_refused(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    await store.insert_rows("store_migrations", ["name", "hash"], [["0001_spans", "as it was before an edit"]])
    with pytest.raises(SchemaMismatchError, match="never edited"):
        await migrate_store(store)


async def test_embeddings_of_an_older_schema_become_bfloat16(bare_store: ClickHouseStore) -> None:
    """Rounded as new ones are; a migration that was cut off after its exchange may run again."""
    store = await migrated(bare_store)
    older = "(project String, bucket DateTime('UTC'), slot UInt16, embedding Array(Float32))"
    await store.command(f"CREATE TABLE older {older} ENGINE = MergeTree ORDER BY slot")
    values = [0.1, 1.0, -0.30001, 0.2, 3e-5, 0.0]
    await store.insert_rows("older", ["project", "slot", "embedding"], [["p", 1, values], ["p", 2, []]])
    migration = next(each for each in migrations(store) if each.name == "0008_sample_bytes")
    (converted,) = [each for each in migration.statements if "REPLACE" in each]
    expression = converted.partition("REPLACE (")[2].partition(" AS embedding\n")[0]
    once = await store.query(f"SELECT {expression} AS embedding FROM older ORDER BY slot", binary=["embedding"])
    expected = to_bfloat16(np.array([values], dtype=np.float32))
    assert [row["embedding"] for row in once] == [*expected, b""]
    again = f"SELECT {expression} AS embedding FROM (SELECT {expression} AS embedding FROM older ORDER BY slot)"
    assert await store.query(again, binary=["embedding"]) == once
    for statement in migration.statements:
        await store.command(statement)
    assert (await store.query("SELECT toTypeName(any(embedding)) AS type FROM embedding_samples"))[0]["type"] == "String"


@pytest.mark.parametrize("table", RETAINED)
async def test_retention_follows_the_setting(bare_store: ClickHouseStore, table: str) -> None:
    store = await migrated(bare_store)
    await migrate_store(store, retention_days=7)
    sql = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
    assert "toIntervalDay(7)" in (await store.query(sql, {"table": table}))[0]["engine_full"]


async def test_every_table_with_texts_has_a_retention(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    found = await store.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    without = {"store_migrations", "otlp_requests", VIEW, "prices", "model_resolution", "token_prices"}
    sums = {"embedding_sketches", "embedding_units"}
    assert {row["name"] for row in found} == {*RETAINED, *without, *sums}


async def test_a_shorter_retention_holds_for_what_is_stored_already(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    for table, time in RETAINED.items():
        await store.command(f"INSERT INTO {table} ({time}) SELECT now() - toIntervalDay(number) FROM numbers(20)")
    await migrate_store(store, retention_days=7)
    async with asyncio.timeout(60):
        for table in RETAINED:
            while (await store.query(f"SELECT count() AS n FROM {table}"))[0]["n"] > 7:
                await asyncio.sleep(0.05)


async def test_texts_of_a_day_that_is_over_are_compressed_thoroughly(bare_store: ClickHouseStore) -> None:
    """Those that came in before there was such a rule follow."""
    store = await migrated(bare_store)
    await store.command("ALTER TABLE spans REMOVE TTL")
    now = datetime.now(UTC)
    for days in (0, 2):
        span = make_span(attributes={"app.note": "a note " * 50, "gen_ai.prompt.name": f"of {days} days"})
        await ingest_spans(store, "default", [span], received_at=now - timedelta(days=days))
    texts = "SELECT prompt_name, attributes FROM spans ORDER BY received_at"
    before = await store.query(texts)
    codecs = (
        "SELECT default_compression_codec AS codec FROM system.parts WHERE database = currentDatabase() AND table = 'spans' "
        "AND active ORDER BY partition"
    )
    assert [row["codec"] for row in await store.query(codecs)] == ["NONE", "NONE"]
    await migrate_store(store)
    async with asyncio.timeout(60):
        while [row["codec"] for row in await store.query(codecs)] != [COLD_CODEC, "ZSTD(1)"]:
            await asyncio.sleep(0.05)
    assert await store.query(texts) == before
    assert len(before) == 2


async def test_a_merge_compresses_what_an_insert_did_not(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    await store.command("SYSTEM STOP MERGES spans")
    for number in range(2):
        await ingest_spans(store, "default", [make_span(attributes={"app.note": f"a note {number} " * 5_000})])
    parts = (
        "SELECT default_compression_codec AS codec, bytes_on_disk AS size FROM system.parts "
        "WHERE database = currentDatabase() AND table = 'spans' AND active"
    )
    fresh = await store.query(parts)
    await store.command("SYSTEM START MERGES spans")
    await store.command("OPTIMIZE TABLE spans FINAL")
    merged = await store.query(parts)
    assert [row["codec"] for row in fresh] == ["NONE", "NONE"]
    assert [row["codec"] for row in merged] == ["ZSTD(1)"]
    assert merged[0]["size"] < sum(row["size"] for row in fresh) / 10


async def test_every_table_is_forced_to_disk(bare_store: ClickHouseStore) -> None:
    store = await migrated(bare_store)
    sql = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    engines = {row["name"]: row["engine_full"] for row in await store.query(sql)}
    assert {"spans", "scores", "store_migrations"} <= set(engines)
    for setting in ("fsync_after_insert = 1", "fsync_part_directory = 1", "min_rows_to_fsync_after_merge = 1"):
        assert [name for name, engine in engines.items() if setting not in engine] == []


async def test_a_merge_is_on_disk_before_what_it_read_is_deleted(bare_store: ClickHouseStore) -> None:
    """Which is soon: nobody waits for half a minute's parts, deleted all at once."""
    store = await migrated(bare_store)
    await store.command("SYSTEM STOP MERGES spans")
    for _ in range(2):
        await ingest_spans(store, "default", [make_span()])
    await store.command("SYSTEM START MERGES spans")
    synced = "SELECT value AS n FROM system.events WHERE event = 'FileSync'"
    (before,) = await store.query(synced)
    await store.command("OPTIMIZE TABLE spans FINAL")
    (after,) = await store.query(synced)
    parts = "SELECT active, files FROM system.parts WHERE database = currentDatabase() AND table = 'spans' ORDER BY active DESC"
    merged = (await store.query(parts))[0]
    assert merged["active"] == 1
    assert after["n"] - before["n"] >= merged["files"]
    async with asyncio.timeout(15):
        while len(await store.query(parts)) > 1:
            await asyncio.sleep(0.05)


async def test_replicas_have_settings_of_their_own() -> None:
    """They remember batches longer than Kafka keeps records, and ask their keeper no oftener than usual."""
    server = ClickHouseStore("http://user:password@clickhouse:8123/tracewarden")  # never connected
    replicated = str(migrations(server, replicated=True))
    assert "replicated_deduplication_window_seconds = 1209600, replicated_deduplication_window = 10000" in replicated
    assert "replicated_deduplication_window_seconds" not in str(migrations(server))
    assert "cleanup_delay_period" in str(migrations(server))
    assert "cleanup_delay_period" not in replicated
    await server.close()
