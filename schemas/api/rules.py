"""Rules, what one would do now, and what one would have done."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, model_validator

from schemas.api.base import Answer, Body, Time
from schemas.duration import Duration
from schemas.evidence import Evidence
from schemas.instant import Instant
from schemas.patterns import RULE_NAME
from schemas.rules import RegressionRule, ThresholdRule, parse_rule


def _rule(given: Any) -> Any:
    return given if isinstance(given, ThresholdRule | RegressionRule) else parse_rule(given)


# Read like one of the file, so that mistakes are told in the same words.
RuleBody = Annotated[ThresholdRule | RegressionRule, Discriminator("kind"), BeforeValidator(_rule)]
RuleName = Annotated[str, Field(pattern=RULE_NAME)]
Signal = Literal["breach", "between", "clear", "unsure", "missing", "failed"]


class RuleAnswer(Answer):
    """A rule. One of origin `file` is changed in its file only."""

    id: str
    origin: Literal["file", "api"]
    revision: str
    updated_at: Time
    updated_by: str
    rule: RuleBody


class RuleList(Answer):
    """The rules that hold in the project, by name."""

    rules: list[RuleAnswer]


class RuleChoice(Body):
    """A rule that exists, by name, or one that need not exist yet."""

    name: RuleName | None = None
    rule: RuleBody | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.name is None) == (self.rule is None):
            raise ValueError("give either name, of a rule that exists, or rule")
        return self


class RuleTestRequest(RuleChoice):
    """Which rule to evaluate."""


class Finding(Answer):
    """What one evaluation says of one series or release, and what the rule would do about it."""

    labels: dict[str, str]
    signal: Signal
    reason: str
    value: float | None
    state: Literal["ok", "pending", "firing", "recovering"]
    would: str = Field(description="The transition that this evaluation causes, or `nothing`.")
    rollback: bool = Field(description="Whether it would ask for a rollback.")
    evidence: list[Evidence]


class RuleTestAnswer(Answer):
    """One evaluation, of which nothing is stored."""

    at: Time | None = Field(description="The watermark it was made at; null: unknown, so nothing was evaluated.")
    reason: str
    findings: list[Finding]


class BacktestRequest(RuleChoice):
    """Which rule to replay, and over which time."""

    start: Instant = Field(alias="from", description="RFC 3339 or epoch milliseconds.")
    end: Instant | None = Field(None, alias="to", description="RFC 3339 or epoch milliseconds; unset: the watermark.")


class FiringAnswer(Answer):
    """One alert that would have been; resolved_at null: it would fire still."""

    labels: dict[str, str]
    fired_at: Time
    resolved_at: Time | None
    reason: str


class BacktestAnswer(Answer):
    """What a replay found."""

    start: Time
    end: Time
    step: Duration = Field(description="Time between evaluations; longer than the rule's own where the range is long.")
    evaluations: int
    observations: int
    fired: int
    firings: list[FiringAnswer]
