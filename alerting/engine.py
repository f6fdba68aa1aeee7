"""The alerting loop: evaluates what is due up to the watermark, writes what follows, proposes rollbacks, repeats.

Several processes may run it; the one that holds the lease works. Every write checks the lease again in its transaction.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, select

from alerting.evaluation import Evaluator, failed, is_kept
from alerting.observation import Observation
from alerting.proposals import Proposals, Proposer
from alerting.reach import Analyzed, Watermark
from alerting.records import Recorder, delays_of
from alerting.rulebook import load_rules, sync_rules
from schemas.control.core import projects
from schemas.metrics import UnknownMetricError
from schemas.rule_file import EVERY_PROJECT
from schemas.rules import RegressionRule, Rule
from schemas.settings import Settings
from storage.alerts import firing_alerts, read_states
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase, ControlError
from storage.leases import ALERTING, holds_lease, release_lease, take_lease
from storage.rules import StoredRule, is_revision, list_rules, unreadable_rules
from storage.scope import QueryError

_log = structlog.get_logger("alerting")

Clock = Callable[[], datetime]
Counted = Callable[[str, str], None]

LEASE_FOR = timedelta(seconds=15)
TICK_S = 0.5

_EXPECTED = (StoreError, QueryError, UnknownMetricError)


@dataclass(frozen=True)
class Work:
    """One rule in one project."""

    stored: StoredRule
    project: str

    @property
    def key(self) -> tuple[str, str]:
        """What its rhythm is kept under."""
        return self.stored.id, self.project


class LostLeaseError(Exception):
    """Another process leads by now; nothing was written."""


class AlertEngine:
    """Runs every rule. `counted(kind, outcome)` hears of every evaluation: evaluated or failed.

    `analyzed` says how far an analyzer is, where scores are evaluated.
    """

    def __init__(
        self,
        store: ClickHouseStore,
        control: ControlDatabase,
        settings: Settings,
        *,
        watermark: Watermark,
        clock: Clock,
        rollbacks: Proposer,
        counted: Counted = lambda _kind, _outcome: None,
        analyzed: Analyzed | None = None,
    ) -> None:
        self._control = control
        self._settings = settings
        self._watermark = watermark
        self._clock = clock
        self._counted = counted
        self._evaluator = Evaluator(store, control, analyzed)
        self._proposals = Proposals(control, rollbacks, settings.rollback.mode)
        self._delays = delays_of(settings.alerting)
        self._holder = secrets.token_hex(8)
        self._evaluated: dict[tuple[str, str], datetime] = {}
        self._lease: tuple[int, datetime] | None = None

    async def prepare(self) -> None:
        """Read the rules file into the database; call it once, after the dispatcher's `prepare`.

        Raises:
            RuleFileError: with everything that is wrong with the file.
        """
        alerting = self._settings.alerting
        file = load_rules(alerting.rules_file, [channel.name for channel in alerting.channels])
        now = self._clock()
        synced = await self._control.write(lambda connection: sync_rules(connection, file, self._delays, now))
        for name, wrong in (await self._control.read(unreadable_rules)).items():
            _log.error("rule_ignored", rule=name, error=wrong, fix="delete it and create it anew")
        _log.info("rules_loaded", rules=len(file.rules), **vars(synced))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then let another process lead."""
        while not stop.is_set():
            try:
                await self.run_once()
            except ControlError as error:
                _log.warning("alerting_paused", error=str(error))
            except Exception:  # whatever it is, alerting must go on; the next round starts from what is stored
                _log.exception("alerting_round_failed")
            await _pause(stop)
        await self.close()

    async def close(self) -> None:
        """Give the lease back. Safe without a lease."""
        self._lease = None
        now = self._clock()
        try:
            await self._control.write(lambda connection: release_lease(connection, ALERTING, self._holder, now))
        except ControlError as error:
            _log.warning("lease_kept", error=str(error))

    async def run_once(self) -> int:
        """One round: evaluate what is due, propose, repeat; how many rules were evaluated (0 also without the lease)."""
        token = await self._lead()
        if token is None:
            return 0
        try:
            evaluated = await self._evaluate_due(token)
            await self._repeat(token)
        except LostLeaseError:
            _log.warning("lease_lost")
            self._lease = None
            return 0
        return evaluated

    async def _lead(self) -> int | None:
        """The lease's token, or None while another process leads."""
        now = self._clock()
        if self._lease is None or not timedelta(0) <= now - self._lease[1] < LEASE_FOR / 3:
            token = await self._control.write(lambda c: take_lease(c, ALERTING, self._holder, now, LEASE_FOR))
            self._lease = None if token is None else (token, now)
        return None if self._lease is None else self._lease[0]

    async def _evaluate_due(self, token: int) -> int:
        at = await self._watermark()
        evaluated = 0
        # Wishes that an earlier process left behind come first.
        await self._proposals.run_once(self._clock())
        if at is None:
            return 0
        for work in await self._control.read(_read_work):
            if not self._due(work, at):
                continue
            self._evaluated[work.key] = at
            try:
                await self._evaluate(work, at, token)
            except (ControlError, LostLeaseError):
                raise
            except Exception:  # what one rule found cannot be written: the others go on
                _log.exception("recording_failed", rule=work.stored.rule.name, project=work.project)
            await self._proposals.run_once(self._clock())
            evaluated += 1
        return evaluated

    def _due(self, work: Work, at: datetime) -> bool:
        """By the watermark, not by the clock: when it stands still there is nothing new to judge."""
        last = self._evaluated.get(work.key)
        return last is None or at - last >= interval_of(work.stored.rule, self._settings)

    async def _evaluate(self, work: Work, at: datetime, token: int) -> None:
        rule, project = work.stored.rule, work.project
        states = await self._control.read(lambda connection: read_states(connection, project, work.stored.id))
        known = [state["labels"] for state in states if is_kept(rule, state)]
        try:
            observations = await self._evaluator.observe(rule, project, at, known)
            outcome = "evaluated"
        except ControlError:
            raise
        except Exception as error:  # a rule that fails must not stop the others: it becomes a state, a count and a log line
            unexpected = not isinstance(error, _EXPECTED)
            _log.warning("evaluation_failed", rule=rule.name, project=project, error=str(error), exc_info=unexpected)
            observations = failed(rule, project, at, known, f"evaluation failed: {error}"[:500])
            outcome = "failed"
        self._counted(rule.kind, outcome)
        await self._record(work, observations, token)

    async def _record(self, work: Work, observations: list[Observation], token: int) -> None:
        """Each observation is one transaction: what changed, the alert, its messages and its wish for a rollback."""
        recorder = Recorder(work.stored, work.project, self._delays)
        for observation in observations:
            now = self._clock()

            def write(connection: Connection, observation: Observation = observation, now: datetime = now) -> None:
                self._require_lease(connection, token)
                if is_revision(connection, work.stored.id, work.stored.revision):  # it may have been changed meanwhile
                    recorder.apply(connection, observation, now)

            await self._control.write(write)

    async def _repeat(self, token: int) -> None:
        now = self._clock()
        alerts = await self._control.read(firing_alerts)
        if all(now - alert.notified_at < self._delays.repeat for alert in alerts):
            return

        def write(connection: Connection) -> None:
            self._require_lease(connection, token)
            rules = {stored.id: stored for stored in list_rules(connection)}
            for alert in firing_alerts(connection):
                if alert.rule_id in rules:
                    Recorder(rules[alert.rule_id], alert.project, self._delays).repeat(connection, alert, now)

        await self._control.write(write)

    def _require_lease(self, connection: Connection, token: int) -> None:
        if not holds_lease(connection, ALERTING, self._holder, token):
            raise LostLeaseError


def interval_of(rule: Rule, settings: Settings) -> timedelta:
    """How often a rule is evaluated."""
    if isinstance(rule, RegressionRule):
        seconds = settings.alerting.guard_every_s if rule.profile == "guard" else settings.alerting.evaluate_every_s
        return timedelta(seconds=seconds)
    return rule.every or timedelta(seconds=settings.alerting.evaluate_every_s)


def _read_work(connection: Connection) -> list[Work]:
    """Every enabled rule in every project it holds in; guards first, because they must not wait for the others."""
    known = list(connection.execute(select(projects.c.name).order_by(projects.c.name)).scalars())
    work = [
        Work(stored, project)
        for stored in list_rules(connection)
        if stored.rule.enabled
        for project in (known if stored.project == EVERY_PROJECT else [stored.project])
    ]
    return sorted(
        work, key=lambda item: not (isinstance(item.stored.rule, RegressionRule) and item.stored.rule.profile == "guard")
    )


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), TICK_S)
    except TimeoutError:
        return
