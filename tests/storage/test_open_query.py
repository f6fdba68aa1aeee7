"""An open query: message after message through one analysis into the table, and what becomes of those it cannot take."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import cast

import pytest

from ingest.envelope import LogRecord, frame_batch, spans_of
from ingest.writer import insert_records
from storage import open_query
from storage.clickhouse import ClickHouseStore, StoreError
from storage.open_query import Pipeline
from tests.ingest.spans import make_envelope, make_span
from tests.schemas.test_mapping import golden_span, load_cases

SCHEMA = {
    "format_schema_source": "string",
    "format_schema_message_name": "Batch",
    "format_schema": (files("schemas") / "envelope.proto").read_text(),
}
PLAIN = Pipeline(
    "otlp_requests",
    "SELECT log_offset AS n, envelope.project AS project FROM {source} WHERE log_offset < 1000",
    "seen",
    tuple(SCHEMA.items()),
)
_offsets = itertools.count()


@pytest.fixture
async def plain(store: ClickHouseStore) -> AsyncIterator[ClickHouseStore]:
    """A store with a small table for a small pipeline."""
    await store.command("CREATE TABLE seen (n UInt64, project String) ENGINE = MergeTree ORDER BY n")
    yield store
    await store.command("DROP TABLE seen")


def records(count: int, first: int = 0, project: str = "default") -> list[LogRecord]:
    return [(0, first + place, make_envelope(project, [make_span()])) for place in range(count)]


async def put(store: ClickHouseStore, sent: list[LogRecord], rows: int | None = None) -> None:
    await store.insert_through(PLAIN, [(frame_batch(sent), len(sent) if rows is None else rows)], {"async_insert": 0})


class _Server:
    embedded = False

    def __init__(self, store: ClickHouseStore) -> None:
        self.insert_raw = store.insert_raw


def as_server(store: ClickHouseStore) -> ClickHouseStore:
    """The store as a server is written to: through the Null table and its view."""
    return cast(ClickHouseStore, _Server(store))


async def parts(store: ClickHouseStore, table: str) -> dict[str, int]:
    """How many active parts a table has, and the rows in them."""
    [found] = await store.query(
        "SELECT count() AS parts, sum(rows) AS n FROM system.parts"
        " WHERE database = currentDatabase() AND table = {table:String} AND active",
        {"table": table},
    )
    return found


async def seen(store: ClickHouseStore) -> list[int]:
    return [row["n"] for row in await store.query("SELECT n FROM seen ORDER BY n")]


async def test_each_message_is_in_the_table_when_the_call_returns_as_one_part(plain: ClickHouseStore) -> None:
    await plain.command("SYSTEM STOP MERGES seen")
    for turn in range(5):
        await put(plain, records(3, turn * 3))
        assert await seen(plain) == list(range(turn * 3 + 3))
    assert await parts(plain, "seen") == {"parts": 5, "n": 15}


async def test_several_messages_are_one_insert(plain: ClickHouseStore) -> None:
    await plain.command("SYSTEM STOP MERGES seen")
    sent = [records(2, 0), records(3, 2), records(1, 5)]
    await plain.insert_through(PLAIN, [(frame_batch(some), len(some)) for some in sent], {"async_insert": 0})
    assert await seen(plain) == list(range(6))
    assert await parts(plain, "seen") == {"parts": 1, "n": 6}


@pytest.mark.parametrize("through_view", [False, True])
async def test_a_batch_of_the_largest_size_is_one_part(store: ClickHouseStore, *, through_view: bool) -> None:
    """An insert is atomic because it is one part, and the same again stores nothing. The pipeline takes several messages."""
    await store.command("SYSTEM STOP MERGES spans")
    sent = [(0, n, make_envelope("default", [make_span(attributes={"text": f"{n} long " * 140_000})])) for n in range(60)]
    assert sum(len(envelope.request) for _, _, envelope in sent) > 60 * 2**20
    for _ in range(2):
        await insert_records(as_server(store) if through_view else store, sent, token="large")
    found = await parts(store, "spans")
    [texts] = await store.query("SELECT uniqExact(attributes['text']) AS n, uniqExact(log_offset) AS offsets FROM spans")
    await store.command("SYSTEM START MERGES spans")
    assert (found, texts) == ({"parts": 1, "n": 60}, {"n": 60, "offsets": 60})


async def test_of_several_messages_one_that_cannot_be_read_keeps_out_all(plain: ClickHouseStore) -> None:
    with pytest.raises(StoreError, match="ATTEMPT_TO_READ_AFTER_EOF"):
        await plain.insert_through(PLAIN, [(frame_batch(records(2)), 2), (b"\x05\x0a\xff\xff\xff\xff", 1)], {"async_insert": 0})
    assert await seen(plain) == []


async def test_several_at_once_each_have_their_own(plain: ClickHouseStore) -> None:
    await asyncio.gather(*(put(plain, records(10, turn * 10)) for turn in range(20)))
    assert await seen(plain) == list(range(200))


async def test_a_message_larger_than_the_pipe(plain: ClickHouseStore) -> None:
    sent = [(0, n, make_envelope("default", [make_span(attributes={"text": "long " * 400_000})])) for n in range(3)]
    assert len(frame_batch(sent)) > 5 * 2**20
    await put(plain, sent)
    assert await seen(plain) == [0, 1, 2]


async def test_another_number_of_rows_than_announced_is_stored_by_a_query_of_its_own(plain: ClickHouseStore) -> None:
    await put(plain, records(3), rows=4)
    await put(plain, [*records(1, 999), *records(1, 1000)])
    assert await seen(plain) == [0, 1, 2, 999]
    await put(plain, records(1, 3))
    assert await seen(plain) == [0, 1, 2, 3, 999]


@pytest.mark.parametrize("seconds", [0.001, 0.005, 0.02])
async def test_a_message_cut_short_for_want_of_patience_is_no_bad_message(
    plain: ClickHouseStore, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    sent = [(0, n, make_envelope("default", [make_span(attributes={"text": "long " * 400_000})])) for n in range(5)]
    monkeypatch.setattr(open_query, "PATIENCE_S", seconds - len(frame_batch(sent)) / 2**20)
    for _ in range(2):
        await put(plain, sent)
    assert await seen(plain) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


async def test_a_message_without_a_row_is_not_waited_for_for_ever(
    plain: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_query, "PATIENCE_S", 0.5)
    await put(plain, records(2, 2000))
    await put(plain, records(2))
    assert await seen(plain) == [0, 1]


@pytest.mark.parametrize("patience_s", [-10.0, 0.0, 0.001, 0.01])
async def test_who_loses_patience_stores_it_once_all_the_same(
    store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    sent = records(3)
    await insert_records(store, sent, token="a")
    with monkeypatch.context() as patched:
        patched.setattr(open_query, "PATIENCE_S", patience_s)
        await insert_records(store, sent, token="a")
        await insert_records(store, records(2, 3), token="b")
    await insert_records(store, sent, token="a")
    await insert_records(store, records(2, 5), token="c")
    assert await store.query("SELECT count() AS n, uniqExact(span_key) AS spans FROM spans") == [{"n": 7, "spans": 7}]


@pytest.mark.parametrize("request_bytes", [b"\x0a\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x7f", b"\x0b"])
async def test_bytes_that_cannot_be_read_end_one_pipeline_and_store_nothing(
    plain: ClickHouseStore, request_bytes: bytes
) -> None:
    await put(plain, records(1))
    [(_, _, good)] = records(1)
    bad = type(good)("default", good.received_at_ns, 1, request_bytes)
    with pytest.raises(StoreError) as caught:
        await put(plain, [(0, 1, good), (0, 2, bad)])
    assert not caught.value.transient
    await put(plain, records(1, 3))
    assert await seen(plain) == [0, 3]


async def test_a_table_that_is_missing_is_a_matter_of_the_schema(store: ClickHouseStore) -> None:
    with pytest.raises(StoreError) as caught:
        await put(store, records(1))
    assert (caught.value.code, caught.value.transient) == (60, True)
    away = Pipeline("nowhere", PLAIN.select, PLAIN.target, PLAIN.settings)
    with pytest.raises(StoreError, match="nowhere does not exist") as caught:
        await store.insert_through(away, [(b"", 0)], {"async_insert": 0})
    assert (caught.value.code, caught.value.transient) == (60, True)


async def test_an_insert_that_the_table_refuses_fails(plain: ClickHouseStore) -> None:
    await plain.command("ALTER TABLE seen MODIFY SETTING min_free_disk_ratio_to_perform_insert = 1")
    with pytest.raises(StoreError) as caught:
        await put(plain, records(1))
    assert (caught.value.code, caught.value.transient) == (243, True)
    await plain.command("ALTER TABLE seen RESET SETTING min_free_disk_ratio_to_perform_insert")
    await put(plain, records(1))
    assert await seen(plain) == [0]


async def test_nothing_is_left_open(
    chdb_url: str, plain: ClickHouseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = ClickHouseStore(chdb_url, database=plain.database, threads=2)
    pipes = _pipes()
    await put(other, records(2))
    assert _pipes() > pipes
    await other.close()
    assert _pipes() == pipes
    assert list(tmp_path.iterdir()) == []


def _pipes() -> int:
    targets = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            targets.append(str(each.readlink()))
        except FileNotFoundError:
            continue
    return sum("tracewarden-" in target for target in targets)


async def test_spans_that_the_records_miscount_are_all_stored(store: ClickHouseStore) -> None:
    [(partition, offset, envelope)] = records(1)
    miscounted = type(envelope)(envelope.project, envelope.received_at_ns, 5, envelope.request)
    await insert_records(store, [(partition, offset, miscounted)], token="t")
    assert await store.query("SELECT count() AS n FROM spans") == [{"n": 1}]


@pytest.mark.parametrize("dialect", ["otel_genai", "otel_deprecated", "openinference", "others", "edges"])
async def test_view_and_pipeline_store_the_same(store: ClickHouseStore, dialect: str) -> None:
    spans = [golden_span(case, number) for number, case in enumerate(load_cases(dialect))]
    sent = [(1, next(_offsets), make_envelope("default", spans))]
    await insert_records(store, sent, token="through the pipeline")
    await insert_records(as_server(store), [(2, *sent[0][1:])], token="through the view")
    both = "SELECT * EXCEPT log_partition FROM spans WHERE log_partition = {partition:UInt32} ORDER BY span_id"
    first, second = [await store.query(both, {"partition": partition}) for partition in (1, 2)]
    assert len(first) == spans_of(sent)
    assert first == second


async def test_a_new_price_holds_for_the_next_insert(store: ClickHouseStore) -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mine",
        "gen_ai.request.model": "model",
        "gen_ai.usage.input_tokens": 1_000_000,
        "gen_ai.usage.output_tokens": 0,
    }
    now = datetime.now(UTC)
    for rate in (3, 5):
        version = f"v{rate}"
        await store.insert_rows(
            "prices",
            ["version", "price_key", "input_usd_per_mtok", "output_usd_per_mtok", "updated_at"],
            [[version, "mine", Decimal(rate), Decimal(rate), now]],
        )
        await store.insert_rows(
            "model_resolution",
            ["provider", "model", "resolved", "price_key", "price_version", "updated_at"],
            [["mine", "model", 1, "mine", version, now + timedelta(seconds=rate)]],
        )
        await store.command("SYSTEM RELOAD DICTIONARY token_prices")
        await insert_records(store, [(0, rate, make_envelope("default", [make_span(attributes=attributes)]))], token=str(rate))
    rows = await store.query("SELECT toFloat64(cost_usd) AS cost FROM spans ORDER BY log_offset")
    assert [row["cost"] for row in rows] == [3, 5]
