"""Rollbacks, their steps, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.api.base import Answer, Body, Time
from schemas.api.targets import Generation, Name, Text
from schemas.evidence import Evidence

State = Literal[
    "proposed",
    "dry_run",
    "awaiting_approval",
    "executing",
    "propagating",
    "verifying",
    "succeeded",
    "ineffective",
    "unverified",
    "failed",
    "aborted",
]


class RollbackRequest(Body):
    """Go back to an earlier release."""

    to: Name | None = Field(None, description="The release to restore; unset: the one that the current release replaced.")
    reason: Annotated[Text, Field(min_length=1)]
    dry_run: bool = Field(False, description="Check and record it, and change nothing.")
    evidence_id: Name | None = Field(
        None, description="Id of an alert: the rollback has succeeded only when its metric is back, too."
    )
    expected_generation: Generation | None = None


class AbortRequest(Body):
    """Why a proposed rollback shall not be."""

    reason: Annotated[Text, Field(min_length=1)]


class TransitionAnswer(Answer):
    """One step; from_state is null at the beginning."""

    from_state: State | None
    to_state: State
    actor: str
    reason: str
    figures: dict[str, Any] | None
    at: Time


class RollbackAnswer(Answer):
    """A rollback. It is proven only in the state succeeded."""

    id: str
    target: str
    state: State
    state_reason: str
    mode: Literal["dry_run", "approve", "auto"]
    automatic: bool = Field(description="Whether a rule asked for it and not a person.")
    actor: str
    reason: str
    from_release: str
    to_release: str
    from_weights: dict[str, float]
    from_generation: int = Field(description="The generation that it undoes.")
    generation: int | None = Field(description="The generation that it made; null until it is executed.")
    evidence: Evidence | None
    evidence_id: str | None
    approved_by: str | None
    created_at: Time
    executed_at: Time | None
    propagated_at: Time | None
    verify_from: Time | None = Field(description="The proof counts requests begun at this time or later.")
    finished_at: Time | None
    attempts: int = Field(description="Failed calls of the executor.")
    figures: dict[str, Any] | None = Field(description="What the last step rests on.")


class RollbackDetail(RollbackAnswer):
    """A rollback with every step that it took."""

    transitions: list[TransitionAnswer]


class RollbackList(Answer):
    """The latest rollbacks, newest first."""

    rollbacks: list[RollbackAnswer]
    next: str | None = Field(description="Pass it as `before` to continue; null at the end.")


class AuditLine(Answer):
    """Who did what to what, when and from where, with the state before and after."""

    id: int
    at: Time
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    source: str


class AuditList(Answer):
    """The latest lines, newest first."""

    lines: list[AuditLine]
    next: int | None = Field(description="Pass it as `before` to continue; null at the end.")
