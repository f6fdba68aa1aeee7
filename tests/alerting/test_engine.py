"""The engine on a real store and both control databases, with a clock of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from alerting.refusals import RollbackRefusedError
from schemas.control.alerting import rules
from schemas.rule_file import RuleFileError
from schemas.rules import dump_rule, parse_rule
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.leases import ALERTING, take_lease
from storage.rollbacks import Rollback
from storage.rules import insert_rule, list_rules, unreadable_rules
from tests.alerting.engine_world import GUARD, World, world_settings

MakeWorld = Callable[..., Awaitable[World]]

SLOW = """
rules:
  - name: slow
    kind: threshold
    metric: latency.p50
    threshold: 5000
    window: 1m
    for: 20s
    keep_firing_for: 20s
  - name: broken
    kind: threshold
    metric: latency.p50
    threshold: 5000
    window: 31d
    every: 10s
"""


@pytest.fixture
async def make_world(store: ClickHouseStore, control: ControlDatabase, tmp_path: Path) -> MakeWorld:
    async def make(rules: str = GUARD, **sections: Any) -> World:
        world = World(store, control, world_settings(tmp_path, rules, **sections))
        await world.prepare()
        return world

    return make


async def regressed(make_world: MakeWorld, mode: str = "auto") -> World:
    """v1, then v2 with answers 1.6 times as long; the engine has not looked yet."""
    world = await make_world(rollback={"mode": mode})
    await world.release("v1")
    await world.traffic("v1", 60)
    await world.release("v2")
    await world.traffic("v2", 20, tokens=320)
    world.now += timedelta(seconds=3)
    return world


async def test_a_longer_release_is_found_told_and_rolled_back(make_world: MakeWorld) -> None:
    world = await regressed(make_world)
    await world.engine.run_once()
    (alert,) = await world.alerts()
    assert (alert.state, alert.kind, alert.target, alert.rollback) == ("firing", "regression", "assistant", "proposed")
    first = alert.evidence[0]
    assert (first["metric"], first["candidate"], first["baseline"], first["generation"]) == ("tokens.output", "v2", "v1", 3)
    assert 0.3 < first["effect"] < 0.9
    assert first["interval_low"] > 0.1
    assert first["example_traces"]
    target = await world.targets.get("default", "assistant")
    assert (target.current, target.kind) == ("v1", "rollback")
    assert [(row.transition, row.rule_id == "rollback") for row in await world.outbox()] == [
        ("firing", False),
        ("executing", True),
    ]
    assert all(row.not_before <= world.now for row in await world.outbox())


async def test_the_alert_ends_when_the_release_no_longer_answers(make_world: MakeWorld) -> None:
    world = await regressed(make_world)
    await world.engine.run_once()
    await world.run(60)
    assert [alert.state for alert in await world.alerts()] == ["firing"]  # silence is no recovery
    for _ in range(16):
        await world.traffic("v1", 5)
        await world.engine.run_once()
    assert [alert.state for alert in await world.alerts()] == ["resolved"]
    assert (await world.outbox())[-1].transition == "resolved"
    assert len(await world.alerts()) == 1


async def test_an_equal_release_stays_quiet(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.release("v1")
    await world.traffic("v1", 60)
    await world.release("v2")
    for _ in range(12):
        await world.traffic("v2", 5)
        await world.engine.run_once()
    assert await world.alerts() == []
    assert await world.outbox() == []


async def test_a_canary_is_compared_beside_its_baseline(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.release("v1")
    world.now += timedelta(seconds=10)
    await world.release("v2", 30)
    for _ in range(4):
        await world.traffic("v2", 5, tokens=400)
        world.now -= timedelta(seconds=5)
        await world.traffic("v1", 5)
    world.now += timedelta(seconds=3)
    await world.engine.run_once()
    (alert,) = await world.alerts()
    assert "n = 200 against 200" in alert.reason or alert.evidence[0]["n_baseline"] == 200


async def test_a_crash_before_the_proposal_only_delays_it(make_world: MakeWorld) -> None:
    world = await regressed(make_world)
    real = world.rollbacks.propose
    calls: list[str] = []

    async def dying(*args: Any, **wanted: Any) -> Rollback:
        calls.append(wanted["idempotency_key"])
        raise SystemExit

    world.rollbacks.propose = dying  # type: ignore[method-assign] # the process dies here
    with pytest.raises(SystemExit):
        await world.engine.run_once()
    (alert,) = await world.alerts()
    assert (alert.state, alert.rollback) == ("firing", "wanted")

    async def dies_after(*args: Any, **wanted: Any) -> Rollback:
        calls.append(wanted["idempotency_key"])
        await real(*args, **wanted)
        raise SystemExit

    world.rollbacks.propose = dies_after  # type: ignore[method-assign] # and here, after the commit
    world.now += timedelta(minutes=1)
    world.engine = world.new_engine()
    with pytest.raises(SystemExit):
        await world.engine.run_once()
    world.rollbacks.propose = real  # type: ignore[method-assign] # healed
    world.now += timedelta(minutes=1)
    world.engine = world.new_engine()
    await world.engine.run_once()
    (alert,) = await world.alerts()
    assert alert.rollback == "proposed"
    assert len(set(calls)) == 1
    target = await world.targets.get("default", "assistant")
    assert (target.current, target.generation) == ("v1", 4)


async def test_a_refused_rollback_is_told_with_its_reason(make_world: MakeWorld) -> None:
    world = await regressed(make_world)

    async def refuse(*args: Any, **wanted: Any) -> Rollback:
        raise RollbackRefusedError("cool_down", "next at 13:00")

    world.rollbacks.propose = refuse  # type: ignore[method-assign] # a guardrail in its place
    await world.engine.run_once()
    (alert,) = await world.alerts()
    assert (alert.rollback, alert.rollback_detail) == ("deferred", "cool_down: next at 13:00")
    assert [row.transition for row in await world.outbox()] == ["firing", "rollback-cool_down"]
    await world.traffic("v2", 40, tokens=320)
    await world.engine.run_once()
    assert [row.transition for row in await world.outbox()] == ["firing", "rollback-cool_down"]


async def test_dry_run_says_what_it_would_do(make_world: MakeWorld) -> None:
    world = await regressed(make_world, "dry_run")
    await world.engine.run_once()
    assert [row.transition for row in await world.outbox()] == ["firing", "dry_run"]
    assert (await world.targets.get("default", "assistant")).current == "v2"


async def test_thresholds_fire_recover_and_a_broken_rule_stops_nobody(make_world: MakeWorld) -> None:
    world = await make_world(SLOW, query={"max_range_days": 30}, alerting={"group_wait_s": 5})
    await world.release("v1")
    for _ in range(8):
        await world.traffic("v1", 5)
        await world.engine.run_once()
    assert [alert.rule_name for alert in await world.alerts(rule="slow")] == []
    await _slow_for(world, 90)
    assert [alert.state for alert in await world.alerts(rule="slow")] == ["firing"]
    for _ in range(24):
        await world.traffic("v1", 5)
        await world.engine.run_once()
    assert [alert.state for alert in await world.alerts(rule="slow")] == ["resolved"]
    assert [row.transition for row in await world.outbox() if row.notice["labels"]["alertname"] == "slow"] == [
        "firing",
        "resolved",
    ]


async def _slow_for(world: World, seconds: float) -> None:
    real = world.rng.lognormvariate
    world.rng.lognormvariate = lambda mu, sigma: 20 * real(mu, sigma)  # type: ignore[method-assign] # slower from here on
    for _ in range(round(seconds / 5)):
        await world.traffic("v1", 5)
        await world.engine.run_once()
    world.rng.lognormvariate = real  # type: ignore[method-assign] # as before


async def test_silence_is_an_alert_of_its_own(make_world: MakeWorld) -> None:
    world = await make_world(SLOW.split("  - name: broken")[0])
    await world.traffic("v1", 10)
    await world.engine.run_once()
    await world.run(200, step_s=10)
    (alert,) = await world.alerts()
    assert (alert.kind, alert.state) == ("no_data", "firing")
    await world.traffic("v1", 20)
    await world.engine.run_once()
    assert [alert.state for alert in await world.alerts()] == ["resolved"]
    assert [row.transition for row in await world.outbox()] == ["no_data", "resolved"] or [
        row.transition for row in await world.outbox()
    ] == ["firing", "resolved"]


@pytest.mark.parametrize("blind", [True, False])
async def test_a_watermark_that_is_unknown_or_stands_still_decides_nothing(make_world: MakeWorld, blind: bool) -> None:
    world = await make_world(SLOW.split("  - name: broken")[0])
    await world.traffic("v1", 10)
    await world.engine.run_once()
    world.blind, world.frozen = blind, world.now
    await world.run(600, step_s=30)
    assert await world.alerts() == []


async def test_only_one_process_leads(make_world: MakeWorld) -> None:
    world = await regressed(make_world)
    other = world.new_engine()
    assert await world.engine.run_once() == 1
    world.now += timedelta(seconds=10)
    assert await other.run_once() == 0
    await world.engine.close()
    assert await other.run_once() == 1


async def test_a_leader_that_lost_its_lease_writes_nothing(make_world: MakeWorld) -> None:
    world = await regressed(make_world)
    observe = world.engine._evaluator.observe

    async def slow(*args: Any) -> Any:
        found = await observe(*args)
        later = world.now + timedelta(minutes=5)
        await world.control.write(lambda c: take_lease(c, ALERTING, "other", later, timedelta(minutes=1)))
        return found

    world.engine._evaluator.observe = slow  # type: ignore[assignment,method-assign] # another process takes over while it reads
    assert await world.engine.run_once() == 0
    assert await world.alerts() == []


async def test_an_alert_that_lasts_is_repeated(make_world: MakeWorld) -> None:
    world = await regressed(make_world, "dry_run")
    await world.engine.run_once()
    world.now += timedelta(hours=5)
    await world.engine.run_once()
    assert [row.transition for row in await world.outbox()] == ["firing", "dry_run", "repeat-1"]


async def test_a_rule_that_left_the_file_ends_its_alerts(make_world: MakeWorld, tmp_path: Path) -> None:
    world = await regressed(make_world, "dry_run")
    await world.engine.run_once()
    (tmp_path / "rules.yaml").write_text("rules: []\n")
    await world.engine.prepare()
    (alert,) = await world.alerts()
    assert (alert.state, alert.reason) == ("resolved", "the rule was deleted")
    assert (await world.outbox())[-1].transition == "resolved"
    assert await world.engine.run_once() == 0


async def test_a_rules_file_with_errors_is_refused(make_world: MakeWorld, tmp_path: Path) -> None:
    world = await make_world()
    (tmp_path / "rules.yaml").write_text("rules: [{kind: threshold}]\n")
    with pytest.raises(RuleFileError, match=r"rules\.yaml:1"):
        await world.engine.prepare()


async def test_a_rule_that_cannot_be_read_any_more_stops_nobody(make_world: MakeWorld) -> None:
    world = await regressed(make_world, "dry_run")
    broken = {"spec": {"kind": "threshold", "name": "old", "metric": "gone", "threshold": 1}, "revision": "0"}

    def spoil(connection: Connection) -> None:
        (stored,) = list_rules(connection)
        insert_rule(connection, "default", "api", parse_rule({**dump_rule(stored.rule), "name": "old"}), "me", world.now)
        connection.execute(update(rules).where(rules.c.name == "old").values(broken))

    await world.control.write(spoil)
    assert await world.control.read(unreadable_rules) == {
        "old": "metric: there is no metric 'gone': GET /v1/metrics lists them."
    }
    await world.engine.prepare()
    await world.engine.run_once()
    assert len(await world.alerts()) == 1
