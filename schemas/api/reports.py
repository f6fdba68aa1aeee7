"""Requests and answers of /v1/reports."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from schemas.analysis import Weekday, known_zone
from schemas.api.base import Answer, Body, Time
from schemas.instant import Instant


class ReportRequest(Body):
    """The range of a report. What it is compared with lies whole weeks earlier."""

    start: Instant | None = Field(None, alias="from", description="RFC 3339 or epoch milliseconds; unset: a week before `to`.")
    end: Instant | None = Field(None, alias="to", description="RFC 3339 or epoch milliseconds, excluded; unset: now.")


class ReportLinks(Answer):
    """Paths of the forms of a report."""

    html: str
    json_: str = Field(serialization_alias="json")
    markdown: str


class ReportAnswer(Answer):
    """One finished report."""

    id: str
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    created_at: Time
    created_by: str = Field(description="`schedule`, or who asked for it.")
    headline: str
    alarming: bool = Field(description="Whether something in it needs a decision.")
    links: ReportLinks


class ReportList(Answer):
    """Finished reports, newest first."""

    reports: list[ReportAnswer]
    next: str | None = Field(description="`before` of the next page; null: this is the last.")


class ScheduleRequest(Body):
    """The project's own schedule; what is left out or null follows the settings."""

    enabled: bool | None = None
    weekday: Weekday | None = None
    hour: Annotated[int, Field(ge=0, le=23)] | None = None
    time_zone: str | None = Field(None, description="As in the tz database, such as Europe/Berlin.")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        return value if value is None else known_zone(value)


class ScheduleAnswer(Answer):
    """When the project's report is made: the week before, at `hour` o'clock of `weekday`."""

    enabled: bool
    weekday: str
    hour: int
    time_zone: str
    due_at: Time | None = Field(description="When the next one is due; null: none is.")
    channels: list[str] = Field(description="Channels that are told, from the settings.")
