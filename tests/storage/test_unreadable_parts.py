"""Parts that cannot be read are told of, with what to do."""

from __future__ import annotations

import os
from pathlib import Path

from storage.clickhouse import ClickHouseStore
from storage.migrations import migrate_store
from storage.unreadable_parts import unreadable_parts
from tests.ingest.spans import ingest_spans, make_span


async def part_of_spans(store: ClickHouseStore) -> Path:
    """Where the only part is."""
    sql = "SELECT path FROM system.parts WHERE database = currentDatabase() AND table = 'spans' AND active"
    (row,) = await store.query(sql)
    return Path(row["path"])


async def test_a_part_that_was_cut_short_is_told_of(bare_store: ClickHouseStore) -> None:
    await migrate_store(bare_store)
    await ingest_spans(bare_store, "default", [make_span()])
    part = await part_of_spans(bare_store)
    assert await unreadable_parts(bare_store) is None
    await bare_store.command("DETACH TABLE spans")
    os.truncate(part / "columns.txt", 0)
    await bare_store.command("ATTACH TABLE spans")
    told = await unreadable_parts(bare_store)
    assert told is not None
    assert "1 of spans" in told
    folder = Path(told.rpartition(" in ")[2])
    assert folder == part.parent / "detached"
    assert [each.name.startswith("broken") for each in folder.iterdir()] == [True]


async def test_a_part_that_an_operator_detached_is_no_news(bare_store: ClickHouseStore) -> None:
    await migrate_store(bare_store)
    await ingest_spans(bare_store, "default", [make_span()])
    part = await part_of_spans(bare_store)
    await bare_store.command(f"ALTER TABLE spans DETACH PART '{part.name}'")
    assert await unreadable_parts(bare_store) is None
