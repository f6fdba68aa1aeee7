"""The reads of the API through clickhouse-connect's HTTP client: the same answers as from chDB inside the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.sections import QuerySettings
from storage.arms import ArmQuery, read_arm
from storage.clickhouse import ClickHouseStore, StoreError
from storage.metrics import MetricQuery, read_series
from storage.migrations import migrate_store
from storage.scope import ProjectReader, Range
from storage.spans import SpanQuery, detail, read_span, read_trace, search_spans, summary
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.http_front import HttpFront

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
SPAN = Range(START, START + timedelta(hours=1))
TRACE = b"\x07" * 16
AWKWARD = "it's \\ a {x:String} – 漢 'test'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpFront]:
    """A running front."""
    front = HttpFront(tmp_path_factory.mktemp("reads") / "chdb")
    front.start()
    yield front
    front.kill9()


@pytest.fixture
async def remote(server: HttpFront) -> AsyncIterator[ClickHouseStore]:
    """A migrated store behind the front."""
    store = ClickHouseStore(server.url, database="reads", threads=2)
    await store.create_database()
    await migrate_store(store)
    yield store
    await store.command("DROP DATABASE reads")
    await store.close()


async def answers(store: ClickHouseStore) -> list[Any]:
    """What every kind of read finds in the same spans."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.output_tokens": 12,
        "tracewarden.target": "bot",
        "tracewarden.release": "v1",
        "user.id": AWKWARD,
        "gen_ai.input.messages": '[{"role":"user","content":"Where is it?"}]',
    }
    spans = [
        make_span(
            trace_id=TRACE, span_id=bytes([number]) * 8, start=START + number * timedelta(minutes=9), attributes=attributes
        )
        for number in range(1, 4)
    ]
    await ingest_spans(store, "ours", spans, received_at=START + timedelta(hours=2))
    reader = ProjectReader(store, "ours")
    step = timedelta(minutes=10)
    query = MetricQuery("ours", "tokens.output", SPAN.start, SPAN.end, step, ("release", "user"), {"user": AWKWARD})
    arm = ArmQuery("ours", "tokens.output", "bot", "v1", SPAN.start, SPAN.end)
    one = await read_span(reader, TRACE.hex(), "02" * 8)
    assert one is not None
    return [
        await read_series(store, query),
        await read_arm(store, arm, block=step),
        [summary(row) for row in (await search_spans(reader, SpanQuery(SPAN, 2, {"user": AWKWARD}, "where IS"))).rows],
        [detail(row) for row in await read_trace(reader, TRACE.hex(), 10, bodies=True)],
        detail(one),
    ]


async def test_the_same_answers_as_inside_the_process(remote: ClickHouseStore, store: ClickHouseStore) -> None:
    far, near = await answers(remote), await answers(store)
    assert far == near
    series, arm, found, trace, _ = far
    assert [point.value for point in series[0].points] == [12, 12, 12, None, None, None]
    assert (arm.n, len(found), len(trace)) == (1, 2, 3)


async def test_a_limit_is_a_limit(remote: ClickHouseStore) -> None:
    await answers(remote)
    query = MetricQuery("ours", "latency.p95", SPAN.start, SPAN.end)
    with pytest.raises(StoreError) as refused:
        await read_series(remote, query, QuerySettings(timeout_s=0.000001))
    assert refused.value.code in (159, 160)


async def test_reads_change_nothing(remote: ClickHouseStore) -> None:
    with pytest.raises(StoreError) as refused:
        await ProjectReader(remote, "ours").fetch("TRUNCATE TABLE spans", SPAN)
    assert refused.value.code == 164
