"""Any order of promotions, rollbacks, looks and kills leaves rollbacks whose history holds together and comes to an end."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, select

from alerting.executors import ExecutionError, Order
from alerting.refusals import RollbackRefusedError, TargetRefusedError
from alerting.rollback import Announcement
from alerting.rollback_state import NEXT, MetricState
from schemas.control.targets import generations
from schemas.sections import RollbackSettings
from storage.control import ControlDatabase, sqlite_url
from storage.rollbacks import OPEN, Rollback, Transition, list_rollbacks, read_transitions
from storage.targets import Mode
from tests.alerting.rollback_world import ANN, PROJECT, TARGET, RecordingExecutor, World, evidence

T = TypeVar("T")
MetricStatus = Literal["back", "worse", "not_yet"]

SETTINGS = RollbackSettings(mode="auto")
KILLS = ("", "before a write", "inside a write", "after a write", "after the webhook")
mostly_alive = st.one_of(st.just(""), st.just(""), st.sampled_from(KILLS))


@dataclass(frozen=True)
class Wished:
    """A rollback that somebody asks for."""

    to: str | None
    stale: int
    mode: Mode
    automatic: bool
    keyed: bool


@dataclass(frozen=True)
class Moment:
    """What the world looks like when the worker looks at it next; `refusal` of the webhook is for good when true."""

    seconds: int
    spans: tuple[int, int, int]
    metric: MetricStatus
    polled: int | None
    refusal: bool | None
    broken: bool
    kill: str


wishes = st.builds(
    Wished,
    to=st.sampled_from([None, None, None, "v1", "v2"]),
    stale=st.sampled_from([0, 0, 0, 1]),
    mode=st.sampled_from(["auto", "auto", "auto", "approve", "dry_run"]),
    automatic=st.booleans(),
    keyed=st.booleans(),
)
courses = st.lists(
    st.builds(
        Moment,
        seconds=st.sampled_from([1, 5, 61, 130, 901]),
        spans=st.sampled_from(
            [(200, 0, 0), (200, 0, 0), (40, 0, 0), (200, 1, 0), (40, 40, 0), (40, 0, 40), (10, 0, 0), (0, 0, 0)]
        ),
        metric=st.sampled_from(["back", "back", "worse", "not_yet"]),
        polled=st.sampled_from([None, 0, 0, 1]),
        refusal=st.sampled_from([None, None, None, False, True]),
        broken=st.sampled_from([False, False, False, True]),
        kill=mostly_alive,
    ),
    max_size=8,
)


class Killed(BaseException):
    """The process ended here."""


class MortalDatabase(ControlDatabase):
    """A control database whose process can be killed around a write."""

    kill = ""

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.kill == "before a write":
            raise Killed
        found = await super().write(work)
        if self.kill == "after a write":
            raise Killed
        return found


class MortalExecutor(RecordingExecutor):
    """A webhook after which the process can be killed."""

    kill = False

    async def execute(self, order: Order) -> None:
        await super().execute(order)
        if self.kill:
            raise Killed


class MortalWorld(World):
    """A world whose process can be killed and started again."""

    def __init__(self, control: MortalDatabase) -> None:
        self.mortal = control
        super().__init__(control, SETTINGS)
        self.hook: MortalExecutor = MortalExecutor()
        self.rollbacks = self.controller(SETTINGS)

    def _announce(self, connection: Connection, announcement: Announcement) -> None:
        if self.mortal.kill == "inside a write":
            raise Killed
        super()._announce(connection, announcement)

    def arm(self, kill: str) -> None:
        """From now on the process dies at that point."""
        self.mortal.kill, self.hook.kill = kill, kill == "after the webhook"

    def restart(self) -> None:
        """A new process on the same database."""
        self.arm("")
        self.rollbacks = self.controller(SETTINGS)


def migrated(folder: Path) -> Path:
    """An empty control database to copy."""

    async def migrate() -> None:
        database = ControlDatabase(sqlite_url(folder))
        await database.migrate()
        await database.close()

    asyncio.run(migrate())
    return folder / "control.db"


class RollbackMachine(RuleBasedStateMachine):
    """One target, a person, a rule, two gateways and traffic; the process may be killed at any write and after any call."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        shutil.copy(self.template, Path(self.folder.name) / "control.db")
        self.runner = asyncio.Runner()
        self.database = MortalDatabase(sqlite_url(Path(self.folder.name)))
        self.world = MortalWorld(self.database)
        self.shipped = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(executor=st.sampled_from(["desired", "webhook"]), mode=st.sampled_from([None, "approve"]))
    def begin(self, executor: str, mode: Mode | None) -> None:
        self.run(self.world.promoted("v1", "v2", executor=executor, mode=mode))
        self.shipped = 2

    @rule(weight=st.sampled_from([100, 100, 50, 5]))
    def ship(self, weight: int) -> None:
        self.shipped += 1
        name = f"v{self.shipped}"
        self.run(self.world.release(name))
        self.run(self.world.targets.promote(PROJECT, TARGET, name, weight, reason="", caller=ANN))

    @rule(wish=wishes, kill=mostly_alive, course=courses)
    def roll_back(self, wish: Wished, kill: str, course: list[Moment]) -> None:
        """Somebody asks for a rollback, and time passes."""
        target = self.run(self.world.target())
        generation = target.generation - wish.stale
        proposal = self.world.roll_back(
            to=wish.to,
            mode=wish.mode,
            evidence=evidence(candidate=target.current or "", generation=generation) if wish.automatic else None,
            expected=generation,
            key=f"k{target.generation}" if wish.keyed else None,
        )
        self.mortally(proposal, kill)
        self.follow(course)

    @rule(approve=st.booleans(), kill=mostly_alive, course=courses)
    def decide(self, approve: bool, kill: str, course: list[Moment]) -> None:
        """A person decides what awaits approval, and time passes."""
        for rollback in self.all():
            if rollback.state == "awaiting_approval":
                controller = self.world.rollbacks
                if approve:
                    self.mortally(controller.approve(PROJECT, rollback.id, actor="bob", source=""), kill)
                else:
                    self.mortally(controller.abort(PROJECT, rollback.id, reason="no", actor="bob", source=""), kill)
        self.follow(course)

    @rule(hours=st.sampled_from([0.4, 0.6, 13]), course=courses)
    def wait(self, hours: float, course: list[Moment]) -> None:
        self.world.clock.advance(hours * 3600)
        self.follow(course)

    def follow(self, course: list[Moment]) -> None:
        for moment in course:
            target = self.run(self.world.target())
            if moment.polled is not None:
                self.run(self.world.targets.note_poll(target, "gw", target.generation - moment.polled))
            good, bad, unnamed = moment.spans
            self.world.traffic.carries(**{target.current or "v1": good, "vx": bad, "unnamed": unnamed})
            self.world.traffic.metric = MetricState(moment.metric, moment.metric, {})
            self.world.traffic.broken = moment.broken
            self.world.hook.refusals = [] if moment.refusal is None else [ExecutionError("503", permanent=moment.refusal)]
            self.mortally(self.world.step(moment.seconds), moment.kill)

    @precondition(lambda self: self.shipped)
    @invariant()
    def generations_have_no_gap_and_no_double(self) -> None:
        rows = self.run(self.read(lambda connection: connection.execute(select(generations)).all()))
        assert sorted(row.generation for row in rows) == list(range(1, len(rows) + 1))
        made = {row.rollback_id: row for row in rows if row.rollback_id is not None}
        executed = {rollback.id: rollback for rollback in self.all() if rollback.executed_at is not None}
        assert made.keys() == executed.keys()
        for rollback in executed.values():
            assert made[rollback.id].generation == rollback.generation == rollback.from_generation + 1
            assert made[rollback.id].weights == {rollback.to_release: 100.0}

    @precondition(lambda self: self.shipped)
    @invariant()
    def histories_hold_together(self) -> None:
        for rollback in self.all():
            steps = self.steps_of(rollback)
            assert steps[0].from_state is None
            assert steps[-1].to_state == rollback.state
            for before, after in itertools.pairwise(steps):
                assert after.from_state == before.to_state
                assert after.to_state in NEXT[before.to_state]
                assert after.at >= before.at
            told = [one.rollback.state for one in self.world.told if one.rollback.id == rollback.id]
            assert told == [step.to_state for step in steps]
            if rollback.state == "succeeded":
                proves(rollback)

    @precondition(lambda self: self.shipped)
    @invariant()
    def rules_keep_to_their_limits(self) -> None:
        executed = sorted(
            (rollback for rollback in self.all() if rollback.executed_at is not None), key=lambda one: one.generation or 0
        )
        for place, rollback in enumerate(executed):
            if not rollback.automatic or rollback.executed_at is None or rollback.approved_by is not None:
                continue
            at = rollback.executed_at
            earlier = [one.executed_at for one in executed[:place] if one.executed_at is not None]
            assert all(at - before >= timedelta(minutes=30) for before in earlier)
            a_day = [
                one
                for one in executed[:place]
                if one.automatic and one.executed_at and at - one.executed_at < timedelta(days=1)
            ]
            assert len(a_day) < SETTINGS.max_per_day

    def teardown(self) -> None:
        """Left alone, everything that needs no person comes to an end."""
        try:
            if self.shipped:
                for seconds in (61, *[130] * 12, 901, 1, 1):
                    self.run(self.world.step(seconds))
                assert {rollback.state for rollback in self.all()}.isdisjoint(set(OPEN) - {"awaiting_approval"})
                self.histories_hold_together()
        finally:
            self.run(self.database.close())
            self.runner.close()
            self.folder.cleanup()

    def mortally(self, work: Coroutine[Any, Any, object], kill: str) -> None:
        """Run it in a process that may be killed, and start another."""
        self.world.arm(kill)
        try:
            self.run(work)
        except (RollbackRefusedError, TargetRefusedError):
            pass
        except Killed:
            self.world.restart()
        self.world.arm("")

    def all(self) -> list[Rollback]:
        return self.run(self.read(lambda connection: list_rollbacks(connection, PROJECT, limit=1000)))

    def steps_of(self, rollback: Rollback) -> list[Transition]:
        return self.run(self.read(lambda connection: read_transitions(connection, rollback.id)))

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.database.read(work)


