"""Arms of a comparison by scores, against the same figures from NumPy."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from storage.clickhouse import ClickHouseStore
from storage.metrics import ArmData, ArmQuery, read_arm
from tests.storage.scores import START, ScoreRow, insert_scores, score

HOUR = timedelta(hours=1)


async def arm(store: ClickHouseStore, metric: str, **more: Any) -> ArmData:
    query = ArmQuery("ours", metric, "bot", "v2", START, START + 3 * HOUR, **more)
    return await read_arm(store, query, block=HOUR)


def scores(count: int, seed: int, **given: Any) -> list[ScoreRow]:
    chance = random.Random(seed)
    values = [chance.betavariate(1, 4) for _ in range(count)]
    return [score(index, value=value, flagged=int(value > 0.4), **given) for index, value in enumerate(values)]


def values_of(rows: list[ScoreRow]) -> Any:
    return np.array([row.value for row in rows])


async def test_equal_weights_give_the_plain_moments_on_the_natural_scale(store: ClickHouseStore) -> None:
    rows = scores(150, 1, weight=4.0)
    await insert_scores(store, [*rows, score(release="v1"), score(project="theirs"), score(part="prompt")])
    found, values = await arm(store, "toxicity.mean"), values_of(rows)
    assert (found.n, found.missing, found.events, found.scorer) == (150, 0, None, "screen@1")
    assert found.mean == pytest.approx(values.mean())
    assert found.variance == pytest.approx(values.var(ddof=1))
    assert [block.n for block in found.blocks] == [60, 60, 30]
    assert found.blocks[1].mean == pytest.approx(values[60:120].mean())
    assert found.blocks[1].variance == pytest.approx(values[60:120].var(ddof=1))
    worst = sorted(rows, key=lambda row: -(row.value or 0))[:5]
    assert list(found.examples) == [row.trace_id.hex() for row in worst]


async def test_a_share_counts_flagged_requests(store: ClickHouseStore) -> None:
    rows = scores(90, 2)
    await insert_scores(store, rows)
    found = await arm(store, "toxicity.share")
    flagged = [row for row in rows if row.flagged]
    assert (found.n, found.events) == (90, len(flagged))
    assert set(found.examples) <= {row.trace_id.hex() for row in flagged}


async def test_unequal_weights_count_as_what_they_tell(store: ClickHouseStore) -> None:
    rows = [score(index, value=0.1 * (index % 7), flagged=index % 5 == 0, weight=1.0 + index % 4) for index in range(120)]
    await insert_scores(store, rows)
    weights = np.array([row.weight for row in rows])
    kish = weights.sum() ** 2 / (weights**2).sum()
    found, mean = await arm(store, "toxicity.mean"), np.average(values_of(rows), weights=weights)
    assert found.n == int(kish) < 120
    assert found.mean == pytest.approx(mean)
    spread = np.average((values_of(rows) - mean) ** 2, weights=weights)
    assert found.variance == pytest.approx(spread * found.n / (found.n - 1))
    share = await arm(store, "toxicity.share")
    assert share.events == round(found.n * np.average([row.flagged or 0 for row in rows], weights=weights))


async def test_a_request_is_one_observation_however_many_scores_it_has(store: ClickHouseStore) -> None:
    trace = b"\x07" * 16
    rows = [score(index, trace_id=trace, value=value, flagged=value > 0.5) for index, value in enumerate((0.1, 0.9, 0.2))]
    abstained = score(3, trace_id=trace, value=None, flagged=None)
    await insert_scores(store, [*rows, abstained, score(4, value=None, flagged=None)])
    share, mean = await arm(store, "toxicity.share"), await arm(store, "toxicity.mean")
    assert (share.n, share.events, share.missing) == (1, 1, 1)
    assert (mean.n, mean.missing) == (1, 1)
    assert mean.mean == pytest.approx(0.4)


async def test_the_worst_of_a_metric_that_falls_are_the_lowest(store: ClickHouseStore) -> None:
    rows = scores(20, 3, name="grounding")
    await insert_scores(store, rows)
    found = await arm(store, "grounding.score")
    assert found.examples[0] == min(rows, key=lambda row: row.value or 0).trace_id.hex()


async def test_speeds_are_compared_by_their_logarithm(store: ClickHouseStore) -> None:
    speeds = [10.0, 20.0, 40.0, 0.0]
    await insert_scores(store, [score(name="tokens_per_second", part="", value=speed, flagged=None) for speed in speeds])
    found = await arm(store, "quality.tokens_per_second")
    assert (found.n, found.missing) == (3, 1)
    assert found.mean == pytest.approx(np.log(speeds[:3]).mean())


async def test_one_scorer_is_read_and_named(store: ClickHouseStore) -> None:
    await insert_scores(store, [*scores(40, 4, scorer="screen@1"), *[score(60 + i, scorer="big@1") for i in range(3)]])
    assert ((found := await arm(store, "toxicity.share")).n, found.scorer) == (3, "big@1")
    found = await arm(store, "toxicity.share", filters={"scorer": "screen@1"})
    assert (found.n, found.scorer) == (40, "screen@1")


async def test_replays_and_empty_ranges(store: ClickHouseStore) -> None:
    empty = await arm(store, "toxicity.share")
    assert (empty.n, empty.events, empty.blocks, empty.examples, empty.scorer) == (0, 0, (), (), "")
    rows = scores(50, 5)
    await insert_scores(store, rows)
    first = await arm(store, "toxicity.mean", axis="arrival")
    await insert_scores(store, rows)
    assert await arm(store, "toxicity.mean", axis="arrival") == first
    assert first.n == 50


async def test_values_all_alike_have_no_variance(store: ClickHouseStore) -> None:
    await insert_scores(store, [score(index, value=0.1) for index in range(100)])
    assert (await arm(store, "toxicity.mean")).variance == 0.0
