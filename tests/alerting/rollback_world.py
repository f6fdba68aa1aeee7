"""A rollback controller on a real control database, with a clock, gateways and traffic that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from alerting.desired import DesiredFeed
from alerting.executors import ExecutionError, Executor, Order
from alerting.executors.desired import DesiredExecutor
from alerting.rollback import Announcement, RollbackController
from alerting.rollback_state import MetricState
from alerting.targets import Caller, Options, TargetRegistry
from schemas.evidence import Evidence
from schemas.sections import RollbackSettings
from storage.clickhouse import StoreError
from storage.control import ControlDatabase
from storage.rollbacks import Rollback
from storage.targets import Mode, Target

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANN = Caller("ann", "127.0.0.1")
PROJECT, TARGET = "default", "chat"


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class RecordingExecutor:
    """Keeps the orders; refuses as long as `refusals` holds errors."""

    orders: list[Order] = field(default_factory=list)
    refusals: list[ExecutionError] = field(default_factory=list)

    async def execute(self, order: Order) -> None:
        self.orders.append(order)
        if self.refusals:
            raise self.refusals.pop(0)


@dataclass
class Traffic:
    """What the trace store would answer: spans by release begun since then, and the state of the metric."""

    spans: Callable[[datetime], Mapping[str, int]] = lambda since: {}
    metric: MetricState = field(default_factory=lambda: MetricState("not_yet", "no requests", {}))
    broken: bool = False
    fault: Exception | None = None
    asked_since: list[datetime] = field(default_factory=list)

    async def share(self, project: str, target: str, since: datetime) -> Mapping[str, int]:
        if self.broken:
            raise StoreError("down")
        self.asked_since.append(since)
        return self.spans(since)

    async def recovery(self, rollback: Rollback, since: datetime) -> MetricState:
        if self.broken:
            raise StoreError("down")
        if self.fault is not None:
            raise self.fault
        return self.metric

    def carries(self, **spans: int) -> None:
        """From now on every look finds these spans; `unnamed` are those without a release."""
        counts = {"" if name == "unnamed" else name: count for name, count in spans.items()}
        self.spans = lambda since: counts


class World:
    """Everything a test of rollbacks touches."""

    def __init__(self, control: ControlDatabase, settings: RollbackSettings | None = None) -> None:
        self.control = control
        self.clock = FakeClock()
        self.traffic = Traffic()
        self.told: list[Announcement] = []
        self.hook = RecordingExecutor()
        self.targets = TargetRegistry(control, self.clock, DesiredFeed(control), frozenset({"gate"}))
        self.rollbacks = self.controller(settings or RollbackSettings(mode="auto"))

    def controller(self, settings: RollbackSettings) -> RollbackController:
        """Another controller on the same database, as another process has."""
        executors: Mapping[str, Executor] = {"desired": DesiredExecutor(), "webhook": self.hook}
        return RollbackController(
            self.control,
            self.targets,
            settings,
            self.clock,
            executors=executors,
            release_share=self.traffic.share,
            recovery=self.traffic.recovery,
            announce=self._announce,
        )

    def _announce(self, connection: Connection, announcement: Announcement) -> None:
        self.told.append(announcement)

    async def promoted(self, *releases: str, executor: str = "desired", mode: Mode | None = None) -> Target:
        """The target with these releases promoted one after the other."""
        options = Options(executor, "gate" if executor == "webhook" else None, mode)
        await self.targets.put(PROJECT, TARGET, options, ANN)
        for release in releases:
            await self.release(release)
            await self.targets.promote(PROJECT, TARGET, release, 100, reason="ship", caller=ANN)
        return await self.target()

    async def release(self, name: str) -> None:
        await self.targets.register(PROJECT, TARGET, name, {"prompt": name}, ANN)

    async def target(self) -> Target:
        return await self.targets.get(PROJECT, TARGET)

    async def roll_back(
        self,
        *,
        to: str | None = None,
        reason: str = "dearer",
        mode: Mode = "auto",
        evidence: Evidence | None = None,
        expected: int | None = None,
        key: str | None = None,
        evidence_id: str | None = None,
    ) -> Rollback:
        return await self.rollbacks.propose(
            PROJECT,
            TARGET,
            to=to,
            reason=reason,
            mode=mode,
            actor="ann" if evidence is None else "rule:cost",
            evidence=evidence,
            evidence_id=evidence_id,
            expected_generation=expected,
            idempotency_key=key,
        )

    async def step(self, seconds: float = 0) -> int:
        """Let time pass, then one run of the worker."""
        self.clock.advance(seconds)
        return await self.rollbacks.run_once(self.clock.now)

    async def state(self, rollback: Rollback) -> Rollback:
        return (await self.rollbacks.get(PROJECT, rollback.id))[0]

    async def path(self, rollback: Rollback) -> list[str]:
        """The states it went through."""
        return [step.to_state for step in (await self.rollbacks.get(PROJECT, rollback.id))[1]]


def evidence(
    *,
    candidate: str = "v2",
    generation: int = 3,
    n: int = 60,
    target: str = TARGET,
    effect: float | None = 0.58,
    low: float | None = 0.4,
    high: float | None = 0.8,
) -> Evidence:
    """The regression of v2 against v1."""
    return Evidence(
        metric="cost.usd",
        unit="usd",
        target=target,
        candidate=candidate,
        baseline="v1",
        effect=effect,
        interval_low=low,
        interval_high=high,
        confidence=0.999,
        n_candidate=n,
        n_baseline=n * 3,
        window_start=START - timedelta(minutes=5),
        window_end=START,
        generation=generation,
        example_traces=["ab" * 16],
        reason="58 % dearer",
    )
