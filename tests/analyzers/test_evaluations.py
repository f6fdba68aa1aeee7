"""Evaluations that applications report on their spans: scores under their own scorer, each once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from analyzers.evaluations import EvaluationCollector
from analyzers.seats import Seats
from schemas.instruments import Instruments
from schemas.metrics import UnknownMetricError, find_comparable, find_metric
from storage.analysis import Cursor, Seat, read_cursor, write_cursor
from storage.arms import ArmQuery, read_arm
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.evaluation_names import read_evaluation_names
from storage.metrics import MetricQuery, read_series
from storage.scope import ProjectReader, Range
from tests.analyzers.runner_world import TOPIC, chat, log_end
from tests.ingest.spans import ingest_spans, key_values, make_span

NOW = datetime.now(UTC).replace(minute=0, second=30, microsecond=0) - timedelta(hours=2)
SEAT = Seat("evaluations", TOPIC, 0)


def result(name: str = "Relevance", **said: Any) -> Span.Event:
    """One event; `said` under the keys after `gen_ai.evaluation.`, dots as two underscores; others as they are."""
    given = {"gen_ai.evaluation.name": name} if name else {}
    for key, value in said.items():
        dotted = key.replace("__", ".")
        given[dotted if dotted in ("error.type", "gen_ai.response.id") else f"gen_ai.evaluation.{dotted}"] = value
    return Span.Event(name="gen_ai.evaluation.result", attributes=key_values(given))


def evaluated(*events: Span.Event, scope: str = "judge", **more: Any) -> ResourceSpans:
    span = chat("hi", "hello", events=events, **more)
    span.scope_spans[0].scope.name = scope
    assert isinstance(span, ResourceSpans)
    return span


@pytest.fixture
def collector(store: ClickHouseStore, control: ControlDatabase) -> EvaluationCollector:
    return EvaluationCollector(
        store,
        control,
        Seats(control, TOPIC, lambda: NOW),
        committed=lambda: log_end(store),
        poll_s=0.01,
        clock=lambda: NOW + timedelta(minutes=1),
        instruments=Instruments(),
    )


async def collect(collector: EvaluationCollector) -> None:
    for _ in range(2):
        await collector.round(asyncio.Event())


async def scores(store: ClickHouseStore) -> list[dict[str, Any]]:
    # As the API reads them: versions of one row are looked for within a partition.
    sql = "SELECT * FROM scores FINAL ORDER BY name, scorer, trace_id, span_id, score_id"
    return await store.query(sql, settings={"do_not_merge_across_partitions_select_final": 1})


async def points(store: ClickHouseStore, metric: str, **more: Any) -> dict[tuple[str, ...], tuple[float | None, int]]:
    found = await read_series(store, MetricQuery("shop", metric, NOW - timedelta(hours=1), NOW + timedelta(hours=1), **more))
    return {tuple(one.labels.values()): (one.points[0].value, one.points[0].n) for one in found}


async def test_an_event_is_a_score_with_its_scorer_and_the_labels_of_its_trace(
    store: ClickHouseStore, collector: EvaluationCollector
) -> None:
    trace = os.urandom(16)
    root = make_span(trace_id=trace, start=NOW, attributes={"user.id": "eva", "tracewarden.release": "v9"})
    said: dict[str, Any] = {
        "score__value": 0.25,
        "score__label": "not_relevant",
        "explanation": "off topic",
        "gen_ai__response__id": "resp_1",
    }
    judged = evaluated(result(**said), trace_id=trace, parent_span_id=b"parents!", start=NOW)
    await ingest_spans(store, "shop", [root, judged], received_at=NOW)
    await collect(collector)

    (score,) = await scores(store)
    assert (score["name"], score["part"], score["source"], score["scorer"]) == (
        "Relevance",
        "completion",
        "evaluation",
        "judge",
    )
    assert (score["value"], score["flagged"], score["label"], score["explanation"]) == (0.25, 1, "not_relevant", "off topic")
    assert (score["target"], score["release"], score["user_id"]) == ("assistant", "v1", "eva")
    assert score["evidence"] == '[{"response_id":"resp_1"}]'
    assert score["trace_id"] == trace


@pytest.mark.parametrize(
    ("said", "value", "flagged", "reason"),
    [
        ({"score__value": "4"}, 4.0, None, ""),
        ({"score__label": "pass"}, 1.0, 0, ""),
        ({"score__label": "Not Relevant"}, 0.0, 1, ""),
        ({"score__label": "so so"}, None, None, ""),
        ({"score__value": "many", "score__label": "fail"}, None, 1, "not-a-number"),
        ({"score__value": "nan"}, None, None, "not-a-number"),
        ({"error__type": "timeout"}, None, None, "timeout"),
        ({"score__value": 0.0}, 0.0, None, ""),
    ],
)
async def test_what_an_event_says(
    store: ClickHouseStore,
    collector: EvaluationCollector,
    said: Mapping[str, Any],
    value: float | None,
    flagged: int | None,
    reason: str,
) -> None:
    await ingest_spans(store, "shop", [evaluated(result(**said), start=NOW)], received_at=NOW)
    await collect(collector)
    (score,) = await scores(store)
    assert (score["value"], score["flagged"], score["reason"]) == (value, flagged, reason)


async def test_reading_again_and_sending_again_change_nothing(
    store: ClickHouseStore, control: ControlDatabase, collector: EvaluationCollector
) -> None:
    twice = evaluated(result(score__value=1.0), result(score__value=0.0), result("", score__value=3.0), start=NOW)
    await ingest_spans(store, "shop", [twice], received_at=NOW)
    await collect(collector)
    first = await scores(store)
    assert [(row["name"], row["value"]) for row in first] == [("Relevance", 1.0), ("Relevance", 0.0), ("unnamed", 3.0)]

    # The sender packs the span into another request, after midnight; then the process has forgotten how far it was.
    await ingest_spans(store, "shop", [twice, make_span()], received_at=NOW + timedelta(hours=23, minutes=30))
    await collect(collector)
    await control.write(lambda connection: write_cursor(connection, SEAT, Cursor(0, None, None), NOW))
    await collect(collector)
    again = await scores(store)
    assert [(row["name"], row["value"], row["received_at"]) for row in again] == [
        (row["name"], row["value"], row["received_at"]) for row in first
    ]


async def test_long_stretches_are_read_in_parts(
    store: ClickHouseStore, control: ControlDatabase, collector: EvaluationCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyzers.evaluations.STRETCH_SPANS", 2)
    for _ in range(3):
        spans = [evaluated(result(score__value=1.0), start=NOW) for _ in range(2)]
        await ingest_spans(store, "shop", [*spans, make_span(start=NOW)], received_at=NOW)
    for _ in range(6):
        await collector.round(asyncio.Event())
    assert len(await scores(store)) == 6
    cursor = await control.read(lambda connection: read_cursor(connection, SEAT))
    assert (cursor.next_offset, cursor.seen_at) == ((await log_end(store))[0], NOW)


async def test_each_evaluation_has_metrics_that_never_mix_scorers(
    store: ClickHouseStore, collector: EvaluationCollector
) -> None:
    old = [evaluated(result(score__value=5.0, score__label="pass"), scope="people", start=NOW - timedelta(minutes=5))]
    new = [
        evaluated(result(score__value=value, score__label=label), start=NOW)
        for value, label in ((0.25, "fail"), (0.75, "pass"))
    ]
    other = evaluated(result("Tone", score__value=0.1), start=NOW)
    await ingest_spans(store, "shop", [*old, *new, other], received_at=NOW)
    await ingest_spans(store, "bank", [evaluated(result("Secret", score__value=0.1), start=NOW)], received_at=NOW)
    await collect(collector)

    assert await points(store, "evaluations.Relevance") == {("judge",): (0.5, 2)}
    assert await points(store, "evaluations.Relevance.bad_share") == {("judge",): (0.5, 2)}
    assert await points(store, "evaluations.Relevance", group_by=("scorer",)) == {("judge",): (0.5, 2), ("people",): (5.0, 1)}
    assert await points(store, "toxicity.mean") == {("",): (None, 0)}
    span = Range(NOW - timedelta(days=1), NOW + timedelta(hours=1), "arrival")
    assert await read_evaluation_names(ProjectReader(store, "shop"), span) == ["Relevance", "Tone"]

    query = ArmQuery("shop", "evaluations.Relevance", "assistant", "v1", NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    arm = await read_arm(store, query, block=timedelta(minutes=10))
    assert (arm.n, arm.mean, arm.scorer) == (2, 0.5, "judge")


def test_the_names_of_their_metrics() -> None:
    assert find_metric("evaluations.Answer relevance").worse == "down"
    share = find_comparable("evaluations.a.b.bad_share")
    assert (share.kind, share.worse, share.analyzer) == ("rate", "up", "evaluations")
    for name in ("evaluations.", "evaluations..bad_share", "evaluation.a"):
        with pytest.raises(UnknownMetricError):
            find_metric(name)
