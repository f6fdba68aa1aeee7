"""The look at drift on real stores: one decision a closed unit, the same however often and by whomever it is asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select, update

from analyzers.drift import novel_texts
from schemas.control.analysis import drift_references
from schemas.instruments import Instruments
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.drift import LookRow, looks_between
from storage.drift_references import list_references
from tests.analyzers.drift_world import MINUTE, SETTINGS, START, DriftWorld, TopicModel

REFERENCE_ENDS = 7
"""Of the first minute nothing is used: the stream began somewhere within it."""


@pytest.fixture
async def world(store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[DriftWorld]:
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    made = DriftWorld(store, control)
    yield made
    await made.close()
    await control.close()


async def rows_of(world: DriftWorld, **labels: str) -> list[LookRow]:
    """The looks at one slice, by default the service and target."""
    wanted = {"release": "", "model": "", **labels}
    found = await looks_between(world.store, "ours", "1m", START, START + timedelta(days=1))
    return [row for row in found if (row.slice_release, row.slice_model) == (wanted["release"], wanted["model"])]


async def references(world: DriftWorld) -> list[Any]:
    return await world.control.read(lambda connection: list_references(connection, "ours", retired=True))


def told(rows: list[LookRow]) -> list[LookRow]:
    """Without the time of the look itself."""
    return [replace(row, looked_at=START) for row in rows]


async def test_from_the_first_text_to_a_drift(world: DriftWorld) -> None:
    await world.minutes(0, 12)
    await world.minutes(12, 3, share_new=0.3)
    await world.look_at(15)
    rows = await rows_of(world)
    assert [row.verdict for row in rows[: REFERENCE_ENDS - 1]] == ["collecting-reference"] * (REFERENCE_ENDS - 1)
    assert all(row.effect is None and row.alarm is None for row in rows[:REFERENCE_ENDS])
    assert "the reference reaches to" in rows[REFERENCE_ENDS - 1].reason
    assert [row.verdict for row in rows[REFERENCE_ENDS:12]] == ["no-drift"] * 5
    last = rows[-1]
    assert (last.verdict, last.alarm, last.n, last.window_n) == ("drift", 1, 60, last.window_units * 60)
    assert last.effect is not None
    assert last.effect_low is not None
    assert last.effect_high is not None
    assert 0 < last.effect_low < last.effect < last.effect_high
    assert last.onset is not None
    assert abs(last.onset - (START + 12 * MINUTE)) <= MINUTE
    evidence = json.loads(last.evidence)
    assert all(each["text"].startswith("new:") for each in evidence["exemplars"])
    assert evidence["exemplars"][0]["nearest"]["text"].startswith("t")
    largest = evidence["clusters"][0]
    assert largest["share_then"] < 0.02 < 0.1 < largest["share_now"]
    assert {each["text"].partition(":")[0] for each in largest["examples"]} == {"new"}


async def test_texts_that_resemble_nothing_known_are_found_as_novel(world: DriftWorld) -> None:
    """They lie in no common direction, so that the means hardly move; what they share is their distance from all topics."""
    await world.minutes(0, 11)
    await world.minutes(11, 2, share_odd=0.2)
    await world.look_at(13)
    rows = await rows_of(world)
    assert [row.verdict for row in rows[REFERENCE_ENDS:11]] == ["no-drift"] * 4
    last = rows[-1]
    novelty = json.loads(last.novelty)
    assert (last.verdict, last.alarm) == ("drift", 1)
    assert last.score is not None
    assert last.threshold is not None
    assert novelty["score"] - novelty["threshold"] > max(0.0, last.score - last.threshold)
    assert novelty["likeness"] < novelty["likeness_then"]
    assert novelty["n"] == sum(last.likeness_n[-novelty["units"] :])
    assert last.window_units == novelty["units"]
    assert "; for novelty the last" in last.reason
    assert last.onset is not None
    assert abs(last.onset - (START + 11 * MINUTE)) <= MINUTE
    found = json.loads(last.evidence)["novel"]
    assert [each["text"][:3] for each in found] == ["odd"] * 8
    assert [each["likeness"] for each in found] == sorted(each["likeness"] for each in found)
    assert found[0]["likeness"] < novelty["likeness"]


async def test_novelty_looks_at_the_texts_of_the_slice_alone(world: DriftWorld) -> None:
    await world.minutes(0, 9, release="v1")
    await world.send([f"t1:a{i}" for i in range(40)], START + 9 * MINUTE, release="v1")
    await world.send([f"odd{i}:b" for i in range(40)], START + 9 * MINUTE, release="v2")
    await world.look_at(10)
    kept = await world.store.query(
        "SELECT release, count() AS n FROM embedding_samples FINAL WHERE bucket = {at:DateTime('UTC')} GROUP BY release",
        {"at": START + 9 * MINUTE},
    )
    sampled = {row["release"]: row["n"] for row in kept}
    for release in ("v1", "v2"):
        assert (await rows_of(world, release=release))[-1].likeness_n[-1] == sampled[release]
    whole, odd = (await rows_of(world))[-1], (await rows_of(world, release="v2"))[-1]
    assert whole.likeness_n[-1] == sum(sampled.values())
    assert odd.verdict == "drift"
    assert odd.likeness_sums[-1] / odd.likeness_n[-1] < whole.likeness_sums[-1] / whole.likeness_n[-1]


async def test_a_unit_without_texts_says_nothing_about_novelty(world: DriftWorld) -> None:
    await world.minutes(0, 9)
    await world.minutes(10, 1)
    await world.look_at(11)
    silent, after = (await rows_of(world))[9:11]
    assert (silent.verdict, silent.novelty) == ("no-data", "{}")
    assert silent.likeness_n[-1] == 0
    assert after.likeness_n[-2] == 0
    assert json.loads(after.novelty)["n"] == sum(after.likeness_n[-json.loads(after.novelty)["units"] :])


async def test_a_reference_that_knows_no_topics_is_still_looked_from(world: DriftWorld) -> None:
    """As one that was made before there was a scan of novelty."""
    await world.minutes(0, 9)
    await world.look_at(9)

    def forget(connection: Connection) -> None:
        (state,) = connection.execute(select(drift_references.c.state)).scalars()
        connection.execute(update(drift_references).values(state={k: v for k, v in state.items() if k != "novelty"}))

    await world.control.write(forget)
    await world.looks._leave()
    world.looks = world.new_looks()
    await world.minutes(9, 2, share_new=0.5)
    await world.look_at(11)
    last = (await rows_of(world))[-1]
    assert (last.verdict, last.novelty, last.likeness_n) == ("drift", "{}", ())


async def test_of_a_unit_with_many_texts_some_are_looked_at(world: DriftWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which, the texts say: another process takes the same."""
    monkeypatch.setattr(novel_texts, "TEXTS", 25)
    await world.minutes(0, 10)
    await world.look_at(10)
    before = told(await rows_of(world))
    assert set(before[-1].likeness_n) == {25}
    await world.looks._leave()
    await world.store.command("TRUNCATE TABLE drift_looks")
    world.looks = world.new_looks()
    await world.look_at(10)
    again = told(await rows_of(world))
    assert again[-1].likeness_sums == pytest.approx(before[-1].likeness_sums, rel=1e-9)


