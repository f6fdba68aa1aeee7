"""Answers of /v1/metrics and /v1/compare."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.api.base import Answer, Time


class MetricEntry(Answer):
    """One metric of the catalogue."""

    name: str
    unit: str
    description: str
    kind: Literal["count", "rate", "quantile", "sum", "mean", "latest"]
    scope: Literal["span", "usage", "request", "score", "look"] = Field(
        description="What one observation is: a span, a model response (however many spans repeat its usage), a request, a "
        "judgement of a span, or a look at the drift of a stream."
    )
    worse: Literal["up", "down", "none"] = Field(description="In which direction it gets worse.")
    comparable: bool = Field(description="Whether GET /v1/compare takes it.")
    dimensions: list[str] = Field(description="What it can be grouped and filtered by.")


class MetricCatalogue(Answer):
    """All metrics."""

    metrics: list[MetricEntry]


class SeriesAnswer(Answer):
    """The points of one combination of dimensions."""

    labels: dict[str, str] = Field(description="An empty value: not given.")
    points: list[tuple[int, float | None]] = Field(
        description="[start of the step in epoch milliseconds, value]; null: nothing to tell a value from."
    )


class MetricAnswer(Answer):
    """A metric over time."""

    metric: str
    unit: str
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    step: str | None
    series: list[SeriesAnswer]


class Counts(Answer):
    """Requests of each release."""

    baseline: int
    candidate: int


class Window(Answer):
    """A stretch of time, `to` excluded."""

    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")


class Windows(Answer):
    """Which requests of each release were compared."""

    baseline: Window
    candidate: Window


class ComparisonAnswer(Answer):
    """One release against another. Effects are relative changes (0.1 = 10 %), for rates differences of shares, for mean
    scores differences in their unit."""

    metric: str
    unit: str
    target: str
    baseline: str
    candidate: str
    effect: float | None
    interval: tuple[float | None, float | None] | None = Field(
        description="Where the true effect lies with `confidence`, however often one looks; null: too little data."
    )
    confidence: float
    n: Counts
    missing: Counts = Field(description="Requests without a value of the metric.")
    verdict: Literal["worse", "better", "same", "not_yet"]
    reason: str
    allowed: float = Field(description="The change that still counts as the same.")
    minimum_detectable_effect: float | None
    concurrent: bool = Field(
        description="Both served side by side. If not, `allowed` includes how much the baseline itself varied over time."
    )
    windows: Windows
    example_traces: list[str] = Field(description="The candidate's worst requests.")
    scorer: str | None = Field(None, description="Whose scores were compared, as `name@version`; null: not a metric of scores.")
