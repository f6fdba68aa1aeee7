"""Who may begin a rollback, how often, and who executes it, on both control databases."""

from __future__ import annotations

import asyncio

import pytest

from alerting.executors import ExecutionError
from alerting.refusals import RollbackRefusedError, TargetRefusedError
from alerting.rollback import RollbackController
from schemas.sections import RollbackSettings
from storage.audit import read_audit
from storage.control import ControlDatabase
from storage.rollbacks import Rollback
from tests.alerting.rollback_world import ANN, PROJECT, TARGET, World, evidence


@pytest.fixture
def world(control: ControlDatabase) -> World:
    return World(control)


async def refusal(world: World, **wish: object) -> str:
    with pytest.raises(RollbackRefusedError) as caught:
        await world.roll_back(**wish)  # type: ignore[arg-type] # the test's own keywords
    return caught.value.code


async def test_dry_run_changes_nothing_and_is_recorded(world: World) -> None:
    before = await world.promoted("v1", "v2")
    rollback = await world.roll_back(mode="dry_run")
    assert rollback.state == "dry_run"
    assert rollback.state_reason == "nothing was changed (mode dry_run): v1 is what v2 replaced"
    assert await world.target() == before
    assert await world.path(rollback) == ["proposed", "dry_run"]


async def test_the_strictest_mode_binds_a_rule_but_not_a_person(control: ControlDatabase) -> None:
    world = World(control, RollbackSettings(mode="approve"))
    await world.promoted("v1", "v2")
    assert (await world.roll_back(evidence=evidence(), mode="dry_run")).state == "dry_run"
    assert (await world.roll_back(evidence=evidence(), mode="auto")).state == "awaiting_approval"
    await world.promoted(mode="dry_run")
    assert (await world.roll_back(mode="auto")).state == "executing"


async def test_approval_executes(control: ControlDatabase) -> None:
    world = World(control, RollbackSettings(mode="approve"))
    await world.promoted("v1", "v2")
    rollback = await world.roll_back(evidence=evidence())
    assert (await world.target()).generation == 3
    await world.step(60)
    approved = await world.rollbacks.approve(PROJECT, rollback.id, actor="bob", source="10.0.0.1")
    assert (approved.state, approved.approved_by, approved.generation) == ("executing", "bob", 4)
    with pytest.raises(RollbackRefusedError, match="is executing") as caught:
        await world.rollbacks.approve(PROJECT, rollback.id, actor="bob", source="10.0.0.1")
    assert caught.value.code == "not_awaiting_approval"


async def test_an_approval_that_comes_too_late_is_refused_and_the_proposal_ends(control: ControlDatabase) -> None:
    world = World(control, RollbackSettings(mode="approve"))
    await world.promoted("v1", "v2")
    rollback = await world.roll_back(evidence=evidence())
    await world.release("v3")
    await world.targets.promote(PROJECT, TARGET, "v3", 100, reason="ship", caller=ANN)
    with pytest.raises(RollbackRefusedError) as caught:
        await world.rollbacks.approve(PROJECT, rollback.id, actor="bob", source="10.0.0.1")
    assert caught.value.code == "generation_changed"
    await world.step(1)
    assert (await world.state(rollback)).state == "aborted"


async def test_the_kill_switch_stops_an_approval_too(control: ControlDatabase) -> None:
    world = World(control, RollbackSettings(mode="approve"))
    await world.promoted("v1", "v2")
    rollback = await world.roll_back(evidence=evidence())
    switched_off = world.controller(RollbackSettings(mode="approve", enabled=False))
    with pytest.raises(RollbackRefusedError) as caught:
        await switched_off.approve(PROJECT, rollback.id, actor="bob", source="10.0.0.1")
    assert caught.value.code == "switched_off"


async def test_abort_ends_what_waits_and_nothing_else(control: ControlDatabase) -> None:
    world = World(control, RollbackSettings(mode="approve"))
    await world.promoted("v1", "v2")
    rollback = await world.roll_back(evidence=evidence())
    aborted = await world.rollbacks.abort(PROJECT, rollback.id, reason="a load test", actor="bob", source="10.0.0.1")
    assert (aborted.state, aborted.state_reason, aborted.finished_at) == ("aborted", "a load test", world.clock.now)
    with pytest.raises(RollbackRefusedError) as caught:
        await world.rollbacks.abort(PROJECT, rollback.id, reason="again", actor="bob", source="10.0.0.1")
    assert caught.value.code == "not_abortable"
    assert (await world.target()).generation == 3


async def test_an_idempotency_key_stands_for_one_request(world: World) -> None:
    await world.promoted("v1", "v2")
    first = await world.roll_back(key="k", expected=3)
    assert await world.roll_back(key="k", expected=3) == first
    assert await refusal(world, key="k", reason="other", expected=3) == "idempotency_conflict"
    assert len(await world.rollbacks.latest(PROJECT)) == 1