async def test_looking_again_changes_nothing(world: DriftWorld) -> None:
    await world.minutes(0, 14, share_new=0.0)
    await world.look_at(14)
    before = await rows_of(world)
    assert await world.look_at(14.2) == 0, "no unit has closed since"
    assert await world.looks.run_once(world.now) == 0
    await world.looks._leave()
    world.looks = world.new_looks()
    assert await world.look_at(14.4) == 0, "nor for another process"
    assert await rows_of(world) == before


async def test_every_minute_or_once_at_the_end_is_the_same(world: DriftWorld) -> None:
    await world.minutes(0, 13)
    await world.minutes(13, 2, share_new=0.4)
    for minute in range(4, 150, 7):
        await world.look_at(minute / 10)
    await world.look_at(15)
    often = told(await rows_of(world))
    assert len(await references(world)) == 1
    await world.looks._leave()
    await world.store.command("TRUNCATE TABLE drift_looks")
    world.looks = world.new_looks()
    await world.look_at(15)
    once = told(await rows_of(world))
    assert [(row.time, row.verdict, row.alarm) for row in once] == [(row.time, row.verdict, row.alarm) for row in often]
    assert [row.score for row in once[7:]] == pytest.approx([row.score for row in often[7:]], rel=1e-12)
    assert [row.second_opinion for row in once[7:]] == pytest.approx([row.second_opinion for row in often[7:]], rel=1e-9)
    assert [row.likeness_n for row in once] == [row.likeness_n for row in often]
    for one, other in zip(once[7:], often[7:], strict=True):
        assert one.likeness_sums == pytest.approx(other.likeness_sums, rel=1e-9)
        assert json.loads(one.novelty) == pytest.approx(json.loads(other.novelty), rel=1e-9)


