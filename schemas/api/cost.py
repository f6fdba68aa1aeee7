"""Parameters, bodies and answers of /v1/cost."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.api.base import Answer, Body, Time
from schemas.api.metrics import Window
from schemas.api.queries import GroupBy, UsageParameters
from schemas.duration import Duration
from schemas.instant import Instant
from schemas.metrics import DIMENSIONS_BY_SCOPE

COST_DIMENSIONS = DIMENSIONS_BY_SCOPE["usage"]

Part = Literal["volume", "mix", "tokens", "cache", "price"]


class CostParameters(UsageParameters):
    """Range, grouping and filters of the distribution."""

    step: Duration | None = Field(None, description="Of the trend's points; unset: an hour, from four days on a day.")
    group_by: GroupBy = Field((), description="Dimensions, separated by commas.")
    limit: Annotated[int, Field(ge=1, le=1000)] = Field(50, description="Groups at most, the dearest first.")


class ChangeParameters(UsageParameters):
    """The two ranges to compare, and for which groups apart."""

    baseline_start: Instant | None = Field(
        None, alias="baseline_from", description="Unset: as long before `baseline_to` as `from` lies before `to`."
    )
    baseline_end: Instant | None = Field(None, alias="baseline_to", description="Unset: `from`.")
    group_by: GroupBy = Field((), description="Dimensions, separated by commas.")
    limit: Annotated[int, Field(ge=1, le=1000)] = Field(50, description="Groups and models at most, the largest changes first.")


class WasteParameters(UsageParameters):
    """Range and filters of the search for waste."""

    limit: Annotated[int, Field(ge=1, le=200)] = Field(20, description="Prompts of each kind at most, the dearest first.")


class BudgetKey(BaseModel):
    """What a budget is for: the whole project, or what has `value` in `dimension`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: Annotated[str, Field(max_length=32)] = Field("", json_schema_extra={"enum": ["", *COST_DIMENSIONS]})
    value: Annotated[str, Field(max_length=256)] = ""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.dimension and self.dimension not in COST_DIMENSIONS:
            raise ValueError(f"cost has no dimension {self.dimension!r}: use {', '.join(COST_DIMENSIONS)}, or none for all")
        if self.value and not self.dimension:
            raise ValueError("`value` needs a `dimension`: name both, or neither for a budget of the whole project")
        return self


class BudgetRequest(BudgetKey, Body):
    """A monthly budget in US dollars."""

    usd_per_month: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class SpreadAnswer(Answer):
    """How cost lies over requests or users, in US dollars. Quantiles are exact, with linear interpolation."""

    n: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class TokensAnswer(Answer):
    """Tokens by how they are billed; the four do not overlap."""

    input_uncached: int
    cache_read: int
    cache_write: int
    output: int


class CostGroupAnswer(Answer):
    """What a group cost."""

    labels: dict[str, str] = Field(description="An empty value: not given.")
    cost_usd: float | None = Field(description="Of the responses with a price; null: none has one.")
    share: float | None = Field(description="Of the cost of the whole.")
    responses: int = Field(description="Model responses, each once.")
    unpriced: int = Field(description="Responses with usage but without a price: they are in no sum.")
    requests: int = Field(description="Traces with such responses.")
    tokens: TokensAnswer
    per_request: SpreadAnswer | None = Field(description="Over requests whose every response has a price.")
    per_user: SpreadAnswer | None = Field(description="Over users that are named and have a priced response.")


class TrendAnswer(Answer):
    """Cost over time, and whether it rises or falls over the whole days (UTC) of the range: the Theil-Sen slope."""

    step: str
    points: list[tuple[int, float | None]] = Field(
        description="[start of the step in epoch milliseconds, US dollars]; null: nothing with a price."
    )
    direction: Literal["up", "down", "none", "not_yet"]
    usd_per_day: float | None = Field(description="Change of a day's cost from day to day.")
    interval: tuple[float, float] | None = Field(description="Of `usd_per_day`, 95 %.")
    days: int
    reason: str


class CostAnswer(Answer):
    """Cost of a range: the whole, its groups, its course."""

    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    whole: CostGroupAnswer
    groups: list[CostGroupAnswer]
    trend: TrendAnswer


class ChangeOf(Answer):
    """A change in US dollars and its parts, which add up to it."""

    before_usd: float
    after_usd: float
    delta_usd: float
    parts: dict[Part, float]


class ModelChange(ChangeOf):
    """The part of one model."""

    provider: str
    model: str


class GroupChange(ChangeOf):
    """The change of one group by itself."""

    labels: dict[str, str]


class ChangeAnswer(Answer):
    """Why cost changed from the baseline to the range."""

    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    baseline: Window
    whole: ChangeOf
    models: list[ModelChange] = Field(description="Their parts add up to those of the whole.")
    groups: list[GroupChange]
    unpriced: dict[Literal["before", "after"], int] = Field(description="Responses without a price, which are left out.")
    note: str


class WasteEntry(Answer):
    """A prompt, or a beginning that prompts share."""

    provider: str
    model: str
    preview: str
    responses: int
    wasted_usd: float
    trace_id: str = Field(description="A request with it.")


class WasteKind(Answer):
    """One kind of waste; `wasted_usd` is over all prompts, not only the worst."""

    wasted_usd: float
    prompts: int
    responses: int
    how: str = Field(description="What is counted, and how cautiously.")
    worst: list[WasteEntry]


class WasteAnswer(Answer):
    """What could have been saved. The two kinds overlap: a repeated prompt can also miss the cache."""

    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    cost_usd: float | None
    repeated_prompts: WasteKind
    cache_misses: WasteKind


class AnomalyAnswer(Answer):
    """An hour that stands out."""

    start: Time
    cost_usd: float
    expected_usd: float
    z: float


class StepAnswer(Answer):
    """A level that changed; `ratio` 1.5: half as much again."""

    onset: Time
    detected: Time
    ratio: float


class AnomaliesAnswer(Answer):
    """Hours and steps that stand out against the history before the range."""

    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    basis: Literal["hour-of-week", "hour-of-day", "none"]
    history_hours: int
    anomalies: list[AnomalyAnswer]
    steps: list[StepAnswer]
    reason: str


class MonthEndAnswer(Answer):
    """What the month will have cost, with its 90 % interval."""

    expected_usd: float
    low_usd: float
    high_usd: float


class BudgetAnswer(Answer):
    """A budget and how it stands in the current month (UTC)."""

    dimension: str
    value: str
    usd_per_month: float
    updated_by: str
    updated_at: Time
    month: Window
    spent_usd: float
    unpriced: int = Field(description="Responses of the month without a price: what they cost is not in `spent_usd`.")
    month_end: MonthEndAnswer | None = Field(description="null: too little data, as `reason` says.")
    basis: Literal["hour-of-week", "hour-of-day", "none"]
    verdict: Literal["exceeded", "will_exceed", "may_exceed", "within", "not_yet"]
    reason: str


class BudgetList(Answer):
    """The budgets of the project."""

    budgets: list[BudgetAnswer]
