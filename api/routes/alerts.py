"""Alerts with their history and evidence, silences, deliveries and channels."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Connection

from alerting.outbox import NotResendableError, resend
from api.auth import authorise
from api.conditions import caller_of
from api.problem import Problem
from api.services import Services, services
from schemas.api.alerts import (
    AlertAnswer,
    AlertDetail,
    AlertList,
    AlertState,
    AlertTransition,
    ChannelAnswer,
    ChannelList,
    DeliveryAnswer,
    DeliveryList,
    DeliveryState,
    ResendAnswer,
    SilenceAnswer,
    SilenceList,
    SilenceRequest,
    StandingAnswer,
)
from schemas.patterns import ALERT_ID, SILENCE_ID
from storage.alerts import AlertRow, find_alert, list_alerts, read_state, read_transitions
from storage.audit import record
from storage.deliveries import ChannelRow, Delivery, change_channel, find_delivery, list_channels, list_deliveries
from storage.keys import Principal
from storage.silences import Silence, end_silence, insert_silence, list_silences, new_silence

router = APIRouter(tags=["alerts"])

Reader = Annotated[Principal, Depends(authorise("read"))]
Controller = Annotated[Principal, Depends(authorise("control"))]
Admin = Annotated[Principal, Depends(authorise("admin"))]
Parts = Annotated[Services, Depends(services)]
Limit = Annotated[int, Query(ge=1, le=1000)]
AlertId = Annotated[str, Path(pattern=ALERT_ID)]
SilenceId = Annotated[str, Path(pattern=SILENCE_ID)]
DeliveryId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Text = Annotated[str | None, Query(max_length=128)]


@router.get("/v1/alerts")
async def list_latest(
    principal: Reader,
    parts: Parts,
    state: AlertState | None = None,
    target: Text = None,
    rule: Text = None,
    before: Annotated[str | None, Query(pattern=ALERT_ID, description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> AlertList:
    """The latest alerts, newest first."""

    def work(connection: Connection) -> list[AlertRow]:
        last = _require_alert(connection, principal, before) if before is not None else None
        position = None if last is None else (last.fired_at, last.id)
        return list_alerts(connection, principal.project, state=state, target=target, rule=rule, before=position, limit=limit)

    found = await parts.control.read(work)
    return AlertList(alerts=[_alert(row) for row in found], next=found[-1].id if len(found) == limit else None)


@router.get("/v1/alerts/{alert_id}")
async def read_alert(alert_id: AlertId, principal: Reader, parts: Parts) -> AlertDetail:
    """An alert with where it stands, every transition, and what was told of it."""

    def work(connection: Connection) -> AlertDetail:
        row = _require_alert(connection, principal, alert_id)
        standing = read_state(connection, row.place)
        transitions = read_transitions(connection, row.place)
        told = list_deliveries(connection, principal.project, fingerprint=row.fingerprint)
        return AlertDetail(
            **_alert(row).model_dump(),
            standing=None if standing is None else _standing(standing),
            transitions=[
                AlertTransition(**{name: item[name] for name in AlertTransition.model_fields}) for item in transitions
            ],
            deliveries=[_delivery(delivery) for delivery in told],
        )

    return await parts.control.read(work)


@router.get("/v1/silences")
async def list_current_silences(principal: Reader, parts: Parts) -> SilenceList:
    """The silences that are not over."""
    now = parts.clock()
    found = await parts.control.read(lambda connection: list_silences(connection, principal.project, after=now))
    return SilenceList(silences=[_silence(silence, parts) for silence in found])


@router.post("/v1/silences", status_code=201)
async def create_silence(body: SilenceRequest, principal: Controller, parts: Parts, request: Request) -> SilenceAnswer:
    """Hold back alerts whose labels match, until a time. What is over by then is never told."""
    now, caller = parts.clock(), caller_of(principal, request)
    if body.until <= now:
        raise Problem(422, "The silence is over", "`until` lies in the past: give a later time.", type="invalid-request")
    silence = new_silence(principal.project, body.matchers, now, body.until, body.comment, caller.actor, now)

    def work(connection: Connection) -> None:
        insert_silence(connection, silence)
        after = {"matchers": dict(silence.matchers), "ends_at": silence.ends_at.isoformat()}
        _audit(connection, principal, request, parts, "silence.create", f"silence:{silence.id}", after)

    await parts.control.write(work)
    return _silence(silence, parts)


@router.delete("/v1/silences/{silence_id}", status_code=204)
async def delete_silence(silence_id: SilenceId, principal: Controller, parts: Parts, request: Request) -> None:
    """End a silence now."""
    now = parts.clock()

    def work(connection: Connection) -> None:
        if end_silence(connection, principal.project, silence_id, now) is None:
            detail = f"There is no silence {silence_id!r}: GET /v1/silences lists those that are not over."
            raise Problem(404, "No such silence", detail, type="unknown-silence")
        _audit(connection, principal, request, parts, "silence.end", f"silence:{silence_id}", None)

    await parts.control.write(work)


@router.get("/v1/deliveries")
async def list_latest_deliveries(
    principal: Reader,
    parts: Parts,
    state: Annotated[DeliveryState | None, Query(description="`dead` lists what could not be delivered.")] = None,
    channel: Text = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> DeliveryList:
    """What was told, is on its way, or could not be told; newest first."""
    found = await parts.control.read(
        lambda connection: list_deliveries(
            connection, principal.project, state=state, channel=channel, before=before, limit=limit
        )
    )
    return DeliveryList(deliveries=[_delivery(row) for row in found], next=found[-1].id if len(found) == limit else None)


@router.post("/v1/deliveries/{delivery_id}:resend")
async def resend_delivery(delivery_id: DeliveryId, principal: Controller, parts: Parts, request: Request) -> ResendAnswer:
    """Send a dead or withheld delivery again, and what was withheld because of it."""
    now = parts.clock()

    def work(connection: Connection) -> list[Delivery]:
        row = _require_delivery(connection, principal, delivery_id)
        try:
            changed = resend(connection, row, now)
        except NotResendableError as error:
            raise Problem(409, "It cannot be sent again", f"{error}.", type="not-resendable") from error
        _audit(connection, principal, request, parts, "delivery.resend", f"delivery:{delivery_id}", None)
        return [_require_delivery(connection, principal, one.id) for one in changed]

    return ResendAnswer(deliveries=[_delivery(row) for row in await parts.control.write(work)])


@router.get("/v1/channels")
async def list_all_channels(principal: Reader, parts: Parts) -> ChannelList:
    """The channels, and which of them are disabled."""
    found = await parts.control.read(list_channels)
    return ChannelList(channels=[_channel(row) for row in found])


@router.post("/v1/channels/{name}:enable")
async def enable_channel(
    name: Annotated[str, Path(max_length=128)], principal: Admin, parts: Parts, request: Request
) -> ChannelAnswer:
    """Enable a channel whose endpoint had said that it is gone."""

    def work(connection: Connection) -> ChannelRow:
        values = {"disabled_at": None, "disabled_reason": None, "not_before": None}
        if not change_channel(connection, name, values):
            raise Problem(
                404, "No such channel", f"There is no channel {name!r}: GET /v1/channels lists them.", type="unknown-channel"
            )
        _audit(connection, principal, request, parts, "channel.enable", f"channel:{name}", None)
        return next(row for row in list_channels(connection) if row.name == name)

    return _channel(await parts.control.write(work))


def _alert(row: AlertRow) -> AlertAnswer:
    shown = {name: getattr(row, name) for name in AlertAnswer.model_fields if name != "rule"}
    return AlertAnswer(rule=row.rule_name, **shown)


def _standing(row: dict[str, Any]) -> StandingAnswer:
    names = ("health", "since", "evaluated_at", "flapping", "value", "reason")
    return StandingAnswer(state=row["phase"], **{name: row[name] for name in names})


def _delivery(row: Delivery) -> DeliveryAnswer:
    names = (
        "id",
        "rule_id",
        "fingerprint",
        "transition",
        "channel",
        "state",
        "attempts",
        "message_id",
        "created_at",
        "finished_at",
    )
    return DeliveryAnswer(
        **{name: getattr(row, name) for name in names},
        reason=row.state_reason,
        title=row.notice["title"],
        next_attempt_at=row.not_before if row.state == "pending" else None,
    )


def _channel(row: ChannelRow) -> ChannelAnswer:
    return ChannelAnswer(**{name: getattr(row, name) for name in ChannelAnswer.model_fields})


def _silence(silence: Silence, parts: Services) -> SilenceAnswer:
    names = ("id", "matchers", "starts_at", "ends_at", "comment", "created_by")
    active = silence.starts_at <= parts.clock() < silence.ends_at
    return SilenceAnswer(**{name: getattr(silence, name) for name in names}, active=active)


def _require_alert(connection: Connection, principal: Principal, alert_id: str) -> AlertRow:
    found = find_alert(connection, principal.project, alert_id)
    if found is None:
        raise Problem(404, "No such alert", f"There is no alert {alert_id!r}: GET /v1/alerts lists them.", type="unknown-alert")
    return found


def _require_delivery(connection: Connection, principal: Principal, delivery_id: int) -> Delivery:
    found = find_delivery(connection, principal.project, delivery_id)
    if found is None:
        detail = f"There is no delivery {delivery_id}: GET /v1/deliveries lists them."
        raise Problem(404, "No such delivery", detail, type="unknown-delivery")
    return found


def _audit(
    connection: Connection,
    principal: Principal,
    request: Request,
    parts: Services,
    action: str,
    subject: str,
    after: dict[str, Any] | None,
) -> None:
    caller = caller_of(principal, request)
    record(
        connection,
        project=principal.project,
        actor=caller.actor,
        action=action,
        subject=subject,
        before=None,
        after=after,
        source=caller.source,
        now=parts.clock(),
    )