async def test_a_replay_changes_nothing(world: DriftWorld) -> None:
    await world.minutes(0, 8)
    batch = await world.send([f"t1:{i}" for i in range(60)], START + 8 * MINUTE)
    findings = await world.analyzer.analyze(batch)
    for _ in range(3):
        await world.write(findings)
    world.analyzer = world.new_analyzer()
    await world.write(await world.analyzer.analyze(batch))
    await world.look_at(9)
    assert [row.n for row in await rows_of(world)] == [60] * 9
    kept = await world.store.query("SELECT count() AS n, uniqExact(bucket, slot) AS slots FROM embedding_samples FINAL")
    assert kept[0]["n"] == kept[0]["slots"] <= 9 * SETTINGS.samples_per_hour


async def test_batches_in_another_order_leave_the_same_sample(world: DriftWorld) -> None:
    batches = [await world.send([f"t{i}:{k}.{i}" for i in range(80)], START) for k in range(3)]

    async def sample() -> list[dict[str, Any]]:
        return await world.store.query("SELECT slot, hex(trace_id) AS id FROM embedding_samples FINAL ORDER BY slot")

    first = await sample()
    await world.store.command("TRUNCATE TABLE embedding_samples")
    for batch in reversed(batches):
        await world.write(await world.analyzer.analyze(batch))
    assert await sample() == first


async def test_no_data_is_neither_drift_nor_its_absence(world: DriftWorld) -> None:
    await world.minutes(0, 9)
    await world.minutes(11, 1)
    await world.look_at(12)
    silent = (await rows_of(world))[9:11]
    assert [(row.verdict, row.n, row.effect, row.score, row.alarm) for row in silent] == [("no-data", 0, None, None, None)] * 2
    assert (await rows_of(world))[11].verdict == "no-drift"


async def test_a_window_with_too_few_texts_is_not_judged(world: DriftWorld) -> None:
    await world.minutes(0, 7)
    await world.minutes(7, 1, per_minute=5)
    await world.look_at(8)
    last = (await rows_of(world))[-1]
    assert (last.verdict, last.alarm) == ("not-enough-data", None)
    assert "5 texts since the reference; a window needs 20" in last.reason


async def test_a_reference_too_small_never_passes(world: DriftWorld) -> None:
    await world.minutes(0, 8, per_minute=20)
    await world.look_at(8)
    rows = await rows_of(world)
    assert [row.verdict for row in rows[6:]] == ["reference-too-small"] * 2
    assert "has 140 texts and needs 200" in rows[-1].reason
    assert all(row.alarm is None for row in rows)
    await world.minutes(8, 6, per_minute=20)
    await world.look_at(14)
    assert (await rows_of(world))[-1].verdict == "no-drift", "it grew until it was large enough"
    assert (await references(world))[0].n >= 200


async def test_another_embedder_is_never_compared_with_the_first(world: DriftWorld) -> None:
    await world.minutes(0, 9)
    world.model.name = "topics@2/float32"
    await world.minutes(9, 9)
    await world.look_at(18)
    rows = await rows_of(world)
    assert rows[8].embedder == "topics@1/float32"
    assert rows[8].verdict == "no-drift"
    changed = rows[9:15]
    assert {row.verdict for row in changed} == {"embedder-changed"}
    assert {row.alarm for row in changed} == {None}
    assert "changed from topics@1/float32 to topics@2/float32" in changed[0].reason
    assert rows[-1].verdict == "no-drift"
    assert {one.embedder for one in await references(world)} == {"topics@1/float32", "topics@2/float32"}
    assert rows[-1].reference_id != rows[8].reference_id


