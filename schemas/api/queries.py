"""Parameters of the read routes. A parameter that a route does not know is refused, with those it knows."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.api.base import accepted
from schemas.complaint import refuse_unknown
from schemas.duration import Duration
from schemas.instant import Instant
from schemas.metrics import ALL_DIMENSIONS, DIMENSIONS_BY_SCOPE
from schemas.patterns import SPAN_ID, TRACE_ID

TraceId = Annotated[str, Field(pattern=TRACE_ID, description="32 hex digits.")]
SpanId = Annotated[str, Field(pattern=SPAN_ID, description="16 hex digits.")]
Text = Annotated[str, Field(max_length=1000)]


class Parameters(BaseModel):
    """Query parameters of a route."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        refuse_unknown(given, accepted(cls), "parameter")
        return given


class RangeParameters(Parameters):
    """A range of time, `from` included."""

    start: Instant | None = Field(None, alias="from", description="RFC 3339 or epoch milliseconds; unset: a day before `to`.")
    end: Instant | None = Field(None, alias="to", description="RFC 3339 or epoch milliseconds; unset: now.")


class SpanParameters(RangeParameters):
    """What to search for. An empty value finds spans that have none."""

    service: Text | None = None
    model: Text | None = None
    target: Text | None = None
    release: Text | None = None
    status: Literal["unset", "ok", "error"] | None = None
    user: Text | None = None
    text: Text = Field("", description="Found anywhere in the input or output messages, in any case.")
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Text | None = Field(None, description="`next_cursor` of the page before.")

    def filters(self) -> dict[str, str]:
        """The dimensions that are set."""
        return set_of(self, ("service", "model", "target", "release", "status", "user"))


def _names(value: object) -> object:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return value
    return tuple(name.strip() for text in given for name in str(text).split(",") if name.strip())


GroupBy = Annotated[
    tuple[str, ...], BeforeValidator(_names), Field(json_schema_extra={"type": "string", "examples": ["service,model"]})
]


class UsageParameters(RangeParameters):
    """Range and filters of model responses. An empty filter value means: not given."""

    service: Text | None = None
    service_version: Text | None = None
    environment: Text | None = None
    model: Text | None = None
    provider: Text | None = None
    operation: Text | None = None
    target: Text | None = None
    release: Text | None = None
    user: Text | None = None
    conversation: Text | None = None
    prompt: Text | None = None
    prompt_version: Text | None = None
    agent: Text | None = None

    def filters(self) -> dict[str, str]:
        """The dimensions that are set."""
        return set_of(self, DIMENSIONS_BY_SCOPE["usage"])


class MetricParameters(UsageParameters):
    """Range, step, grouping and filters of a series. An empty filter value means: not given."""

    step: Duration | None = Field(None, description="5m, 1h, …; unset: one point over the whole range.")
    group_by: GroupBy = Field((), description="Dimensions, separated by commas.")
    tool: Text | None = None
    status: Text | None = None
    error_type: Text | None = None
    scorer: Text | None = Field(None, description="`name@version`; unset: the one with the newest scores of the range.")
    part: Text | None = None
    scale: Text | None = None

    def filters(self) -> dict[str, str]:
        """The dimensions that are set."""
        return set_of(self, ALL_DIMENSIONS)


class CompareParameters(RangeParameters):
    """Two releases of a target and the metric to compare them by."""

    target: Annotated[str, Field(min_length=1, max_length=1000)]
    baseline: Annotated[str, Field(min_length=1, max_length=1000)]
    candidate: Annotated[str, Field(min_length=1, max_length=1000)]
    metric: Annotated[str, Field(min_length=1, max_length=100)]
    scorer: Text | None = Field(None, description="Of metrics of scores, `name@version`; unset: the newest of each release.")


def set_of(parameters: Parameters, names: tuple[str, ...]) -> dict[str, str]:
    """Those of the parameters `names` that are set."""
    values = {name: getattr(parameters, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


DEFAULT_RANGE = timedelta(days=1)
