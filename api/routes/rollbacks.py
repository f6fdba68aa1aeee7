"""Rollbacks: follow, approve, abort; and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from api.auth import authorise
from api.conditions import caller_of, refusals
from api.services import Services, services
from schemas.api.rollbacks import (
    AbortRequest,
    AuditLine,
    AuditList,
    RollbackAnswer,
    RollbackDetail,
    RollbackList,
    State,
    TransitionAnswer,
)
from schemas.patterns import AUDIT_SUBJECT, NAME, ROLLBACK_ID
from storage.audit import AuditEntry, read_audit
from storage.keys import Principal
from storage.rollbacks import Rollback, Transition

router = APIRouter(tags=["rollbacks"])

Reader = Annotated[Principal, Depends(authorise("read"))]
Controller = Annotated[Principal, Depends(authorise("control"))]
Parts = Annotated[Services, Depends(services)]
RollbackId = Annotated[str, Path(pattern=ROLLBACK_ID)]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/v1/rollbacks")
async def list_rollbacks(
    principal: Reader,
    parts: Parts,
    target: Annotated[str | None, Query(pattern=NAME)] = None,
    state: State | None = None,
    before: Annotated[str | None, Query(pattern=ROLLBACK_ID, description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> RollbackList:
    """The latest rollbacks, newest first."""
    with refusals():
        found = await parts.rollbacks.latest(principal.project, target=target, state=state, before=before, limit=limit)
    following = found[-1].id if len(found) == limit else None
    return RollbackList(rollbacks=[answer_of(rollback) for rollback in found], next=following)


@router.get("/v1/rollbacks/{rollback_id}")
async def read_rollback(rollback_id: RollbackId, principal: Reader, parts: Parts) -> RollbackDetail:
    """A rollback with every step that it took."""
    with refusals():
        rollback, transitions = await parts.rollbacks.get(principal.project, rollback_id)
    steps = [_transition(transition) for transition in transitions]
    return RollbackDetail(**answer_of(rollback).model_dump(), transitions=steps)


@router.post("/v1/rollbacks/{rollback_id}:approve", status_code=202)
async def approve_rollback(rollback_id: RollbackId, principal: Controller, parts: Parts, request: Request) -> RollbackAnswer:
    """Execute a rollback that awaits approval."""
    caller = caller_of(principal, request)
    with refusals():
        approved = await parts.rollbacks.approve(principal.project, rollback_id, actor=caller.actor, source=caller.source)
    return answer_of(approved)


@router.post("/v1/rollbacks/{rollback_id}:abort")
async def abort_rollback(
    rollback_id: RollbackId, body: AbortRequest, principal: Controller, parts: Parts, request: Request
) -> RollbackAnswer:
    """End a rollback that awaits approval."""
    caller = caller_of(principal, request)
    with refusals():
        aborted = await parts.rollbacks.abort(
            principal.project, rollback_id, reason=body.reason, actor=caller.actor, source=caller.source
        )
    return answer_of(aborted)


@router.get("/v1/rollbacks/{rollback_id}/audit")
async def read_rollback_audit(rollback_id: RollbackId, principal: Reader, parts: Parts) -> AuditList:
    """What the audit log says of a rollback, newest first."""
    with refusals():
        await parts.rollbacks.get(principal.project, rollback_id)
        return await _audit(parts, principal.project, f"rollback:{rollback_id}", None, 1000)


@router.get("/v1/audit")
async def list_audit(
    principal: Reader,
    parts: Parts,
    subject: Annotated[str | None, Query(pattern=AUDIT_SUBJECT, description="Such as target:assistant.")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> AuditList:
    """The audit log of the project, newest first."""
    with refusals():
        return await _audit(parts, principal.project, subject, before, limit)


def answer_of(rollback: Rollback) -> RollbackAnswer:
    """A rollback as the API shows it."""
    shown = {name: getattr(rollback, name) for name in RollbackAnswer.model_fields}
    return RollbackAnswer(**shown)


async def _audit(parts: Services, project: str, subject: str | None, before: int | None, limit: int) -> AuditList:
    found = await parts.control.read(
        lambda connection: read_audit(connection, project, subject=subject, before_id=before, limit=limit)
    )
    return AuditList(lines=[_line(entry) for entry in found], next=found[-1].id if len(found) == limit else None)


def _line(entry: AuditEntry) -> AuditLine:
    return AuditLine(**{name: getattr(entry, name) for name in AuditLine.model_fields})


def _transition(transition: Transition) -> TransitionAnswer:
    return TransitionAnswer(**{name: getattr(transition, name) for name in TransitionAnswer.model_fields})
