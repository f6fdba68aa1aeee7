"""Targets and releases: register, promote, roll back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from alerting.targets import Options
from api.auth import authorise
from api.conditions import caller_of, etag, expected_generation, generations_of, refusals
from api.routes.rollbacks import answer_of as rollback_answer_of
from api.services import Services, services
from schemas.api.rollbacks import RollbackAnswer, RollbackRequest
from schemas.api.targets import (
    PromotionRequest,
    ReleaseAnswer,
    ReleaseList,
    ReleaseRequest,
    TargetAnswer,
    TargetList,
    TargetRequest,
)
from schemas.patterns import IDEMPOTENCY_KEY, NAME
from storage.keys import Principal
from storage.rollbacks import OPEN
from storage.targets import Release, Target

router = APIRouter(tags=["targets"])

Reader = Annotated[Principal, Depends(authorise("read"))]
Controller = Annotated[Principal, Depends(authorise("control"))]
Parts = Annotated[Services, Depends(services)]
TargetName = Annotated[str, Path(pattern=NAME)]
IfMatch = Annotated[str | None, Header(description="The ETag of the target: refuse (412) when it changed since.")]
IfNoneMatch = Annotated[str | None, Header(description="The ETag known: answer 304 when it is still that.")]
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=IDEMPOTENCY_KEY, description="The same key and body again return the same rollback."),
]


@router.get("/v1/targets")
async def list_targets(principal: Reader, parts: Parts) -> TargetList:
    """Every target of the project."""
    with refusals():
        found = await parts.rollbacks.targets.all(principal.project)
    return TargetList(targets=[answer_of(target) for target in found])


@router.get("/v1/targets/{target}", responses={304: {"description": "Still at the generation of If-None-Match."}})
async def read_target(
    target: TargetName, principal: Reader, parts: Parts, response: Response, if_none_match: IfNoneMatch = None
) -> TargetAnswer:
    """A target with its desired state; the ETag is its generation."""
    with refusals():
        found = await parts.rollbacks.targets.get(principal.project, target)
    return _tagged(found, response, if_none_match)


@router.put("/v1/targets/{target}", responses={201: {"description": "Created.", "model": TargetAnswer}})
async def put_target(
    target: TargetName, body: TargetRequest, principal: Controller, parts: Parts, request: Request, response: Response
) -> TargetAnswer:
    """Create a target, or change how it is rolled back."""
    options = Options(body.executor, body.webhook, body.mode)
    with refusals():
        found, created = await parts.rollbacks.targets.put(principal.project, target, options, caller_of(principal, request))
    response.status_code = 201 if created else 200
    return _tagged(found, response)


@router.get("/v1/targets/{target}/releases")
async def list_releases(target: TargetName, principal: Reader, parts: Parts) -> ReleaseList:
    """The latest releases of a target."""
    with refusals():
        found = await parts.rollbacks.targets.releases(principal.project, target)
    return ReleaseList(releases=[_release(release) for release in found])


@router.post(
    "/v1/targets/{target}/releases",
    status_code=201,
    responses={200: {"description": "Known already, with this content.", "model": ReleaseAnswer}},
)
async def register_release(
    target: TargetName, body: ReleaseRequest, principal: Controller, parts: Parts, request: Request, response: Response
) -> ReleaseAnswer:
    """Register a release, and with its first one the target. The same name with other content is refused (409)."""
    with refusals():
        release, created = await parts.rollbacks.targets.register(
            principal.project, target, body.release, body.content, caller_of(principal, request)
        )
    response.status_code = 201 if created else 200
    return _release(release)


@router.post("/v1/targets/{target}:promote")
async def promote(
    target: TargetName,
    body: PromotionRequest,
    principal: Controller,
    parts: Parts,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> TargetAnswer:
    """Give a release its share of the traffic. A canary is a release with a small weight."""
    expected = expected_generation(if_match, body.expected_generation)
    with refusals():
        promoted = await parts.rollbacks.targets.promote(
            principal.project,
            target,
            body.release,
            body.weight,
            reason=body.reason,
            caller=caller_of(principal, request),
            expected_generation=expected,
        )
    return _tagged(promoted, response)


@router.post(
    "/v1/targets/{target}:rollback",
    status_code=202,
    responses={200: {"description": "A dry run, or a rollback that has ended.", "model": RollbackAnswer}},
)
async def roll_back(
    target: TargetName,
    body: RollbackRequest,
    principal: Controller,
    parts: Parts,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> RollbackAnswer:
    """Restore an earlier release. Accepted is not proven: follow /v1/rollbacks/{id} until it is `succeeded`."""
    caller = caller_of(principal, request)
    with refusals():
        rollback = await parts.rollbacks.propose(
            principal.project,
            target,
            to=body.to,
            reason=body.reason,
            mode="dry_run" if body.dry_run else "auto",
            actor=caller.actor,
            evidence=None,
            evidence_id=body.evidence_id,
            expected_generation=expected_generation(if_match, body.expected_generation),
            idempotency_key=idempotency_key,
            source=caller.source,
        )
    response.status_code = 202 if rollback.state in OPEN else 200
    response.headers["Location"] = f"/v1/rollbacks/{rollback.id}"
    return rollback_answer_of(rollback)


def answer_of(target: Target) -> TargetAnswer:
    """A target as the API shows it."""
    return TargetAnswer(
        target=target.name,
        generation=target.generation,
        weights=dict(target.weights),
        current=target.current,
        previous=target.previous,
        last_known_good=target.last_known_good,
        changed_at=target.changed_at,
        kind=target.kind,
        executor=target.executor,
        webhook=target.webhook,
        mode=target.mode,
        created_at=target.created_at,
    )


def _tagged(target: Target, response: Response, if_none_match: str | None = None) -> TargetAnswer:
    response.headers["ETag"] = etag(target.generation)
    if target.generation in generations_of(if_none_match):
        response.status_code = 304
    return answer_of(target)


def _release(release: Release) -> ReleaseAnswer:
    return ReleaseAnswer(
        target=release.target,
        release=release.name,
        content=release.content,
        content_hash=release.content_hash,
        created_at=release.created_at,
        created_by=release.created_by,
        rolled_back_at=release.rolled_back_at,
    )
