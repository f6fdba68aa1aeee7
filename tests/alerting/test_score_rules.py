"""Rules and comparisons on scores: one scorer, the analyzer's own watermark, silence that is no recovery."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from alerting.backtest import backtest
from alerting.evaluation import Evaluator
from alerting.observation import Observation
from alerting.regression import ComparisonQuery, ReleaseComparison, Stretch, compare_releases
from alerting.threshold import observe_threshold
from alerting.wording import effect_text
from schemas.rules import InvalidRuleError, RegressionRule, Rule, ThresholdRule, parse_rule
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from tests.alerting.engine_world import World, world_settings
from tests.storage.scores import START, ScoreRow, insert_scores, look, score

HOUR = timedelta(hours=1)


def threshold(metric: str = "toxicity.share", **members: Any) -> ThresholdRule:
    found = parse_rule(
        {"kind": "threshold", "name": "r", "metric": metric, "threshold": 0.1, "window": "1h", "min_samples": 5, **members}
    )
    assert isinstance(found, ThresholdRule)
    return found


def regression(*metrics: str, **members: Any) -> RegressionRule:
    found = parse_rule({"kind": "regression", "name": "g", "profile": "guard", "metrics": list(metrics), **members})
    assert isinstance(found, RegressionRule)
    return found


def scores(release: str, count: int, share: float, *, seed: int = 1, **given: Any) -> Iterable[ScoreRow]:
    """One a minute; flagged ones have high values."""
    chance = random.Random(seed)
    for index in range(count):
        bad = chance.random() < share
        value = chance.uniform(0.6, 0.9) if bad else chance.uniform(0.0, 0.3)
        yield score(index * 120 / count, release=release, flagged=int(bad), value=value, **given)


def query(metric: str, *, concurrent: bool = True, **more: Any) -> ComparisonQuery:
    window = Stretch(START, START + 3 * HOUR)
    return ComparisonQuery("ours", metric, "bot", "v2", "v1", window, window, concurrent, 0.02, 0.05, **more)


async def compared(store: ClickHouseStore, metric: str, *rows: Iterable[ScoreRow], **more: Any) -> ReleaseComparison:
    for part in rows:
        await insert_scores(store, list(part))
    return await compare_releases(store, query(metric, **more))


async def test_every_verdict_on_a_share(store: ClickHouseStore) -> None:
    worse = await compared(store, "toxicity.share", scores("v1", 400, 0.02), scores("v2", 400, 0.3, seed=2))
    assert (worse.verdict, worse.scorer, worse.n_baseline, worse.n_candidate) == ("worse", "screen@1", 400, 400)
    assert worse.effect == pytest.approx(0.28, abs=0.05)
    assert worse.reason.endswith("; scored by screen@1")
    assert worse.minimum_detectable_effect is not None
    assert len(worse.examples) == 5
    assert "points" in effect_text(worse.evidence(1))


async def test_a_mean_score_is_compared_as_it_is_and_knows_its_bad_side(store: ClickHouseStore) -> None:
    found = await compared(store, "toxicity.mean", scores("v1", 400, 0.0), scores("v2", 400, 0.5, seed=2))
    assert (found.verdict, found.unit) == ("worse", "probability")
    assert found.effect == pytest.approx(0.3, abs=0.05)
    assert found.allowed == pytest.approx(0.02)
    assert effect_text(found.evidence(1)).startswith("+0.")
    rows = (scores("v1", 400, 0.0, name="grounding"), scores("v2", 400, 0.5, seed=2, name="grounding"))
    higher = await compared(store, "grounding.score", *rows)
    assert higher.verdict == "better"
    assert higher.allowed == pytest.approx(-0.02)


async def test_equal_releases_are_the_same_or_undecided(store: ClickHouseStore) -> None:
    rows = (scores("v1", 400, 0.1), scores("v2", 400, 0.1, seed=2))
    assert (await compared(store, "toxicity.share", *rows)).verdict in ("same", "not_yet")
    assert (await compared(store, "toxicity.mean")).verdict in ("same", "not_yet")
    sequential = await compared(store, "toxicity.mean", concurrent=False)
    assert sequential.allowed > 0.02


async def test_too_few_or_no_scores_are_no_verdict(store: ClickHouseStore) -> None:
    assert (await compared(store, "toxicity.share")).verdict == "not_yet"
    found = await compared(store, "toxicity.mean", scores("v1", 400, 0.0), scores("v2", 10, 1.0))
    assert (found.verdict, found.n_candidate, found.effect) == ("not_yet", 10, None)


async def test_two_scorers_are_never_compared(store: ClickHouseStore) -> None:
    mixed = await compared(
        store, "toxicity.share", scores("v1", 200, 0.0, scorer="screen@1"), scores("v2", 200, 0.9, scorer="detoxify@1")
    )
    assert (mixed.verdict, mixed.effect, mixed.interval_low) == ("not_yet", None, None)
    assert "scored by detoxify@1, the baseline by screen@1" in mixed.reason
    same = await compared(
        store, "toxicity.share", scores("v2", 200, 0.0, seed=5, scorer="screen@1"), filters={"scorer": "screen@1"}
    )
    assert same.verdict in ("same", "not_yet")
    assert same.effect is not None


async def observed(store: ClickHouseStore, rule: ThresholdRule, at: datetime, analyzed: datetime | None) -> Observation:
    [found] = await observe_threshold(store, rule, "ours", at, (), reached(analyzed))
    return found


def reached(at: datetime | None) -> Any:
    async def analyzed(analyzer: str) -> datetime | None:
        assert analyzer in ("toxicity", "drift")
        return at

    return analyzed


async def test_a_threshold_is_evaluated_up_to_where_its_analyzer_is(store: ClickHouseStore) -> None:
    await insert_scores(store, list(scores("v2", 60, 1.0)))
    rule, late = threshold(), START + 10 * HOUR
    lagging = await observed(store, rule, late, START + HOUR)
    assert (lagging.signal, lagging.at, lagging.value) == ("breach", START + HOUR, 1.0)
    assert lagging.identity == {"alertname": "r", "project": "ours"}
    assert (await observed(store, rule, late, late)).signal == "missing"
    nothing = await observed(store, rule, late, None)
    assert (nothing.signal, nothing.reason) == ("missing", "toxicity has analyzed nothing yet")
    [at_once] = await observe_threshold(store, rule, "ours", START + HOUR)
    assert at_once.signal == "breach"
    [few] = await observe_threshold(store, threshold(min_samples=50), "ours", START + HOUR)
    assert few.signal == "unsure"


async def test_another_version_of_a_scorer_goes_on_with_the_alert(store: ClickHouseStore) -> None:
    rule = threshold(group_by=["service"])
    seen = []
    for version in ("screen@1", "screen@2"):
        await insert_scores(store, list(scores("v2", 60, 1.0, scorer=version, scored_at=START + 5 * HOUR)))
        seen += await observe_threshold(store, rule, "ours", START + HOUR)
    assert seen[0].identity == seen[1].identity == {"alertname": "r", "project": "ours", "service": "assistant"}


async def test_drift_is_judged_by_its_latest_look(store: ClickHouseStore) -> None:
    rule = threshold("drift.alarm", threshold=0.5, min_samples=None)
    await look(store, 60, alarm=1)
    assert (await observed(store, rule, START + 20 * HOUR, START + 20 * HOUR)).signal == "breach"
    await look(store, 19 * 60, alarm=0)
    assert (await observed(store, rule, START + 20 * HOUR, START + 20 * HOUR)).signal == "clear"
    assert (await observed(store, rule, START + 20 * HOUR, START + 5 * HOUR)).signal == "breach"
    silent = START + timedelta(days=3)
    assert (await observed(store, rule, silent, silent)).signal == "missing"


def test_rules_take_metrics_of_scores_and_say_why_not() -> None:
    assert threshold("grounding.score", min_samples=None).bad_side == "below"
    assert regression("toxicity.share", "grounding.score", "quality.tokens_per_second").metrics
    with pytest.raises(InvalidRuleError, match=r"toxicity\.share is a share: add min_samples"):
        threshold(min_samples=None)
    with pytest.raises(InvalidRuleError, match=r"releases cannot be compared by drift\.score"):
        regression("drift.score")
    with pytest.raises(InvalidRuleError, match="no dimension 'tool'"):
        threshold(group_by=["tool"])


async def world_of(store: ClickHouseStore, control: ControlDatabase, folder: Any) -> World:
    """v1, then v2, an hour of each."""
    await control.migrate()
    world = World(store, control, world_settings(folder, "rules: []"), now=START)
    await world.release("v1")
    world.now = START + HOUR
    await world.release("v2")
    world.now = START + 2 * HOUR
    for release, first, bad in (("v1", 0, 0), ("v2", 60, 1)):
        rows = [
            score(first + index / 2, project="default", target="assistant", release=release, flagged=bad)
            for index in range(119)
        ]
        await insert_scores(store, rows)
    return world


async def test_a_release_is_judged_up_to_where_the_analyzer_is(store: ClickHouseStore, tmp_path: Any) -> None:
    control = ControlDatabase(sqlite_url(tmp_path))
    world = await world_of(store, control, tmp_path)

    async def signal(rule: Rule, analyzed: datetime | None) -> tuple[str, int]:
        [found] = await Evaluator(store, control, reached(analyzed)).observe(rule, "default", world.now)
        return found.signal, found.evidence[0].n_candidate

    rule = regression("toxicity.share")
    assert await signal(rule, world.now) == ("breach", 119)
    assert await signal(rule, None) == ("unsure", 0)
    assert await signal(rule, START + HOUR / 2) == ("unsure", 0)
    assert await signal(rule, START + 1.1 * HOUR) == ("unsure", 12)
    found = await backtest(store, control, rule, "default", START, world.now, HOUR, reached(world.now))
    assert len(found.firings) == 1
    await control.close()


async def test_a_replayed_threshold_ends_where_the_analyzer_is(store: ClickHouseStore, tmp_path: Any) -> None:
    control = ControlDatabase(sqlite_url(tmp_path))
    await insert_scores(store, list(scores("v2", 60, 1.0)))
    end = START + 6 * HOUR
    rule = threshold(**{"for": "0s"})
    for analyzed, evaluations in ((end, 6), (START + 2 * HOUR, 2), (None, 0)):
        found = await backtest(store, control, rule, "ours", START, end, HOUR, reached(analyzed))
        assert (found.evaluations, len(found.firings)) == (evaluations, min(1, evaluations))
    await control.close()
