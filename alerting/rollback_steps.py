"""One step of a rollback, written: its new state, the target's new generation, the audit line and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from alerting.desired_state import restore
from alerting.refusals import RollbackRefusedError
from alerting.rollback_state import NEXT, PAGED, Step, superseded
from alerting.targets import state_of
from storage.audit import record
from storage.rollbacks import OPEN, Rollback, State, insert_rollback, move_rollback, read_open, read_rollback
from storage.targets import Change, Target, mark_rolled_back, move_target

CONTROLLER = "rollback-controller"


@dataclass(frozen=True)
class Announcement:
    """A transition that just happened, to be told in the same transaction. `page`: a person has to act on it."""

    rollback: Rollback
    from_state: State | None
    actor: str
    at: datetime

    @property
    def page(self) -> bool:
        """Whether the rollback ended in a way that needs a person."""
        return self.rollback.state in PAGED


Announce = Callable[[Connection, Announcement], None]


class RollbackSteps:
    """Writes steps. Every method runs inside the caller's serializable transaction."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce

    def propose(self, connection: Connection, rollback: Rollback, source: str) -> None:
        """Store a new rollback."""
        insert_rollback(connection, rollback)
        self._announce(connection, Announcement(rollback, None, rollback.actor, rollback.created_at))
        self.audit(connection, rollback, "rollback.propose", rollback.actor, source, rollback.created_at)

    def execute(
        self, connection: Connection, rollback: Rollback, target: Target, reason: str, actor: str, now: datetime
    ) -> Rollback:
        """Make the new generation; from here on gateways that poll are served the restored release.

        Raises:
            RollbackRefusedError: generation_changed.
        """
        change = Change(actor, f"rollback: {rollback.reason}", now, rollback.id)
        moved = move_target(connection, target, restore(target, rollback.to_release), change)
        if moved is None:
            raise RollbackRefusedError("generation_changed", f"target {target.name} was changed by someone else: read it again")
        mark_rolled_back(connection, target.project, target.name, rollback.from_release, now)
        self._supersede_others(connection, rollback, moved, now)
        record(
            connection,
            project=target.project,
            actor=actor,
            action="target.rollback",
            subject=f"target:{target.name}",
            before=state_of(target),
            after=state_of(moved),
            source=rollback.id,
            now=now,
        )
        executing = replace(rollback, generation=moved.generation, executed_at=now)
        return self.enter(connection, executing, Step("executing", reason), actor, now)

    def enter(self, connection: Connection, before: Rollback, step: Step, actor: str, now: datetime) -> Rollback:
        """Store the step and tell of it. The transaction is serializable and has read `before`, so it still holds."""
        assert step.state == before.state or step.state in NEXT[before.state], (before.state, step.state)
        after = _after(before, step, now)
        if not move_rollback(connection, before, after, actor=actor, now=now):
            raise RollbackRefusedError("changed_meanwhile", f"rollback {before.id} was changed by someone else: read it again")
        if after.state != before.state:
            self._announce(connection, Announcement(after, before.state, actor, now))
            self._audit_end(connection, after, now)
        return after

    def step(self, connection: Connection, rollback: Rollback, step: Step, now: datetime) -> bool:
        """As `enter`, for a step decided outside the transaction; False when the rollback is no longer as it was then."""
        current = read_rollback(connection, rollback.project, rollback.id)
        if current is None or (current.state, current.verify_from) != (rollback.state, rollback.verify_from):
            return False
        self.enter(connection, current, step, CONTROLLER, now)
        return True

    def finish_attempt(self, connection: Connection, before: Rollback, after: Rollback, owner: str, now: datetime) -> bool:
        """Store what became of an executor's call and end the claim; False when the claim was lost meanwhile."""
        moved = move_rollback(connection, before, after, actor=CONTROLLER, now=now, owner=owner)
        if moved and after.state != before.state:
            self._announce(connection, Announcement(after, before.state, CONTROLLER, now))
            self._audit_end(connection, after, now)
        return moved

    def audit(self, connection: Connection, rollback: Rollback, action: str, actor: str, source: str, now: datetime) -> None:
        """Add a line on the rollback to the audit log."""
        record(
            connection,
            project=rollback.project,
            actor=actor,
            action=action,
            subject=f"rollback:{rollback.id}",
            before=None,
            after={
                "target": rollback.target,
                "state": rollback.state,
                "reason": rollback.state_reason,
                "from": rollback.from_release,
                "to": rollback.to_release,
                "generation": rollback.generation,
            },
            source=source,
            now=now,
        )

    def _audit_end(self, connection: Connection, rollback: Rollback, now: datetime) -> None:
        if rollback.state not in OPEN:
            self.audit(connection, rollback, "rollback.end", CONTROLLER, CONTROLLER, now)

    def _supersede_others(self, connection: Connection, rollback: Rollback, target: Target, now: datetime) -> None:
        for other, generation in read_open(connection):
            if (other.project, other.target) == (target.project, target.name) and other.id != rollback.id:
                step = superseded(other, generation)
                if step is not None:
                    self.enter(connection, other, step, CONTROLLER, now)


def _after(before: Rollback, step: Step, now: datetime) -> Rollback:
    after = replace(
        before,
        state=step.state,
        state_reason=step.reason,
        figures=before.figures if step.figures is None else step.figures,
        verify_from=step.verify_from or before.verify_from,
    )
    if step.state == "verifying" and before.state == "propagating":
        return replace(after, propagated_at=now)
    return after if step.state in OPEN else replace(after, finished_at=now)
