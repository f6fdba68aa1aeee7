"""Arms of a release comparison, against the same figures from NumPy."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from schemas.metrics import METRICS, UnknownMetricError
from storage.arms import ArmData, ArmQuery, Block, combine, read_arm
from storage.clickhouse import ClickHouseStore
from storage.scope import QueryError
from tests.ingest.spans import ingest_spans, make_span

# Within the retention, and whole hours.
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
HOUR = timedelta(hours=1)


def request(
    minute: float, sent: Mapping[str, Any] | None = None, *, release: str = "v2", number: int = 0, status: int = 0
) -> ResourceSpans:
    """A request of one span."""
    named = {"tracewarden.target": "bot", "tracewarden.release": release, "gen_ai.operation.name": "chat"}
    return make_span(
        trace_id=(number + 1).to_bytes(16, "big"),
        start=START + timedelta(minutes=minute),
        status=status,
        attributes={**named, **(sent or {})},
    )


def answered(tokens: int) -> dict[str, Any]:
    """Attributes of a response with this many tokens."""
    return {"gen_ai.usage.output_tokens": tokens}


async def arm(store: ClickHouseStore, metric: str, *, hours: int = 3, **more: Any) -> ArmData:
    query = ArmQuery("ours", metric, "bot", "v2", START, START + hours * HOUR, **more)
    return await read_arm(store, query, block=HOUR)


async def test_moments_are_those_of_the_logarithms(store: ClickHouseStore) -> None:
    chance = random.Random(3)
    outputs = [round(chance.lognormvariate(5, 1)) + 1 for _ in range(150)]
    spans = [request(index, answered(output), number=index) for index, output in enumerate(outputs)]
    noise = [request(index, answered(9), release="v1", number=1000 + index) for index in range(20)]
    await ingest_spans(store, "ours", spans + noise)
    found = await arm(store, "tokens.output")
    logs = np.log(outputs)
    assert (found.n, found.missing, found.events) == (150, 0, None)
    assert found.mean == pytest.approx(logs.mean())
    assert found.variance == pytest.approx(logs.var(ddof=1))
    assert [block.n for block in found.blocks] == [60, 60, 30]
    assert found.blocks[1].mean == pytest.approx(logs[60:120].mean())
    assert found.blocks[1].variance == pytest.approx(logs[60:120].var(ddof=1))
    worst = sorted(range(150), key=lambda index: -outputs[index])[:3]
    assert found.examples[0] == (worst[0] + 1).to_bytes(16, "big").hex()
    assert len(found.examples) == 5


async def test_a_block_with_a_single_request_does_not_spoil_the_whole(store: ClickHouseStore) -> None:
    outputs = [10, 20, 30, 40]
    spans = [request(index, answered(output), number=index) for index, output in enumerate(outputs)]
    await ingest_spans(store, "ours", [*spans, request(90, answered(50), number=9)])
    found = await arm(store, "tokens.output")
    assert (found.blocks[1].n, found.blocks[1].variance) == (1, 0.0)
    assert found.blocks[1].mean == pytest.approx(np.log(50))
    assert found.variance == pytest.approx(np.log([*outputs, 50]).var(ddof=1))


async def test_usage_of_a_request_is_the_sum_of_its_responses_each_once(store: ClickHouseStore) -> None:
    def call(minute: float, response: str, output: int) -> ResourceSpans:
        return request(minute, {"gen_ai.response.id": response, **answered(output)})

    await ingest_spans(store, "ours", [call(1, "a", 10), call(1.01, "a", 10), call(1.02, "b", 7)])
    agent = {"gen_ai.operation.name": "invoke_agent", **answered(17)}
    await ingest_spans(store, "ours", [request(1.03, agent)])
    found = await arm(store, "tokens.output")
    assert found.n == 1
    assert found.mean == pytest.approx(np.log(17))


async def test_requests_without_a_value_are_missing_and_not_zero(store: ClickHouseStore) -> None:
    values = [answered(5), answered(0), {}]
    await ingest_spans(store, "ours", [request(index, found, number=index) for index, found in enumerate(values)])
    found = await arm(store, "tokens.output")
    assert (found.n, found.missing) == (1, 2)
    assert found.mean == pytest.approx(np.log(5))
    found = await arm(store, "cost.usd")
    assert (found.n, found.missing, found.blocks, found.examples) == (0, 3, (), ())


async def test_an_error_rate_counts_events(store: ClickHouseStore) -> None:
    spans = [request(index * 10, number=index, status=2 if index % 4 == 0 else 0) for index in range(12)]
    await ingest_spans(store, "ours", spans)
    found = await arm(store, "errors.rate")
    assert (found.n, found.events, found.mean) == (12, 3, 0.25)
    assert set(found.examples) == {(index + 1).to_bytes(16, "big").hex() for index in (0, 4, 8)}
    assert found.variance == pytest.approx(np.var([1] * 3 + [0] * 9, ddof=1))


async def test_by_arrival_a_request_counts_when_its_top_span_arrived(store: ClickHouseStore) -> None:
    await ingest_spans(store, "ours", [request(1, number=1)], received_at=START + 2 * HOUR)
    await ingest_spans(store, "ours", [request(1, number=2)], received_at=START + 5 * HOUR)
    assert (await arm(store, "latency")).n == 2
    assert (await arm(store, "latency", axis="arrival")).n == 1


async def test_a_release_set_on_any_span_and_filters(store: ClickHouseStore) -> None:
    trace = (1).to_bytes(16, "big")
    root = make_span(trace_id=trace, start=START, duration_s=9, resource={"service.name": "web"})
    await ingest_spans(store, "ours", [root, request(1)])
    found = await arm(store, "latency", filters={"service": "web"})
    assert found.n == 1
    assert found.mean == pytest.approx(np.log(9000))
    assert (await arm(store, "latency", filters={"service": "assistant"})).n == 0


async def test_every_comparable_metric_has_arms_and_no_other(store: ClickHouseStore) -> None:
    for metric in METRICS:
        if metric.comparable:
            assert (await arm(store, metric.name)).n == 0
        else:
            with pytest.raises(UnknownMetricError):
                await arm(store, metric.name)
    with pytest.raises(QueryError, match="shorter than a second"):
        await read_arm(store, ArmQuery("ours", "latency", "bot", "v2", START, START + HOUR), block=timedelta(0))
    with pytest.raises(QueryError, match="no dimension"):
        await arm(store, "latency", filters={"project": "theirs"})


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), max_size=9))
def test_blocks_combine_to_the_whole(parts: list[list[float]]) -> None:
    blocks = [Block(len(part), float(np.mean(part)), float(np.var(part, ddof=1)) if len(part) > 1 else 0.0) for part in parts]
    whole = np.array([value for part in parts for value in part])
    found = combine(blocks)
    assert found.n == len(whole)
    if found.n:
        assert found.mean == pytest.approx(whole.mean(), abs=1e-9)
    if found.n > 1:
        assert found.variance == pytest.approx(whole.var(ddof=1), abs=1e-6)
