"""Is the metric back? Judged on real spans in chDB."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from alerting.recovery import MetricRecovery
from schemas.evidence import Evidence
from schemas.metrics import UnknownMetricError
from storage.clickhouse import ClickHouseStore
from storage.rollbacks import Rollback
from tests.alerting.rollback_world import evidence
from tests.ingest.spans import ingest_spans, make_span

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
EXECUTED = NOW - timedelta(minutes=5)
BREACH = NOW - timedelta(minutes=10)
BREACHED = evidence().model_copy(
    update={"metric": "tokens.output", "unit": "tokens", "window_start": BREACH, "window_end": EXECUTED, "effect": 0.6}
)


def rollback(of: Evidence = BREACHED) -> Rollback:
    return Rollback(
        id="rb_1",
        project="shop",
        target="chat",
        state="verifying",
        state_reason="",
        mode="auto",
        automatic=True,
        actor="rule:tokens",
        reason="longer",
        from_release="v2",
        to_release="v1",
        from_weights={"v2": 100.0},
        from_generation=3,
        created_at=EXECUTED,
        generation=4,
        evidence=of,
        executed_at=EXECUTED,
    )


async def requests(store: ClickHouseStore, release: str, start: datetime, end: datetime, count: int, tokens: float) -> None:
    """`count` requests of log-normal length around `tokens`, spread over the stretch; five arrivals."""
    dice = random.Random(f"{release}{start}{count}")
    for part in range(5):
        at = start + (end - start) * part / 5
        spans = [request(release, at, round(tokens * math.exp(dice.gauss(0, 0.3)))) for _ in range(count // 5)]
        await ingest_spans(store, "shop", spans, received_at=at)


def request(release: str, at: datetime, tokens: int) -> ResourceSpans:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.output_tokens": tokens,
        "tracewarden.target": "chat",
        "tracewarden.release": release,
    }
    return make_span(start=at, attributes=attributes)


def known_up_to(time: datetime | None) -> Callable[[], Awaitable[datetime | None]]:
    async def watermark() -> datetime | None:
        return time

    return watermark


@pytest.fixture
async def recovery(store: ClickHouseStore) -> MetricRecovery:
    await requests(store, "v1", BREACH - timedelta(minutes=20), BREACH, 120, 400)
    await requests(store, "v2", BREACH, EXECUTED, 60, 640)
    return MetricRecovery(store, known_up_to(NOW))


async def test_as_long_as_before_is_back(store: ClickHouseStore, recovery: MetricRecovery) -> None:
    await requests(store, "v1", EXECUTED, NOW - timedelta(seconds=10), 80, 400)
    found = await recovery(rollback(), EXECUTED)
    assert found.status == "back", found
    assert found.figures["n_restored"] == 80
    assert found.figures["interval_high"] < 0.6


async def test_as_long_as_the_breach_is_worse(store: ClickHouseStore, recovery: MetricRecovery) -> None:
    await requests(store, "v1", EXECUTED, NOW - timedelta(seconds=10), 120, 800)
    found = await recovery(rollback(), EXECUTED)
    assert found.status == "worse", found


async def test_a_handful_of_requests_says_nothing_yet(store: ClickHouseStore, recovery: MetricRecovery) -> None:
    await requests(store, "v1", EXECUTED, NOW - timedelta(seconds=10), 5, 400)
    assert (await recovery(rollback(), EXECUTED)).status == "not_yet"
    assert (await recovery(rollback(), NOW)).status == "not_yet"


@pytest.mark.usefixtures("recovery")
@pytest.mark.parametrize("stored", [None, EXECUTED + timedelta(seconds=2)])
async def test_what_is_not_all_stored_proves_nothing(store: ClickHouseStore, stored: datetime | None) -> None:
    await requests(store, "v1", EXECUTED, NOW - timedelta(seconds=10), 80, 400)
    assert (await MetricRecovery(store, known_up_to(stored))(rollback(), EXECUTED)).status == "not_yet"


async def test_a_metric_that_cannot_be_compared_is_an_error(recovery: MetricRecovery) -> None:
    with pytest.raises(UnknownMetricError):
        await recovery(rollback(BREACHED.model_copy(update={"metric": "spans.count"})), EXECUTED)
