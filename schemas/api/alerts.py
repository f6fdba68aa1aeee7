"""Alerts, silences, deliveries and channels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.api.base import Answer, Body, Time
from schemas.evidence import Evidence
from schemas.instant import Instant

AlertState = Literal["firing", "resolved"]
DeliveryState = Literal["pending", "sending", "delivered", "withheld", "dead"]
Label = Annotated[str, Field(max_length=256)]


class AlertAnswer(Answer):
    """One episode of an alert, from firing to resolved."""

    id: str
    rule: str
    kind: Literal["threshold", "regression", "no_data", "error"]
    severity: str
    state: AlertState
    target: str
    labels: dict[str, str]
    reason: str
    revision: str
    fingerprint: str
    fired_at: Time
    resolved_at: Time | None
    rollback: Literal["", "wanted", "deferred", "proposed", "refused"] = Field(
        description="How far the rollback got that it asks for; empty: it asks for none."
    )
    rollback_id: str | None
    rollback_detail: str | None
    evidence: list[Evidence]


class AlertList(Answer):
    """The latest alerts, newest first; `next` goes on."""

    alerts: list[AlertAnswer]
    next: str | None


class AlertTransition(Answer):
    """One step of the state machine."""

    transition: str
    from_state: str
    to_state: str
    episode: int
    at: Time
    reason: str
    evidence: list[Evidence]
    revision: str


class StandingAnswer(Answer):
    """Where the alert stands now. `health` other than ok: the state is held until there is data again."""

    state: Literal["ok", "pending", "firing", "recovering"]
    health: Literal["ok", "no_data", "error"]
    since: Time
    evaluated_at: Time
    flapping: bool
    value: float | None
    reason: str


class DeliveryAnswer(Answer):
    """One notice for one channel. withheld: not sent on purpose; dead: could not be sent; `reason` says why."""

    id: int
    rule_id: str
    fingerprint: str
    transition: str
    channel: str
    state: DeliveryState
    reason: str
    attempts: int
    next_attempt_at: Time | None
    message_id: str | None
    title: str
    created_at: Time
    finished_at: Time | None


class AlertDetail(AlertAnswer):
    """An alert with its history and what was told of it."""

    standing: StandingAnswer | None
    transitions: list[AlertTransition]
    deliveries: list[DeliveryAnswer]


class DeliveryList(Answer):
    """The latest deliveries, newest first; `next` goes on."""

    deliveries: list[DeliveryAnswer]
    next: int | None


class ResendAnswer(Answer):
    """The deliveries that are on their way again."""

    deliveries: list[DeliveryAnswer]


class ChannelAnswer(Answer):
    """A channel. A disabled one answered 410; enable it, or give it another address."""

    name: str
    type: str
    configured: bool
    disabled_at: Time | None
    disabled_reason: str | None


class ChannelList(Answer):
    """The channels by name."""

    channels: list[ChannelAnswer]


class SilenceRequest(Body):
    """Alerts whose labels equal every matcher are not told until then; those over by then, never."""

    matchers: Annotated[dict[Label, Label], Field(min_length=1, max_length=20)]
    until: Instant
    comment: Annotated[str, Field(max_length=1000)] = ""


class SilenceAnswer(Answer):
    """A silence."""

    id: str
    matchers: dict[str, str]
    starts_at: Time
    ends_at: Time
    comment: str
    created_by: str
    active: bool


class SilenceList(Answer):
    """The silences that are not over, the last to end first."""

    silences: list[SilenceAnswer]
