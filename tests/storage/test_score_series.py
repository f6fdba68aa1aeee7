"""Metrics of scores over time, against the same figures in Python."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

import schemas.metrics
from schemas.metrics import DuplicateMetricError, ScoreMetric, catalogue, find_metric, register_score_metrics
from storage.clickhouse import ClickHouseStore
from storage.metrics import MetricQuery, Series, read_series
from storage.scope import QueryError
from tests.storage.scores import START, insert_scores, look, score

HOUR = timedelta(hours=1)


async def series(store: ClickHouseStore, metric: str, hours: float = 3, **more: Any) -> list[Series]:
    return await read_series(store, MetricQuery("ours", metric, START, START + hours * HOUR, **more))


async def points(store: ClickHouseStore, metric: str, **more: Any) -> dict[tuple[str, ...], list[Any]]:
    found = await series(store, metric, **more)
    return {tuple(one.labels.values()): [(point.value, point.n) for point in one.points] for one in found}


async def labels(store: ClickHouseStore, metric: str, **more: Any) -> list[Mapping[str, str]]:
    return [one.labels for one in await series(store, metric, **more)]


async def test_a_share_is_weighted_by_the_spans_each_score_stands_for(store: ClickHouseStore) -> None:
    rows = [score(index, flagged=index % 3 == 0, value=index / 10, weight=1.0 + index) for index in range(9)]
    await insert_scores(store, rows)
    weights = [row.weight for row in rows]
    flagged = sum(row.weight for row in rows if row.flagged) / sum(weights)
    mean = sum(row.weight * (row.value or 0) for row in rows) / sum(weights)
    assert await points(store, "toxicity.share") == {("screen@1",): [(pytest.approx(flagged), 9)]}
    assert await points(store, "toxicity.mean") == {("screen@1",): [(pytest.approx(mean), 9)]}
    assert await points(store, "toxicity.prompt_share") == {("",): [(None, 0)]}


async def test_abstained_rows_and_numbers_that_are_none_do_not_count(store: ClickHouseStore) -> None:
    abstained = score(name="grounding", value=None, flagged=None, reason="no-context")
    nan = score(name="grounding", value=float("nan"), flagged=0)
    await insert_scores(store, [abstained, nan])
    assert await points(store, "grounding.unsupported_share") == {("",): [(None, 0)]}
    await insert_scores(store, [score(name="grounding", value=0.8, flagged=0)])
    assert await points(store, "grounding.unsupported_share") == {("screen@1",): [(0.0, 1)]}
    assert await points(store, "grounding.score") == {("screen@1",): [(0.8, 1)]}


async def test_steps_without_scores_are_null_and_never_zero(store: ClickHouseStore) -> None:
    await insert_scores(store, [score(5, flagged=1), score(125, flagged=0)])
    assert await points(store, "toxicity.share", step=HOUR) == {("screen@1",): [(1.0, 1), (None, 0), (0.0, 1)]}


async def test_a_replay_changes_nothing_and_a_later_version_replaces(store: ClickHouseStore) -> None:
    rows = [score(index, flagged=0) for index in range(4)]
    for _ in range(3):
        await insert_scores(store, rows)
    assert await points(store, "toxicity.share") == {("screen@1",): [(0.0, 4)]}
    again = score(0, trace_id=rows[0].trace_id, span_id=rows[0].span_id, flagged=1, scored_at=rows[0].scored_at + HOUR)
    await insert_scores(store, [again])
    assert await points(store, "toxicity.share") == {("screen@1",): [(0.25, 4)]}
    assert await points(store, "toxicity.share", axis="arrival") == {("screen@1",): [(0.25, 4)]}


async def test_scorers_are_never_mixed(store: ClickHouseStore) -> None:
    old = [score(index, scorer="screen@1", flagged=0) for index in range(6)]
    new = [score(10 + index, scorer="detoxify@2", flagged=1) for index in range(2)]
    await insert_scores(store, [*old, *new])
    assert await points(store, "toxicity.share") == {("detoxify@2",): [(1.0, 2)]}
    assert await points(store, "toxicity.share", filters={"scorer": "screen@1"}) == {("screen@1",): [(0.0, 6)]}
    assert await points(store, "toxicity.share", filters={"scorer": "other@1"}) == {("other@1",): [(None, 0)]}
    by_scorer = await points(store, "toxicity.share", group_by=("scorer",))
    assert by_scorer == {("detoxify@2",): [(1.0, 2)], ("screen@1",): [(0.0, 6)]}
    by_release = await labels(store, "toxicity.share", group_by=("release",))
    assert by_release == [{"release": "v2", "scorer": "detoxify@2"}]


async def test_of_one_span_scored_twice_the_later_scorer_counts(store: ClickHouseStore) -> None:
    row = score(1, scorer="z@1", flagged=1)
    later = score(
        1, trace_id=row.trace_id, span_id=row.span_id, scorer="a@2", flagged=0, scored_at=row.scored_at + timedelta(days=1)
    )
    await insert_scores(store, [row, later])
    assert await points(store, "toxicity.share") == {("a@2",): [(0.0, 1)]}


async def test_what_people_say_counts_for_their_metric_only(store: ClickHouseStore) -> None:
    verdict = score(source="human", scorer="human@1", flagged=1, value=1.0, scored_at=START + HOUR)
    down = score(name="thumbs", source="human", scorer="human@1", flagged=1, value=0.0, received_at=START + timedelta(days=1))
    await insert_scores(store, [verdict, down, score(flagged=0)])
    assert await points(store, "toxicity.share") == {("screen@1",): [(0.0, 1)]}
    assert await points(store, "feedback.negative_share") == {("human@1",): [(1.0, 1)]}
    assert await points(store, "feedback.negative_share", axis="arrival") == {("",): [(None, 0)]}


async def test_projects_and_dimensions_are_apart(store: ClickHouseStore) -> None:
    given: dict[str, Any] = {"service": "web", "model": "m", "release": "v1", "user_id": "ann", "flagged": 1}
    await insert_scores(store, [score(**given), score(), score(project="theirs", flagged=1, scorer="theirs@1")])
    grouped = await points(store, "toxicity.share", group_by=("service", "release"))
    assert grouped == {("assistant", "v2", "screen@1"): [(0.0, 1)], ("web", "v1", "screen@1"): [(1.0, 1)]}
    for filters in ({"user": "ann"}, {"release": "v1", "service": "web"}, {"model": "m"}):
        assert await points(store, "toxicity.share", filters=filters) == {("screen@1",): [(1.0, 1)]}
    with pytest.raises(QueryError, match="no dimension 'tool'"):
        await series(store, "toxicity.share", group_by=("tool",))


async def test_every_metric_of_scores_answers_for_every_dimension(store: ClickHouseStore) -> None:
    for metric in catalogue():
        if isinstance(metric, ScoreMetric):
            await insert_scores(store, [score(name=metric.score, part=metric.part, source=metric.source, flagged=1, value=1.0)])
            for axis in ("event", "arrival"):
                [one] = await series(store, metric.name, axis=axis, filters={"service": "assistant", "user": ""})
                assert one.points[0].value == 1.0, metric.name
            assert len(await series(store, metric.name, group_by=metric.dimensions, step=HOUR)) == 1


async def test_of_drift_the_latest_look_counts_and_the_largest_stream(store: ClickHouseStore) -> None:
    await look(store, 10, effect=0.5, score=9.0, alarm=1)
    await look(store, 50, effect=0.9, score=9.0)
    await look(store, 50, effect=0.2, score=3.0, looked_at=START + HOUR)
    await look(store, 40, effect=0.3, score=2.0, slice_service="web", part="completion")
    assert await points(store, "drift.effect") == {(): [(0.3, 2)]}
    assert await points(store, "drift.score") == {(): [(3.0, 2)]}
    assert await points(store, "drift.alarm") == {(): [(0.0, 2)]}
    assert await points(store, "drift.alarm", step=HOUR / 2) == {(): [(1.0, 1), (0.0, 2), *[(None, 0)] * 4]}
    by_part = await points(store, "drift.effect", group_by=("part", "service"))
    assert by_part == {("completion", "web"): [(0.3, 1)], ("prompt", "assistant"): [(0.2, 1)]}
    assert await points(store, "drift.effect", filters={"service": "nobody"}) == {(): [(None, 0)]}
    await look(store, 55, effect=None, score=None, alarm=None)
    assert await points(store, "drift.alarm", filters={"part": "prompt"}) == {(): [(None, 0)]}


def declared(description: str = "Mine.", **given: Any) -> ScoreMetric:
    return ScoreMetric(
        "mine.share", "ratio", description, "rate", "score", "up", True, **{"score": "mine", "of": "mine", **given}
    )


def test_third_parties_declare_metrics_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas.metrics, "_BY_NAME", dict(schemas.metrics._BY_NAME))
    register_score_metrics(declared())
    register_score_metrics(declared())
    assert find_metric("mine.share") == declared()
    assert catalogue()[-1] == declared()
    with pytest.raises(DuplicateMetricError, match=r"'mine\.share'"):
        register_score_metrics(declared("Another."))
    with pytest.raises(DuplicateMetricError):
        register_score_metrics(ScoreMetric("spans.count", "", "", "rate", "score", score="mine"))
    with pytest.raises(ValueError, match="width"):
        declared(width=0.0)
    with pytest.raises(ValueError, match="kind"):
        ScoreMetric("mine.other", "", "", "count", "score", score="mine")


async def test_grouped_by_service_each_has_its_own_newest_scorer(store: ClickHouseStore) -> None:
    rows = [
        score(1, flagged=1, service="a", scorer="g@1"),
        score(2, flagged=0, service="a", scorer="g@1+cal_a"),
        score(3, flagged=1, service="b", scorer="g@1"),
    ]
    await insert_scores(store, rows)
    assert await points(store, "toxicity.share", group_by=("service",)) == {
        ("a", "g@1+cal_a"): [(0.0, 1)],
        ("b", "g@1"): [(1.0, 1)],
    }
    assert await points(store, "toxicity.share") == {("g@1",): [(1.0, 2)]}
    assert await points(store, "toxicity.share", filters={"service": "a"}) == {("g@1+cal_a",): [(0.0, 1)]}
