"""Targets, their releases and their desired state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.api.base import Answer, Body, Time
from schemas.patterns import NAME, TEXT

Name = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(max_length=2000, pattern=TEXT)]
Generation = Annotated[int, Field(ge=0, description="Refuse (412) when the target is at another generation by now.")]
Weights = Annotated[dict[str, float], Field(description="Percent of the traffic by release; they add up to 100.")]


class DesiredState(Answer):
    """What gateways should serve. Empty weights: nothing was promoted yet."""

    target: str
    generation: int = Field(description="Grows with every change; the ETag is this number in quotes.")
    weights: Weights
    current: str | None = Field(description="The release promoted last.")
    previous: str | None = Field(description="The release it replaced: where an automatic rollback goes.")
    last_known_good: str | None = Field(
        description="The last release that carried all traffic for an hour and was replaced without having been rolled back."
    )
    changed_at: Time


class TargetAnswer(DesiredState):
    """A target: its desired state, and how it is rolled back."""

    kind: Literal["created", "promotion", "rollback"] = Field(description="How this generation arose.")
    executor: str = Field(description="desired: gateways poll. webhook: a signed POST is sent as well.")
    webhook: str | None = Field(description="Name of one of the settings' rollback.webhooks.")
    mode: Literal["dry_run", "approve", "auto"] | None = Field(
        description="Makes rollbacks that rules ask for stricter than rollback.mode."
    )
    created_at: Time


class TargetList(Answer):
    """Every target of the project, by name."""

    targets: list[TargetAnswer]


class TargetRequest(Body):
    """How a target is to be rolled back."""

    executor: Literal["desired", "webhook"] = "desired"
    webhook: Annotated[str, Field(max_length=128)] | None = None
    mode: Literal["dry_run", "approve", "auto"] | None = None


class ReleaseRequest(Body):
    """A release: its name, and whatever describes it (a prompt, a commit, parameters)."""

    release: Name
    content: Any = Field(default_factory=dict, description="Any JSON; it never changes under this name.")


class ReleaseAnswer(Answer):
    """One immutable version of a target."""

    target: str
    release: str
    content: Any
    content_hash: str = Field(description="SHA-256 of the content as canonical JSON.")
    created_at: Time
    created_by: str
    rolled_back_at: Time | None = Field(description="When a rollback last undid it.")


class ReleaseList(Answer):
    """The latest releases of a target, newest first."""

    releases: list[ReleaseAnswer]


class PromotionRequest(Body):
    """A release and its share of the traffic; the other releases share the rest as they did."""

    release: Name
    weight: Annotated[float, Field(gt=0, le=100, description="Percent.")] = 100.0
    reason: Text = ""
    expected_generation: Generation | None = None
