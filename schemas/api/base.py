"""What every answer and error of the API shares."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from schemas.complaint import refuse_unknown


def rfc3339(time: datetime) -> str:
    """UTC with milliseconds and a Z, as in 2026-01-31T12:00:00.000Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


class Answer(BaseModel):
    """A body of the API; frozen, and without members it does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Body(BaseModel):
    """What is sent to the API; a member that it does not name is refused with those it does."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        refuse_unknown(given, accepted(cls), "member")
        return given


def accepted(model: type[BaseModel]) -> list[str]:
    """The names that a model is sent."""
    return [field.alias or name for name, field in model.model_fields.items()]


class FieldProblem(BaseModel):
    """One member or parameter that is wrong."""

    pointer: str | None = Field(None, description="JSON pointer into the body, as a fragment: #/weights/0")
    parameter: str | None = Field(None, description="Name of the parameter, where it is not the body.")
    detail: str


class ProblemDetails(BaseModel):
    """An error (RFC 9457, application/problem+json); `detail` names the fix."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] | None = None
