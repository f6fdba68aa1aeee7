"""The rollback controller: proposes, executes, follows and proves rollbacks; everything it knows is in the database.

The new generation is made in the transaction that begins the execution, so of several proposals made on one generation
exactly one wins. The controller may be killed anywhere: whoever runs next goes on from the stored state. Only what leaves
the database (an executor's call) is claimed first; every other step is a conditional update, which two cannot both win.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from alerting.executors import Executor
from alerting.guardrails import DAY, Granted, Refused, Situation, Wish, decide, limits_of, strictest
from alerting.refusals import RollbackRefusedError, TargetRefusedError
from alerting.rollback_state import Step, superseded, timing_of
from alerting.rollback_steps import Announce, Announcement, RollbackSteps
from alerting.rollback_worker import Recovery, ReleaseShare, RollbackWorker
from alerting.targets import Clock, TargetRegistry, require_target
from schemas.evidence import Evidence
from schemas.sections import RollbackSettings
from storage.control import ControlDatabase
from storage.rollbacks import (
    Rollback,
    State,
    Transition,
    find_by_key,
    list_rollbacks,
    read_alert_evidence,
    read_history,
    read_rollback,
    read_transitions,
)
from storage.targets import Mode, Target, list_releases

__all__ = [
    "Announce",
    "Announcement",
    "Recovery",
    "ReleaseShare",
    "Rollback",
    "RollbackController",
    "RollbackRefusedError",
]


@dataclass(frozen=True)
class _Proposal:
    """What was asked for, with the id and the moment fixed so that a repeated transaction does the same."""

    id: str
    project: str
    target: str
    wish: Wish
    reason: str
    mode: Mode
    actor: str
    source: str
    evidence_id: str | None
    idempotency_key: str | None
    now: datetime

    @property
    def request_hash(self) -> str:
        """What an idempotency key stands for. A rule's figures move from look to look, so they are no part of it."""
        parts: list[object] = [self.target, self.wish.to, self.wish.automatic]
        if not self.wish.automatic:
            parts += [self.reason, self.mode, self.wish.expected_generation, self.evidence_id]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class RollbackController:
    """Rollbacks of every project. `targets` is the registry whose feed wakes gateways that wait."""

    def __init__(
        self,
        control: ControlDatabase,
        targets: TargetRegistry,
        settings: RollbackSettings,
        clock: Clock,
        *,
        executors: Mapping[str, Executor],
        release_share: ReleaseShare,
        recovery: Recovery,
        announce: Announce,
    ) -> None:
        self.targets = targets
        self._control = control
        self._settings = settings
        self._limits = limits_of(settings)
        self._clock = clock
        self._steps = RollbackSteps(announce)
        self._worker = RollbackWorker(
            control,
            self._steps,
            timing_of(settings),
            executors=executors,
            release_share=release_share,
            recovery=recovery,
        )

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
        source: str = "alerting",
    ) -> Rollback:
        """Begin a rollback, or return the one that the same idempotency key began.

        With `evidence` it is automatic: the guardrails bind it and the mode is the strictest of `mode`, the settings' and the
        target's. Without, a person asked for it, and `mode` holds as it is.

        Raises:
            RollbackRefusedError: with a code of `guardrails`, unknown_target, unknown_evidence, or idempotency_conflict.
        """
        proposal = _Proposal(
            id="rb_" + secrets.token_hex(10),
            project=project,
            target=target,
            wish=Wish(to, expected_generation, evidence),
            reason=reason,
            mode=mode,
            actor=actor,
            source=source,
            evidence_id=evidence_id,
            idempotency_key=idempotency_key,
            now=self._clock(),
        )
        rollback = await self._control.write(lambda connection: self._propose(connection, proposal))
        self.targets.feed.notify()
        return rollback

    async def approve(self, project: str, rollback_id: str, *, actor: str, source: str) -> Rollback:
        """Execute a rollback that waits for it.

        Raises:
            RollbackRefusedError: unknown_rollback, not_awaiting_approval, generation_changed, in_progress, switched_off.
        """
        now = self._clock()

        def work(connection: Connection) -> Rollback:
            rollback = _require(connection, project, rollback_id)
            target = self._approvable(connection, rollback)
            self._steps.audit(connection, rollback, "rollback.approve", actor, source, now)
            return self._steps.execute(
                connection, replace(rollback, approved_by=actor), target, f"approved by {actor}", actor, now
            )

        approved = await self._control.write(work)
        self.targets.feed.notify()
        return approved

    async def abort(self, project: str, rollback_id: str, *, reason: str, actor: str, source: str) -> Rollback:
        """End a rollback that waits for approval.

        Raises:
            RollbackRefusedError: unknown_rollback, not_abortable.
        """
        now = self._clock()

        def work(connection: Connection) -> Rollback:
            rollback = _require(connection, project, rollback_id)
            if rollback.state != "awaiting_approval":
                raise RollbackRefusedError(
                    "not_abortable",
                    f"rollback {rollback.id} is {rollback.state}: only one that awaits approval can be aborted; "
                    "to leave the restored release, promote another",
                )
            self._steps.audit(connection, rollback, "rollback.abort", actor, source, now)
            return self._steps.enter(connection, rollback, Step("aborted", reason), actor, now)

        return await self._control.write(work)

    async def get(self, project: str, rollback_id: str) -> tuple[Rollback, list[Transition]]:
        """The rollback and every step it took.

        Raises:
            RollbackRefusedError: unknown_rollback.
        """
        return await self._control.read(
            lambda connection: (_require(connection, project, rollback_id), read_transitions(connection, rollback_id))
        )

    async def latest(
        self,
        project: str,
        *,
        target: str | None = None,
        state: State | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Rollback]:
        """The latest rollbacks, newest first; `before`, the id of the last one of a page, continues after it.

        Raises:
            RollbackRefusedError: unknown_rollback.
        """

        def read(connection: Connection) -> list[Rollback]:
            last = None if before is None else _require(connection, project, before)
            return list_rollbacks(connection, project, target=target, state=state, before=last, limit=limit)

        return await self._control.read(read)

    async def run_once(self, now: datetime) -> int:
        """Advance every open rollback by at most one step; how many advanced. Call it about once a second."""
        return await self._worker.run_once(now)

    def _propose(self, connection: Connection, proposal: _Proposal) -> Rollback:
        known = _known(connection, proposal)
        if known is not None:
            return known
        target = _target(connection, proposal.project, proposal.target)
        granted = self._granted(connection, proposal, target)
        mode = proposal.mode
        if proposal.wish.automatic:
            mode = strictest(proposal.mode, self._settings.mode, target.mode)
        rollback = replace(_new(proposal, target, granted, mode), evidence=_evidence(connection, proposal, granted))
        self._steps.propose(connection, rollback, proposal.source)
        return self._begin(connection, rollback, target, proposal)

    def _granted(self, connection: Connection, proposal: _Proposal, target: Target) -> Granted:
        releases = frozenset(release.name for release in list_releases(connection, target.project, target.name))
        history = read_history(connection, target.project, target.name, proposal.now - max(DAY, self._limits.cooldown))
        decision = decide(proposal.wish, Situation(target, releases, history), self._limits, proposal.now)
        if isinstance(decision, Refused):
            raise RollbackRefusedError(decision.code, decision.detail)
        return decision

    def _begin(self, connection: Connection, rollback: Rollback, target: Target, proposal: _Proposal) -> Rollback:
        if rollback.mode == "auto":
            return self._steps.execute(connection, rollback, target, rollback.reason, proposal.actor, proposal.now)
        step = {
            "dry_run": Step("dry_run", f"nothing was changed (mode dry_run): {rollback.state_reason}"),
            "approve": Step("awaiting_approval", f"a person has to approve it: {rollback.state_reason}"),
        }[rollback.mode]
        return self._steps.enter(connection, rollback, step, proposal.actor, proposal.now)

    def _approvable(self, connection: Connection, rollback: Rollback) -> Target:
        if rollback.state != "awaiting_approval":
            raise RollbackRefusedError("not_awaiting_approval", f"rollback {rollback.id} is {rollback.state}")
        if rollback.automatic and not self._limits.enabled:
            raise RollbackRefusedError("switched_off", "automatic rollbacks are switched off (rollback.enabled is false)")
        target = _target(connection, rollback.project, rollback.target)
        step = superseded(rollback, target.generation)
        if step is not None:
            raise RollbackRefusedError("generation_changed", step.reason)
        return target


