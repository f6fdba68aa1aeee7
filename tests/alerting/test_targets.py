"""The registry and the feed of generations, on both control databases."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from alerting.desired import DesiredFeed
from alerting.refusals import TargetRefusedError
from alerting.targets import Options, content_hash
from schemas.control.targets import generations
from storage.control import ControlDatabase
from storage.targets import Poller, read_pollers
from tests.alerting.rollback_world import ANN, PROJECT, START, TARGET, World


@pytest.fixture
def world(control: ControlDatabase) -> World:
    return World(control)


async def test_every_change_is_a_generation_with_its_author(world: World) -> None:
    await world.promoted("v1", "v2")
    rows = await world.control.read(
        lambda connection: connection.execute(select(generations).order_by(generations.c.generation)).all()
    )
    assert [(row.generation, row.kind, row.current, row.previous) for row in rows] == [
        (1, "created", None, None),
        (2, "promotion", "v1", None),
        (3, "promotion", "v2", "v1"),
    ]
    assert {row.actor for row in rows} == {"ann"}


async def test_promoting_what_is_so_already_changes_nothing(world: World) -> None:
    before = await world.promoted("v1")
    assert await world.targets.promote(PROJECT, TARGET, "v1", 100, reason="again", caller=ANN) == before


async def test_a_release_of_a_new_target_creates_it(world: World) -> None:
    await world.targets.register(PROJECT, "fresh", "v1", {}, ANN)
    assert (await world.targets.get(PROJECT, "fresh")).generation == 1


async def test_of_twenty_registrations_one_is_new(world: World) -> None:
    found = await asyncio.gather(*(world.targets.register(PROJECT, "fresh", "v1", {"a": 1}, ANN) for _ in range(20)))
    assert sum(created for _, created in found) == 1


async def test_of_twenty_promotions_of_one_generation_one_wins(world: World) -> None:
    await world.promoted("v1")
    for number in range(20):
        await world.release(f"c{number}")
    found = await asyncio.gather(
        *(
            world.targets.promote(PROJECT, TARGET, f"c{number}", 5, reason="", caller=ANN, expected_generation=2)
            for number in range(20)
        ),
        return_exceptions=True,
    )
    lost = [one for one in found if isinstance(one, TargetRefusedError)]
    assert len(lost) == 19
    assert {error.code for error in lost} == {"generation_changed"}
    assert (await world.target()).generation == 3


async def test_options_change_without_a_generation(world: World) -> None:
    await world.promoted("v1")
    changed, created = await world.targets.put(PROJECT, TARGET, Options("webhook", "gate", "approve"), ANN)
    assert (created, changed.generation, changed.executor, changed.mode) == (False, 2, "webhook", "approve")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", "x" * 129, "a\n"])
async def test_names_are_checked_below_the_api_too(world: World, name: str) -> None:
    with pytest.raises(TargetRefusedError) as caught:
        await world.targets.put(PROJECT, name, Options(), ANN)
    assert caught.value.code == "invalid_name"
    with pytest.raises(TargetRefusedError):
        await world.targets.register(PROJECT, TARGET, name, {}, ANN)


async def test_a_gateway_is_written_down_when_it_changes_or_now_and_then(world: World) -> None:
    target = await world.promoted("v1")

    async def noted() -> list[Poller]:
        return await world.control.read(lambda connection: read_pollers(connection, PROJECT, TARGET, START))

    await world.targets.note_poll(target, "gw", 2)
    world.clock.advance(14)
    await world.targets.note_poll(target, "gw", 2)
    assert await noted() == [Poller("gw", 2, START)]
    world.clock.advance(1)
    await world.targets.note_poll(target, "gw", 2)
    assert await noted() == [Poller("gw", 2, world.clock.now)]
    await world.targets.note_poll(target, "gw", 3)
    assert await noted() == [Poller("gw", 3, world.clock.now)]


async def test_gateways_that_are_gone_for_a_day_are_forgotten(world: World) -> None:
    target = await world.promoted("v1")
    await world.targets.note_poll(target, "old", 2)
    world.clock.advance(24 * 3600 + 1)
    await world.targets.note_poll(target, "new", 2)
    found = await world.control.read(lambda connection: read_pollers(connection, PROJECT, TARGET, START))
    assert [poller.gateway for poller in found] == ["new"]


async def test_a_change_of_another_process_wakes_who_waits(world: World) -> None:
    await world.promoted("v1")
    elsewhere = DesiredFeed(world.control, look_every_s=0.02)
    waiting = asyncio.create_task(elsewhere.wait(PROJECT, TARGET, 2, 60))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await world.promoted("v2")
    await asyncio.wait_for(waiting, 30)


async def test_closing_the_feed_lets_everybody_go(world: World) -> None:
    await world.promoted("v1")
    feed = world.targets.feed
    waiting = [asyncio.create_task(feed.wait(PROJECT, TARGET, 2, 60)) for _ in range(3)]
    await asyncio.sleep(0.05)
    await feed.close()
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    await feed.wait(PROJECT, TARGET, 2, 60)


def test_the_hash_is_of_the_meaning_not_the_spelling() -> None:
    assert content_hash({"a": 1, "b": [1, "ü"]}) == content_hash({"b": [1, "ü"], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": "1"})
    with pytest.raises(TargetRefusedError):
        content_hash({"a": float("nan")})
    with pytest.raises(TargetRefusedError):
        content_hash("\ud800")
