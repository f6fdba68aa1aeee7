"""A whole alerting world with a clock of its own: real store, real control database, real rollback controller."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alerting.desired import DesiredFeed
from alerting.engine import AlertEngine
from alerting.executors import build_executors
from alerting.http import GuardedClient
from alerting.outbox import announce_rollback
from alerting.recovery import MetricRecovery
from alerting.rollback import RollbackController
from alerting.targets import Caller, TargetRegistry
from schemas.settings import Settings
from storage.alerts import AlertRow, list_alerts
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.deliveries import Delivery, list_deliveries, sync_channels
from storage.releases import StoredReleaseShare
from tests.ingest.spans import ingest_spans, make_span

ME = Caller("me", "test")

GUARD = """
rules:
  - name: guard
    kind: regression
    profile: guard
    metrics: [tokens.output, latency, errors.rate]
    action: rollback
"""


def half_a_day_ago() -> datetime:
    """The stored spans must be younger than the retention that the store enforces by the real time."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)


@dataclass
class World:
    """`now` is the clock and the watermark of everything."""

    store: ClickHouseStore
    control: ControlDatabase
    settings: Settings
    now: datetime = field(default_factory=half_a_day_ago)
    frozen: datetime | None = None
    blind: bool = False
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.targets = TargetRegistry(self.control, self.clock, DesiredFeed(self.control), frozenset())
        self.rollbacks = RollbackController(
            self.control,
            self.targets,
            self.settings.rollback,
            self.clock,
            executors=build_executors((), GuardedClient(), self.clock),
            release_share=StoredReleaseShare(self.store),
            recovery=MetricRecovery(self.store, self.watermark),
            announce=announce_rollback,
        )
        self.engine = self.new_engine()

    def new_engine(self) -> AlertEngine:
        """An engine as another process would run it."""
        return AlertEngine(
            self.store, self.control, self.settings, watermark=self.watermark, clock=self.clock, rollbacks=self.rollbacks
        )

    def clock(self) -> datetime:
        return self.now

    async def watermark(self) -> datetime | None:
        return None if self.blind else self.frozen or self.now

    async def prepare(self) -> None:
        await self.control.write(lambda connection: sync_channels(connection, {"ops": ("webhook", "x")}))
        await self.engine.prepare()

    async def release(self, name: str, weight: float = 100) -> None:
        await self.targets.register("default", "assistant", name, {"prompt": name}, ME)
        await self.targets.promote("default", "assistant", name, weight, reason="test", caller=ME)

    async def traffic(
        self,
        release: str,
        seconds: float,
        *,
        per_second: float = 10,
        tokens: float = 200,
        errors: float = 0.0,
        step_s: float = 5,
    ) -> None:
        """Requests of one release; the clock moves on with them."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=step_s)
            spans = [self._span(release, tokens, errors) for _ in range(round(per_second * step_s))]
            await ingest_spans(self.store, "default", spans, received_at=self.now - timedelta(milliseconds=1))

    def _span(self, release: str, tokens: float, errors: float) -> Any:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": max(1, round(self.rng.lognormvariate(0, 0.4) * tokens)),
            "tracewarden.target": "assistant",
            "tracewarden.release": release,
        }
        duration_s = self.rng.lognormvariate(0, 0.3)
        status = 2 if self.rng.random() < errors else 0
        start = self.now - timedelta(seconds=duration_s + 0.5)
        return make_span(start=start, duration_s=duration_s, status=status, attributes=attributes)

    async def run(self, seconds: float, step_s: float = 2) -> None:
        """The engine's rounds while the clock moves on without traffic."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=step_s)
            await self.engine.run_once()

    async def alerts(self, **wanted: Any) -> list[AlertRow]:
        return await self.control.read(lambda connection: list_alerts(connection, "default", **wanted))

    async def outbox(self) -> list[Delivery]:
        rows = await self.control.read(lambda connection: list_deliveries(connection, "default", limit=1000))
        return rows[::-1]


def world_settings(folder: Path, rules: str, **sections: Any) -> Settings:
    """Settings with a rules file."""
    file = folder / "rules.yaml"
    file.write_text(rules)
    alerting = {"rules_file": file, "evaluate_every_s": 10, **sections.pop("alerting", {})}
    return Settings.model_validate({"data_dir": folder, "alerting": alerting, **sections})