def _known(connection: Connection, proposal: _Proposal) -> Rollback | None:
    if proposal.idempotency_key is None:
        return None
    known = find_by_key(connection, proposal.project, proposal.target, proposal.idempotency_key)
    if known is not None and known.request_hash != proposal.request_hash:
        raise RollbackRefusedError(
            "idempotency_conflict", f"this Idempotency-Key began rollback {known.id} with another request: use a new key"
        )
    return known


def _evidence(connection: Connection, proposal: _Proposal, granted: Granted) -> Evidence | None:
    """What the rollback has to be proven by: a person may point at an alert, whose metric then has to come back."""
    if proposal.wish.evidence is not None or proposal.evidence_id is None:
        return proposal.wish.evidence
    found = read_alert_evidence(connection, proposal.project, proposal.evidence_id)
    if found is None:
        detail = f"there is no alert {proposal.evidence_id!r}: take `evidence_id` from /v1/alerts, or leave it out"
        raise RollbackRefusedError("unknown_evidence", detail)
    about = (proposal.target, granted.from_release)
    return next((evidence for evidence in found if (evidence.target, evidence.candidate) == about), None)


def _target(connection: Connection, project: str, name: str) -> Target:
    try:
        return require_target(connection, project, name)
    except TargetRefusedError as error:
        raise RollbackRefusedError(error.code, error.detail) from error


def _require(connection: Connection, project: str, rollback_id: str) -> Rollback:
    found = read_rollback(connection, project, rollback_id)
    if found is None:
        raise RollbackRefusedError("unknown_rollback", f"there is no rollback {rollback_id!r}: list them at /v1/rollbacks")
    return found


def _new(proposal: _Proposal, target: Target, granted: Granted, mode: Mode) -> Rollback:
    return Rollback(
        id=proposal.id,
        project=proposal.project,
        target=proposal.target,
        state="proposed",
        state_reason=granted.reason,
        mode=mode,
        automatic=proposal.wish.automatic,
        actor=proposal.actor,
        reason=proposal.reason,
        from_release=granted.from_release,
        to_release=granted.to_release,
        from_weights=dict(target.weights),
        from_generation=target.generation,
        created_at=proposal.now,
        evidence_id=proposal.evidence_id,
        idempotency_key=proposal.idempotency_key,
        request_hash=proposal.request_hash,
    )