async def test_a_rule_may_repeat_itself_with_newer_figures(world: World) -> None:
    await world.promoted("v1", "v2")
    first = await world.roll_back(key="k", evidence=evidence(n=60), reason="58 %")
    assert (await world.roll_back(key="k", evidence=evidence(n=70), reason="57 %")).id == first.id


async def test_of_twenty_rollbacks_of_one_generation_one_wins(world: World) -> None:
    await world.promoted("v1", "v2")
    found = await asyncio.gather(
        *(world.roll_back(reason=f"no. {number}", expected=3) for number in range(20)), return_exceptions=True
    )
    won = [one for one in found if isinstance(one, Rollback)]
    lost = [one for one in found if isinstance(one, RollbackRefusedError)]
    assert (len(won), len(lost)) == (1, 19)
    assert {error.code for error in lost} == {"generation_changed"}
    assert (await world.target()).generation == 4


async def test_twenty_requests_with_one_key_make_one_rollback(world: World) -> None:
    await world.promoted("v1", "v2")
    found = await asyncio.gather(*(world.roll_back(mode="dry_run", key="k") for _ in range(20)))
    assert len({rollback.id for rollback in found}) == 1


async def test_what_does_not_exist_is_named(world: World) -> None:
    assert await refusal(world) == "unknown_target"
    await world.promoted()
    assert await refusal(world) == "nothing_promoted"
    await world.promoted("v1")
    assert await refusal(world) == "no_predecessor"
    assert await refusal(world, to="v9") == "unknown_release"
    assert await refusal(world, to="v1") == "already_current"
    await world.promoted("v1", "v2")
    assert await refusal(world, evidence_id="al_1") == "unknown_evidence"
    with pytest.raises(RollbackRefusedError) as caught:
        await world.rollbacks.get(PROJECT, "rb_1")
    assert caught.value.code == "unknown_rollback"


async def test_nothing_is_seen_or_done_from_another_project(world: World) -> None:
    await world.promoted("v1", "v2")
    rollback = await world.roll_back(mode="dry_run")
    with pytest.raises(RollbackRefusedError) as caught:
        await world.rollbacks.get("elsewhere", rollback.id)
    assert caught.value.code == "unknown_rollback"
    assert await world.rollbacks.latest("elsewhere") == []
    with pytest.raises(TargetRefusedError):
        await world.targets.get("elsewhere", TARGET)


async def test_a_webhook_is_asked_again_and_then_the_rollback_fails(world: World) -> None:
    await world.promoted("v1", "v2", executor="webhook")
    world.hook.refusals = [ExecutionError("answered 503") for _ in range(9)]
    rollback = await world.roll_back()
    await world.step()
    waiting = await world.state(rollback)
    assert (waiting.state, waiting.attempts, waiting.state_reason) == ("executing", 1, "attempt 1: answered 503")
    await world.step(1)
    assert len(world.hook.orders) == 1
    for seconds in (1, 5, 15, 30, 60):
        await world.step(seconds)
    assert len(world.hook.orders) == 6
    assert {(order.rollback_id, order.generation) for order in world.hook.orders} == {(rollback.id, 4)}
    ended = await world.state(rollback)
    assert (ended.state, ended.state_reason) == ("failed", "attempt 6: answered 503")
    assert world.told[-1].page


async def test_a_refusal_for_good_fails_at_once(world: World) -> None:
    await world.promoted("v1", "v2", executor="webhook")
    world.hook.refusals = [ExecutionError("leads to 10.0.0.1 (private)", permanent=True)]
    rollback = await world.roll_back()
    await world.step()
    assert (await world.state(rollback)).state == "failed"


async def test_two_processes_do_not_both_call_the_webhook(world: World) -> None:
    await world.promoted("v1", "v2", executor="webhook")
    rollback = await world.roll_back()
    others: list[RollbackController] = [world.controller(RollbackSettings()) for _ in range(5)]
    await asyncio.gather(*(other.run_once(world.clock.now) for other in others))
    assert len(world.hook.orders) == 1
    assert (await world.state(rollback)).state == "propagating"


async def test_every_step_is_audited_with_before_and_after(world: World) -> None:
    await world.promoted("v1", "v2")
    rollback = await world.roll_back()
    lines = await world.control.read(lambda connection: read_audit(connection, PROJECT))
    assert [line.action for line in lines[:3]] == ["target.rollback", "rollback.propose", "target.promote"]
    assert lines[0].before is not None
    assert lines[0].after is not None
    assert (lines[0].before["weights"], lines[0].after["weights"]) == ({"v2": 100.0}, {"v1": 100.0})
    assert (lines[0].actor, lines[0].source) == ("ann", rollback.id)
