"""The contract of TraceLog, on every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.embedded_log import EmbeddedTraceLog
from ingest.envelope import Envelope
from ingest.trace_log import RefusedRecordError, TraceLogError
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.clickhouse import ClickHouseStore
from storage.migrations import SchemaMismatchError
from tests.ingest.logs import EmbeddedUnderTest, LogUnderTest, ids_of, kafka_log, span_ids, until
from tests.ingest.spans import make_envelope, make_span
from tests.kafka.broker import Broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def under_test(request: pytest.FixtureRequest, store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[LogUnderTest]:
    """A started log."""
    if request.param == "embedded":
        embedded = EmbeddedUnderTest(store)
        await embedded.log.start()
        yield embedded
        await embedded.log.stop()
        return
    broker, topic = request.getfixturevalue("kafka_broker"), request.getfixturevalue("kafka_topic")
    async with kafka_log(broker, topic, store, tmp_path) as on_kafka:
        yield on_kafka


def envelopes(count: int, spans: int = 3) -> list[Envelope]:
    return [make_envelope("default", [make_span() for _ in range(spans)]) for _ in range(count)]


async def arrived(store: ClickHouseStore, *sent: Envelope) -> None:
    expected = ids_of(*sent)

    async def all_there() -> bool:
        return await span_ids(store) == expected

    await until(f"exactly {len(expected)} spans in the store", all_there)


async def test_what_is_appended_is_stored_once(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    sent = envelopes(20)
    await asyncio.gather(*(under_test.log.append([envelope]) for envelope in sent))
    await arrived(store, *sent)


async def test_one_append_may_hold_several_envelopes(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    sent = envelopes(4)
    await under_test.log.append(sent)
    await arrived(store, *sent)


async def test_large_requests_are_stored_beside_small_ones(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    texts = ["a long answer " * 10_000, "a short one"]
    sent = [make_envelope("default", [make_span(attributes={"app.text": text})]) for text in texts]
    await under_test.log.append([sent[0]])
    await under_test.log.append([*sent, *sent])
    await arrived(store, *sent)
    rows = await store.query("SELECT attributes['app.text'] AS text FROM spans ORDER BY length(text) DESC")
    assert [row["text"] for row in rows] == texts


async def test_an_identical_retry_is_stored_once_also_after_a_restart(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    first, *others = sent = envelopes(5)
    again = Envelope(first.project, first.received_at_ns + 10**9, first.span_count, first.request)
    await asyncio.gather(under_test.log.append([first]), under_test.log.append([again]))
    await under_test.log.append([again])
    await arrived(store, first)
    await under_test.restart()
    await under_test.log.append([again, *others])
    await arrived(store, *sent)


async def test_the_same_body_of_another_project_is_another_record(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    [one] = envelopes(1)
    two = Envelope("another", one.received_at_ns, one.span_count, one.request)
    await under_test.log.append([one, two])
    await arrived(store, one, two)


async def test_stop_leaves_nothing_in_memory(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    sent = envelopes(30)
    appends = [asyncio.create_task(under_test.log.append([envelope])) for envelope in sent]
    await asyncio.sleep(0)
    await under_test.log.stop()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    acknowledged = [envelope for envelope, outcome in zip(sent, outcomes, strict=True) if outcome is None]
    assert all(outcome is None or isinstance(outcome, TraceLogError) for outcome in outcomes)
    await arrived(store, *acknowledged)


async def test_append_after_stop_is_refused(under_test: LogUnderTest) -> None:
    await under_test.log.stop()
    with pytest.raises(TraceLogError, match="shutting down"):
        await under_test.log.append(envelopes(1))
    await under_test.log.stop()


async def test_spans_of_several_days_in_one_batch(under_test: LogUnderTest, store: ClickHouseStore) -> None:
    now = datetime.now(UTC)
    sent = [make_envelope("default", [make_span()], now - timedelta(days=days)) for days in (2, 1, 0, 1)]
    await asyncio.gather(*(under_test.log.append([envelope]) for envelope in sent))
    await arrived(store, *sent)


async def test_a_record_that_cannot_be_stored_fails_alone(store: ClickHouseStore) -> None:
    log = EmbeddedTraceLog(store, IngestSettings(), Instruments())
    await log.start()
    good = envelopes(6)
    bad = Envelope("default", good[0].received_at_ns, 1, b"\x0a\xff\xff\xff\xff\x0f not a request")
    outcomes = await asyncio.gather(*(log.append([e]) for e in [*good[:3], bad, *good[3:]]), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [*[type(None)] * 3, RefusedRecordError, *[type(None)] * 3]
    await log.stop()
    assert await span_ids(store) == ids_of(*good)


async def test_no_offset_that_was_read_is_given_out_again(store: ClickHouseStore) -> None:
    """The last record may have been refused, or the store emptied: readers would pass over what has their old offsets."""

    async def read_up_to() -> int:
        return 40

    log = EmbeddedTraceLog(store, IngestSettings(), Instruments(), read_up_to=read_up_to)
    await log.start()
    assert await log.committed() == {0: 40}
    await log.append(envelopes(1))
    await log.stop()
    assert await store.query("SELECT DISTINCT log_offset FROM spans") == [{"log_offset": 40}]


async def test_after_a_restart_the_newest_requests_are_the_ones_remembered(
    store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.embedded_log.REMEMBERED", 3)
    now = datetime.now(UTC)
    sent = [make_envelope("default", [make_span()], now - timedelta(seconds=10 - n)) for n in range(10)]
    under_test = EmbeddedUnderTest(store)
    await under_test.log.start()
    await under_test.log.append(sent)
    await under_test.restart()
    await under_test.log.append(sent[-3:])
    await under_test.log.stop()
    assert await span_ids(store) == ids_of(*sent)


@pytest.mark.kafka
async def test_a_producer_that_can_send_no_more_is_built_anew(
    kafka_broker: Broker, kafka_topic: str, store: ClickHouseStore, tmp_path: Path
) -> None:
    [first, second, *_] = sent = [
        make_envelope("default", [make_span(attributes={"app.text": "x" * size})]) for size in (10, 100_000, 10, 100_000)
    ]
    async with kafka_log(kafka_broker, kafka_topic, store, tmp_path) as on_kafka:
        await on_kafka.log.append([first, second])
        for sender in (on_kafka.log._small, on_kafka.log._large):
            await sender._producer.stop()
        for envelope in sent[2:]:
            with pytest.raises(TraceLogError, match="check the brokers"):
                await on_kafka.log.append([envelope])
        await on_kafka.log.append(sent[2:])
        await arrived(store, *sent)


async def test_the_embedded_watermark_waits_for_what_is_unwritten(store: ClickHouseStore) -> None:
    now = datetime.now(UTC)
    log = EmbeddedTraceLog(store, IngestSettings(), Instruments(), lambda: now + timedelta(hours=1))
    await log.start()
    assert await log.watermark() == now + timedelta(hours=1)
    [envelope] = envelopes(1)
    append = asyncio.create_task(log.append([envelope]))
    await asyncio.sleep(0)
    assert await log.watermark() == envelope.received_at
    await append
    assert await log.watermark() == now + timedelta(hours=1)
    await log.stop()


async def test_one_insert_is_one_part(store: ClickHouseStore) -> None:
    """An insert within one day is atomic because it is one part."""
    log = EmbeddedTraceLog(store, IngestSettings(), Instruments())
    await log.start()
    await store.command("SYSTEM STOP MERGES spans")
    await log.append(envelopes(50, spans=40))
    rows = await store.query(
        "SELECT count() AS parts, sum(rows) AS n FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'spans' AND active"
    )
    await store.command("SYSTEM START MERGES spans")
    await log.stop()
    assert rows == [{"parts": 1, "n": 2000}]


async def test_a_log_refuses_a_store_without_schema(bare_store: ClickHouseStore) -> None:
    await bare_store.create_database()
    log = EmbeddedTraceLog(bare_store, IngestSettings(), Instruments())
    with pytest.raises(SchemaMismatchError):
        await log.start()
    await log.stop()