async def test_a_text_without_a_finite_embedding_is_left_out(world: DriftWorld) -> None:
    world.model.broken = {"t1:1", "t1:2"}
    await world.send(["t1:0", "t1:1", "t1:2"], START)
    rows = await world.store.query("SELECT n, sums, square_sums FROM embedding_sketches FINAL")
    assert [row["n"] for row in rows] == [1]
    assert np.isfinite(rows[0]["sums"]).all()
    assert sum(rows[0]["square_sums"]) == pytest.approx(1.0), "the squared features of a text add up to its weight"
    await world.write(await world.analyzer.analyze(replace(await world.send(["t1:1"], START), first_offset=99)))
    assert len(await world.store.query("SELECT * FROM embedding_sketches FINAL")) == 1


async def test_a_release_is_compared_with_what_was_served_before_it(world: DriftWorld) -> None:
    await world.minutes(0, 8, release="v1")
    await world.minutes(8, 3, release="v2", share_new=0.5)
    await world.look_at(11)
    rows = await rows_of(world, release="v2")
    assert rows[-1].verdict == "drift"
    assert rows[-1].reference_id == (await rows_of(world))[-1].reference_id
    assert (await rows_of(world, release="v1"))[-1].verdict == "no-data"


async def test_a_model_is_compared_with_itself(world: DriftWorld) -> None:
    await world.minutes(0, 10, model="gpt-4o")
    await world.look_at(10)
    own, whole = (await rows_of(world, model="gpt-4o"))[-1], (await rows_of(world))[-1]
    assert own.verdict == whole.verdict == "no-drift"
    assert own.reference_id != whole.reference_id


def looked_until(instruments: Instruments) -> datetime | None:
    """What a process shows of how far it looked."""
    shown = instruments.registry.get_sample_value("tracewarden_drift_looked_until_timestamp_seconds", {"scale": "1m"})
    return None if shown is None else datetime.fromtimestamp(shown, UTC)


async def test_one_process_looks_at_a_time(world: DriftWorld) -> None:
    await world.minutes(0, 3)
    first_metrics, other = world.instruments, world.new_looks()
    assert await world.look_at(2) == 2
    assert await other.run_once(world.now) == 0
    assert (looked_until(first_metrics), looked_until(world.instruments)) == (START + 2 * MINUTE, None)
    world.now += timedelta(minutes=1, seconds=1)
    assert await other.run_once(world.now) == 1
    assert looked_until(world.instruments) == START + 3 * MINUTE
    assert await world.looks.run_once(world.now) == 0
    assert looked_until(first_metrics) is None


async def test_days_that_are_summed_up_are_dropped(world: DriftWorld) -> None:
    await world.minutes(0, 2)
    await world.look_at(2)
    assert len(await world.store.query("SELECT DISTINCT bucket FROM embedding_sketches")) == 2
    await world.look_at(24 * 60 + 1)
    assert await world.store.query("SELECT DISTINCT bucket FROM embedding_sketches") == []
    kept = await world.store.query("SELECT n FROM embedding_units FINAL ORDER BY unit")
    assert [row["n"] for row in kept] == [60, 60]
    world.looks = world.new_looks()
    world.now += timedelta(minutes=2)
    await world.looks.run_once(world.now)
    kept = await world.store.query("SELECT n FROM embedding_units FINAL ORDER BY unit")
    assert [row["n"] for row in kept] == [60, 60], "a restart sums nothing away"


def test_a_stand_in_embeds_topics_apart() -> None:
    model = TopicModel.__new__(TopicModel)
    model.broken = set()
    same, other = model._row("t1:1") @ model._row("t1:2"), model._row("t1:1") @ model._row("t2:1")
    assert same > other
