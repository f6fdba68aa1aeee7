"""Rollbacks from the proposal to their proof, on both control databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert

from alerting.rollback_state import MetricState
from schemas.control.alerting import alerts
from schemas.evidence import Evidence
from storage.control import ControlDatabase
from storage.rollbacks import Rollback
from tests.alerting.rollback_world import ANN, PROJECT, START, TARGET, World, evidence


@pytest.fixture
def world(control: ControlDatabase) -> World:
    return World(control)


async def test_a_rollback_is_executed_followed_and_proven(world: World) -> None:
    await world.promoted("v1", "v2")
    await world.targets.note_poll(await world.target(), "gw", 3)
    world.clock.advance(10)
    rollback = await world.roll_back(evidence=evidence())
    assert (rollback.state, rollback.from_release, rollback.to_release, rollback.generation) == ("executing", "v2", "v1", 4)
    target = await world.target()
    assert (dict(target.weights), target.generation, target.kind, target.previous) == ({"v1": 100.0}, 4, "rollback", None)

    await world.step(1)
    assert (await world.state(rollback)).state == "propagating"
    await world.step(1)
    assert (await world.state(rollback)).state == "propagating"
    await world.targets.note_poll(target, "gw", 4)
    await world.step(1)
    verifying = await world.state(rollback)
    assert verifying.state == "verifying"
    assert verifying.verify_from == world.clock.now + timedelta(seconds=2)

    world.traffic.carries(v1=12)
    await world.step(3)
    assert (await world.state(rollback)).state == "verifying"
    world.traffic.carries(v1=100, v2=1)
    await world.step(3)
    assert (await world.state(rollback)).state == "verifying"
    world.traffic.metric = MetricState("back", "cost.usd is back", {"effect": 0.01})
    await world.step(3)

    proven = await world.state(rollback)
    assert proven.state == "succeeded"
    assert proven.state_reason == "100 of 101 spans begun since carry v1; cost.usd is back"
    assert proven.figures == {
        "spans": 101,
        "restored_spans": 100,
        "other_spans": 1,
        "unnamed_spans": 0,
        "metric": {"status": "back", "effect": 0.01},
    }
    assert proven.finished_at == world.clock.now
    path = ["proposed", "executing", "propagating", "verifying", "succeeded"]
    assert await world.path(rollback) == path
    assert [told.rollback.state for told in world.told] == path
    assert not any(told.page for told in world.told)
    assert await world.step(1) == 0


async def test_a_rollback_by_hand_needs_the_release_only(world: World) -> None:
    await world.promoted("v1", "v2")
    rollback = await world.roll_back()
    world.traffic.carries(v1=30)
    for _ in range(3):
        await world.step(1)
    assert (await world.state(rollback)).state == "succeeded"


async def test_spans_show_the_switch_where_no_gateway_reports(world: World) -> None:
    await world.promoted("v1", "v2")
    rollback = await world.roll_back()
    await world.step(1)
    world.traffic.carries(v1=1, v2=1)
    await world.step(1)
    assert (await world.state(rollback)).state == "propagating"
    world.traffic.carries(v1=1)
    await world.step(1)
    verifying = await world.state(rollback)
    assert (verifying.state, verifying.state_reason) == ("verifying", "new requests carry v1 and none v2")


async def test_a_time_out_of_the_propagation_is_no_proof(world: World) -> None:
    await world.promoted("v1", "v2")
    await world.targets.note_poll(await world.target(), "gw-a", 3)
    rollback = await world.roll_back()
    await world.step(1)
    await world.step(119)
    verifying = await world.state(rollback)
    assert verifying.state == "verifying"
    assert verifying.state_reason == "gateways behind: gw-a after 120 s; the spans have to tell"


async def verifying(world: World, *, with_metric: bool = False) -> Rollback:
    await world.promoted("v1", "v2")
    rollback = await world.roll_back(evidence=evidence() if with_metric else None)
    await world.step()
    await world.step(120)
    return await world.state(rollback)


def alert(connection: Connection, alert_id: str, *found: Evidence) -> None:
    """An alert of the project that rests on this."""
    text = dict.fromkeys(("rule_id", "rule_name", "kind", "severity", "state", "reason", "revision", "rollback"), "x")
    moments = {"fired_at": START, "notified_at": START}
    shown = [one.model_dump(mode="json") for one in found]
    row = {
        "id": alert_id,
        "project": PROJECT,
        "target": TARGET,
        "fingerprint": alert_id,
        "episode": 1,
        "labels": {},
        "notice": {},
    }
    connection.execute(insert(alerts).values(row | text | moments | {"evidence": shown}))


async def test_a_person_may_point_at_the_alert_whose_metric_has_to_return(world: World) -> None:
    await world.promoted("v1", "v2")
    await world.control.write(lambda connection: alert(connection, "al_1", evidence(candidate="v9"), evidence()))
    rollback = await world.roll_back(evidence_id="al_1")
    assert (rollback.automatic, rollback.evidence) == (False, evidence())
    world.traffic.carries(v1=100)
    for _ in range(3):
        await world.step(1)
    assert (await world.state(rollback)).state == "verifying"
    world.traffic.metric = MetricState("back", "cost.usd is back", {})
    await world.step(1)
    assert (await world.state(rollback)).state == "succeeded"


async def test_an_alert_about_something_else_adds_nothing_to_prove(world: World) -> None:
    await world.promoted("v1", "v2")
    await world.control.write(lambda connection: alert(connection, "al_1", evidence(candidate="v9")))
    await world.control.write(lambda connection: alert(connection, "al_2"))
    assert (await world.roll_back(mode="dry_run", evidence_id="al_1")).evidence is None
    assert (await world.roll_back(mode="dry_run", evidence_id="al_2")).evidence is None


async def test_a_metric_that_cannot_be_computed_ends_unverified(world: World) -> None:
    rollback = await verifying(world, with_metric=True)
    world.traffic.carries(v1=100)
    world.traffic.fault = LookupError("no metric cost.usd")
    await world.step(900)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == (
        "unverified",
        "after 900 s 100 of 100 spans carry v1, but the metric cannot be compared: no metric cost.usd",
    )


async def test_one_rollback_that_cannot_go_on_does_not_hold_up_the_others(world: World) -> None:
    stuck = await verifying(world, with_metric=True)
    await world.targets.register(PROJECT, "other", "v1", {}, ANN)
    await world.targets.register(PROJECT, "other", "v2", {}, ANN)
    for release in ("v1", "v2"):
        await world.targets.promote(PROJECT, "other", release, 100, reason="", caller=ANN)
    other = await world.rollbacks.propose(
        PROJECT,
        "other",
        to=None,
        reason="r",
        mode="auto",
        actor="ann",
        evidence=None,
        evidence_id=None,
        expected_generation=None,
        idempotency_key=None,
    )
    world.traffic.carries(v1=100)
    world.traffic.fault = ArithmeticError("a fault of the comparison")
    await world.step(1)
    assert (await world.state(stuck)).state == "verifying"
    assert (await world.state(other)).state == "propagating"


async def test_too_little_traffic_ends_unverified_and_pages(world: World) -> None:
    rollback = await verifying(world)
    world.traffic.carries(v1=29)
    await world.step(899)
    assert (await world.state(rollback)).state == "verifying"
    await world.step(1)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("unverified", "after 900 s there were 29 spans, 30 are needed")
    assert world.told[-1].page


async def test_traffic_that_stays_on_the_bad_release_is_ineffective(world: World) -> None:
    rollback = await verifying(world)
    world.traffic.carries(v1=10, v2=90)
    await world.step(60)
    restarted = await world.state(rollback)
    assert (restarted.state, restarted.verify_from) == ("verifying", world.clock.now)
    await world.step(61)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("ineffective", "only 10 of 100 spans begun since carry v1")
    assert world.told[-1].page


async def test_replicas_that_catch_up_late_do_not_spoil_the_proof(world: World) -> None:
    rollback = await verifying(world)
    world.traffic.carries(v1=60, v2=40)
    await world.step(30)
    world.traffic.carries(v1=100)
    await world.step(30)
    ended = await world.state(rollback)
    assert ended.state == "succeeded"
    assert world.traffic.asked_since[-1] == world.clock.now - timedelta(seconds=30)


async def test_spans_without_a_release_prove_nothing_either_way(world: World) -> None:
    rollback = await verifying(world)
    world.traffic.carries(v1=50, unnamed=50)
    await world.step(899)
    assert (await world.state(rollback)).state == "verifying"
    await world.step(1)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("unverified", "after 900 s 50 of 100 spans name no release")


async def test_a_metric_that_stays_worse_is_ineffective(world: World) -> None:
    rollback = await verifying(world, with_metric=True)
    world.traffic.carries(v1=100)
    world.traffic.metric = MetricState("worse", "cost.usd is still worse", {})
    await world.step(60)
    assert (await world.state(rollback)).state == "verifying"
    await world.step(60)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == (
        "ineffective",
        "100 of 100 spans begun since carry v1, but cost.usd is still worse",
    )


async def test_a_metric_that_cannot_be_told_ends_unverified(world: World) -> None:
    rollback = await verifying(world, with_metric=True)
    world.traffic.carries(v1=100)
    await world.step(900)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("unverified", "after 900 s 100 of 100 spans carry v1, but no requests")


async def test_a_trace_store_that_is_down_ends_unverified_and_not_before_time(world: World) -> None:
    rollback = await verifying(world, with_metric=True)
    world.traffic.broken = True
    await world.step(500)
    assert (await world.state(rollback)).state == "verifying"
    await world.step(400)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("unverified", "after 900 s the trace store could not be read")


async def test_a_promotion_meanwhile_ends_the_rollback_unproven(world: World) -> None:
    rollback = await verifying(world)
    await world.release("v3")
    await world.targets.promote(PROJECT, TARGET, "v3", 10, reason="hotfix", caller=ANN)
    await world.step(1)
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("unverified", "generation 5 replaced this rollback's 4 before it was proven")
