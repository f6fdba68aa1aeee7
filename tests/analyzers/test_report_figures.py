"""How a report reads its figures: stretches in one query where they can be, and scores of one scorer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from analyzers.report.data import Figure
from analyzers.report.figures import Figures, ranges_of
from schemas.settings import QuerySettings
from storage.clickhouse import ClickHouseStore
from storage.metrics import MetricQuery, read_series
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.scores import insert_scores, score

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def figures_over(store: ClickHouseStore, start: datetime, end: datetime, zone: str = "UTC") -> Figures:
    return Figures(store, "ours", ranges_of(start, end, zone), QuerySettings())


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Santiago"])
async def test_each_day_says_what_it_says_alone(store: ClickHouseStore, zone: str) -> None:
    end = TODAY - timedelta(minutes={"UTC": 0, "Asia/Kathmandu": 345}.get(zone, -180))
    starts = [end - timedelta(hours=hours) for hours in range(1, 21 * 24, 5)]
    for batch in (starts[place : place + 20] for place in range(0, len(starts), 20)):
        await ingest_spans(store, "ours", [make_span(start=at) for at in batch], received_at=batch[0])
    figures = figures_over(store, end - 7 * DAY, end, zone)
    figure = await figures.one("spans.count")
    assert figure.value == sum(point.value or 0 for point in figure.points) == sum(at >= end - 7 * DAY for at in starts)
    for point in figure.points:
        for value, back in ((point.value, 0), (point.before, 7)):
            query = MetricQuery("ours", "spans.count", point.start - back * DAY, point.end - back * DAY)
            [alone] = await read_series(store, query)
            assert value == alone.points[0].value


async def test_each_service_is_told_by_its_own_scorer(store: ClickHouseStore) -> None:
    """A calibrated service has a scorer that no other has, and is not missing beside them."""
    at = TODAY - DAY
    rows = [score(service=service, scorer=scorer, flagged=flag, time=at, received_at=at) for service, scorer, flag in SCORES]
    await insert_scores(store, rows)
    found = await figures_over(store, at - DAY, at + DAY).grouped("toxicity.share", ("service",))
    assert {labels: (figure.labels["scorer"], figure.value, figure.n) for labels, figure in found.items()} == {
        ("chat",): ("screen@1", 0.5, 2),
        ("faq",): ("screen@1+faq", 1.0, 1),
    }


SCORES = [("chat", "screen@1", 0), ("chat", "screen@1", 1), ("faq", "screen@1+faq", 1)]


async def test_another_scorers_past_is_no_comparison(store: ClickHouseStore) -> None:
    now, then = TODAY - DAY, TODAY - 8 * DAY
    old = [score(scorer="screen@1", flagged=1, time=then, received_at=then) for _ in range(3)]
    await insert_scores(store, old)
    figures = figures_over(store, TODAY - 7 * DAY, TODAY)
    before: Figure = await figures.one("toxicity.share")
    assert (before.value, before.before, before.labels) == (None, 1.0, {})
    await insert_scores(store, [score(scorer="screen@2", flagged=0, time=now, received_at=now)])
    found = await figures.one("toxicity.share")
    assert (found.value, found.before, found.change, found.labels) == (0.0, None, None, {"scorer": "screen@2"})
