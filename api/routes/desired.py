"""The desired state of a target, for gateways that poll it. It needs the control database only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from alerting.targets import TargetRegistry
from api.auth import authorise
from api.conditions import address_of, etag, generations_of, refusals
from api.routes.targets import IfNoneMatch, TargetName
from api.services import Services, services
from schemas.api.targets import DesiredState
from schemas.duration import Duration
from schemas.patterns import GATEWAY_ID
from storage.keys import Principal
from storage.targets import Target

router = APIRouter(tags=["targets"])

MAX_WAIT_S = 60.0


@router.get("/v1/desired/{target}", responses={304: {"description": "Still at the generation of If-None-Match."}})
async def read_desired(
    target: TargetName,
    principal: Annotated[Principal, Depends(authorise("read"))],
    parts: Annotated[Services, Depends(services)],
    request: Request,
    response: Response,
    if_none_match: IfNoneMatch = None,
    wait: Annotated[Duration | None, Query(description="Wait this long for a change, such as 30s; at most 60s.")] = None,
    x_gateway_id: Annotated[
        str | None, Header(pattern=GATEWAY_ID, description="Tells the replicas of a gateway apart.")
    ] = None,
) -> DesiredState:
    """What to serve. Send the ETag that you serve as If-None-Match: a rollback counts it as taken up by you."""
    known = generations_of(if_none_match)
    registry = parts.rollbacks.targets
    with refusals():
        found = await registry.get(principal.project, target)
        if known:
            gateway = f"{principal.key_id}:{x_gateway_id or address_of(request)}"
            await registry.note_poll(found, gateway, max(known))
        if wait is not None and found.generation in known:
            found = await _changed(registry, found, min(wait.total_seconds(), MAX_WAIT_S))
    response.headers["ETag"] = etag(found.generation)
    response.headers["Cache-Control"] = "no-cache"
    if found.generation in known:
        response.status_code = 304
    return _answer(found)


async def _changed(registry: TargetRegistry, target: Target, timeout_s: float) -> Target:
    await registry.feed.wait(target.project, target.name, target.generation, timeout_s)
    return await registry.get(target.project, target.name)


def _answer(target: Target) -> DesiredState:
    return DesiredState(
        target=target.name,
        generation=target.generation,
        weights=dict(target.weights),
        current=target.current,
        previous=target.previous,
        last_known_good=target.last_known_good,
        changed_at=target.changed_at,
    )