def proves(rollback: Rollback) -> None:
    """The figures of a succeeded rollback are a proof."""
    figures = rollback.figures
    assert figures is not None
    assert figures["spans"] >= SETTINGS.verify_spans
    assert figures["restored_spans"] >= 0.99 * figures["spans"]
    assert rollback.verify_from is not None
    assert rollback.executed_at is not None
    assert rollback.verify_from >= rollback.executed_at
    if rollback.evidence is not None:
        assert figures["metric"]["status"] == "back"


@pytest.fixture(autouse=True)
def _template(tmp_path: Path) -> None:
    RollbackMachine.template = migrated(tmp_path)


def test_rollbacks_survive_anything() -> None:
    run_state_machine_as_test(
        RollbackMachine,
        settings=settings(max_examples=20, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)),
    )


def test_long_walks_meet_every_end() -> None:
    """Hypothesis keeps its examples plain; these seeded walks of the same machine are sure to reach every state."""
    reached = set().union(*(walk(random.Random(seed)) for seed in range(8)))
    assert reached >= {"succeeded", "ineffective", "unverified", "failed", "aborted", "dry_run"}


def walk(dice: random.Random) -> set[str]:
    """A walk over the rules; the states in which its rollbacks end."""
    machine = RollbackMachine()
    try:
        machine.begin(dice.choice(["desired", "webhook"]), dice.choice([None, "approve"]))
        for _ in range(12):
            machine.ship(dice.choice([100, 5]))
            machine.wait(dice.choice([0.6, 13]), a_course(dice))
            wish = Wished(
                to=dice.choice([None, None, "v1"]),
                stale=int(dice.random() < 0.1),
                mode=dice.choice(["auto", "auto", "approve", "dry_run"]),
                automatic=dice.random() < 0.5,
                keyed=dice.random() < 0.5,
            )
            machine.roll_back(wish, a_kill(dice), a_course(dice))
            machine.decide(dice.random() < 0.6, a_kill(dice), a_course(dice))
            machine.generations_have_no_gap_and_no_double()
            machine.histories_hold_together()
            machine.rules_keep_to_their_limits()
        return {rollback.state for rollback in machine.all()}
    finally:
        machine.teardown()


def a_course(dice: random.Random) -> list[Moment]:
    """Some looks at a world that stays much the same."""
    spans = dice.choice([(200, 0, 0), (200, 0, 0), (200, 1, 0), (40, 40, 0), (40, 0, 40), (10, 0, 0)])
    metric: MetricStatus = dice.choice(["back", "back", "worse", "not_yet"])
    return [
        Moment(
            seconds=dice.choice([1, 5, 61, 130]),
            spans=spans,
            metric=metric,
            polled=dice.choice([None, 0, 0, 1]),
            refusal=dice.choice([None, None, None, False, True]),
            broken=dice.random() < 0.1,
            kill=a_kill(dice),
        )
        for _ in range(dice.randrange(10))
    ]


def a_kill(dice: random.Random) -> str:
    return dice.choice(KILLS) if dice.random() < 0.25 else ""
