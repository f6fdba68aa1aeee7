"""Calibrations: learn weights and threshold of a service from people's feedback."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from analyzers.grounding.calibration import NotEnough
from analyzers.grounding.feedback import calibrate, withdraw
from api.auth import authorise
from api.conditions import caller_of
from api.problem import Problem
from api.reading import Parts, Reader
from schemas.api.calibrations import CalibrationAnswer, CalibrationList, CalibrationRequest, Service
from storage.calibrations import Calibration, list_calibrations
from storage.keys import Principal

router = APIRouter(tags=["calibrations"])

Controller = Annotated[Principal, Depends(authorise("control"))]
Id = Annotated[str, Path(max_length=32, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post("/v1/calibrations", status_code=201)
async def create_calibration(
    body: CalibrationRequest, principal: Controller, parts: Parts, request: Request
) -> CalibrationAnswer:
    """Fit the analyzer's weights to the feedback on a service's answers; 409 says what is lacking where that cannot be."""
    caller = caller_of(principal, request)
    found = await calibrate(
        parts.store,
        parts.control,
        principal.project,
        body.service,
        parts.clock(),
        caller.actor,
        source=caller.source,
        bounds=parts.settings.query,
    )
    if isinstance(found, NotEnough):
        raise Problem(409, "There is nothing to calibrate with", found.detail, type=found.reason)
    return _answer(found)


@router.get("/v1/calibrations")
async def read_calibrations(
    reader: Reader, parts: Parts, service: Annotated[Service | None, Query()] = None, limit: Limit = 100
) -> CalibrationList:
    """The calibrations of the project, newest first."""
    found = await parts.control.read(
        lambda connection: list_calibrations(connection, reader.project, service=service, limit=limit)
    )
    return CalibrationList(calibrations=[_answer(each) for each in found])


@router.delete("/v1/calibrations/{calibration_id}", status_code=204)
async def delete_calibration(calibration_id: Id, principal: Controller, parts: Parts, request: Request) -> Response:
    """Withdraw a calibration: from the next batch on the one before it holds again, or the default where there is none."""
    caller = caller_of(principal, request)
    made = await withdraw(parts.control, principal.project, calibration_id, parts.clock(), caller.actor, source=caller.source)
    if made is None:
        detail = f"There is no calibration {calibration_id} to withdraw: GET /v1/calibrations lists them."
        raise Problem(404, "Unknown calibration", detail, type="unknown-calibration")
    return Response(status_code=204)


def _answer(made: Calibration) -> CalibrationAnswer:
    return CalibrationAnswer(
        id=made.id,
        analyzer=made.analyzer,
        service=made.service,
        labels=made.n,
        threshold=made.parameters["threshold"],
        scorer=made.parameters["base"],
        quality=dict(made.quality),
        created_at=made.created_at,
        created_by=made.created_by,
        withdrawn_at=made.withdrawn_at,
    )
