"""From an alert to a rollback. The wish is stored with the alert, so a crash in between only delays it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from alerting.notices import Notice, changed
from alerting.outbox import AT_ONCE, enqueue
from alerting.records import evidence_of
from alerting.refusals import RollbackRefusedError
from schemas.evidence import Evidence
from schemas.rules import RegressionRule
from storage.alerts import AlertRow, alerts_wanting_rollback, firing_alert, update_alert
from storage.control import ControlDatabase
from storage.rollbacks import Rollback
from storage.rules import StoredRule, list_rules
from storage.targets import Mode

# Refusals that time or newer evidence may lift.
PASSING = frozenset(
    {
        "warm_up",
        "cool_down",
        "in_progress",
        "day_limit",
        "unproven_rollback",
        "generation_changed",
        "inconclusive",
        "changed_meanwhile",
    }
)
TRY_AGAIN_AFTER = timedelta(seconds=30)


class Proposer(Protocol):
    """What of the rollback controller is needed here."""

    async def propose(
        self,
        project: str,
        target: str,
        *,
        to: str | None,
        reason: str,
        mode: Mode,
        actor: str,
        evidence: Evidence | None,
        evidence_id: str | None,
        expected_generation: int | None,
        idempotency_key: str | None,
    ) -> Rollback:
        """Begin a rollback, or return the one that the same idempotency key began."""
        ...


@dataclass(frozen=True)
class _Wanted:
    alert: AlertRow
    stored: StoredRule | None


class Proposals:
    """Proposes what alerts want. `mode` is rollback.mode of the settings."""

    def __init__(self, control: ControlDatabase, rollbacks: Proposer, mode: Mode) -> None:
        self._control = control
        self._rollbacks = rollbacks
        self._mode = mode
        self._tried: dict[str, datetime] = {}

    async def run_once(self, now: datetime) -> int:
        """Propose every rollback that is wanted; how many were begun."""
        begun = 0
        for wanted in await self._control.read(_read_wanted):
            tried = self._tried.get(wanted.alert.id)
            if tried is None or now - tried >= TRY_AGAIN_AFTER:
                begun += await self._propose(wanted, now)
        return begun

    async def _propose(self, wanted: _Wanted, now: datetime) -> bool:
        alert = wanted.alert
        try:
            rollback = await self._begin(wanted)
        except RollbackRefusedError as error:
            refusal = error
            self._tried[alert.id] = now
            await self._control.write(lambda connection: _refuse(connection, wanted, refusal, now))
            return False
        self._tried.pop(alert.id, None)
        proposed = {"rollback": "proposed", "rollback_id": rollback.id, "rollback_detail": rollback.state_reason}
        await self._control.write(lambda connection: update_alert(connection, alert.id, proposed))
        return True

    async def _begin(self, wanted: _Wanted) -> Rollback:
        alert = wanted.alert
        evidence = evidence_of(alert)[0]
        return await self._rollbacks.propose(
            alert.project,
            alert.target,
            to=None,
            reason=alert.reason,
            mode=_mode(wanted.stored) or self._mode,
            actor=f"rule:{alert.rule_name}",
            evidence=evidence,
            evidence_id=alert.id,
            expected_generation=evidence.generation,
            idempotency_key=idempotency_key(alert, evidence),
        )


def idempotency_key(alert: AlertRow, evidence: Evidence) -> str:
    """One rollback for each rule, alert, episode and generation, however often it is proposed."""
    return f"{alert.rule_id}/{alert.fingerprint}/{alert.episode}/{evidence.generation}"


def _read_wanted(connection: Connection) -> Sequence[_Wanted]:
    rules = {stored.id: stored for stored in list_rules(connection)}
    return [_Wanted(alert, rules.get(alert.rule_id)) for alert in alerts_wanting_rollback(connection)]


def _mode(stored: StoredRule | None) -> Mode | None:
    return stored.rule.mode if stored is not None and isinstance(stored.rule, RegressionRule) else None


def _refuse(connection: Connection, wanted: _Wanted, error: RollbackRefusedError, now: datetime) -> None:
    alert = wanted.alert
    if firing_alert(connection, alert.place) is None:
        return  # over meanwhile, and people were told so
    state = "deferred" if error.code in PASSING else "refused"
    update_alert(connection, alert.id, {"rollback": state, "rollback_detail": f"{error.code}: {error.detail}"})
    notice = changed(
        Notice.model_validate(alert.notice),
        transition=f"rollback-{error.code}"[:32],
        firing=True,
        summary=f"not rolled back ({error.detail}); {alert.reason}",
        ends_at=None,
    )
    channels = wanted.stored.rule.channels if wanted.stored is not None else ()
    enqueue(connection, alert.place, alert.episode, notice, channels=channels, grouping=AT_ONCE, now=now)
