"""Metrics of scores: what analyzers and people said about spans, and what the looks at drift found.

A metric reads the scores of one name, part and source, of one scorer at a time. Analyzers of third parties declare theirs
as `ScoreMetric`s, which the process registers (`schemas.metrics.register_score_metrics`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from schemas.metric import Metric, Scale

Source = Literal["analyzer", "human", "evaluation"]
Part = Literal["prompt", "completion", "query", ""]

EVALUATIONS = "evaluations"
"""What collects the results of evaluations that applications report; how the names of their metrics begin."""

THUMBS = "thumbs"
"""The name of a judgement by thumbs."""


@dataclass(frozen=True, kw_only=True)
class ScoreMetric(Metric):
    """A share of flagged scores (`kind` rate) or a mean of values (`kind` mean) of the name `score` and the part `part`.

    `of` is the analyzer whose scores they are; empty for people. `width` is the width of a bounded scale of values (1 from
    0 to 1): releases are compared by values as they are, and their margins are shares of it. None: values are positive and
    without a bound, and releases are compared by their logarithms.
    """

    score: str
    of: str = ""
    part: Part = ""
    source: Source = "analyzer"
    width: float | None = 1.0

    def __post_init__(self) -> None:
        if self.scope != "score" or self.kind not in ("rate", "mean") or not self.score:
            raise ValueError(f"{self.name}: a metric of scores has the scope score, the kind rate or mean, and a score's name")
        if self.comparable and self.worse == "none":
            raise ValueError(f"{self.name}: releases can only be compared by a metric that gets worse in a direction")
        if self.width is not None and not 0 < self.width < math.inf:
            raise ValueError(f"{self.name}: the width of a scale is positive and finite, not {self.width}")

    @property
    def scale(self) -> Scale:
        """Shares, logarithms, or values as they are."""
        if self.kind == "rate":
            return "rate"
        return "log" if self.width is None else "linear"

    @property
    def analyzer(self) -> str:
        """Whose scores they are."""
        return self.of


def is_bad(metrics: Iterable[Metric], score: str, part: str, value: float) -> bool | None:
    """The verdict that a value of 0 to 1 stands for, of a score that metrics count; None where none does.

    Where a mean of the score exists, its bad side decides: support of 0.2 is bad, toxicity of 0.2 is not.
    """
    own = [metric for metric in metrics if isinstance(metric, ScoreMetric) and (metric.score, metric.part) == (score, part)]
    if not any(metric.kind == "rate" for metric in own):
        return None
    falls = any(metric.kind == "mean" and metric.worse == "down" for metric in own)
    return value < 0.5 if falls else value >= 0.5


def evaluation_metrics(evaluation: str) -> tuple[ScoreMetric, ScoreMetric]:
    """The metrics of what applications report under the name `evaluation`: the mean, and the share of bad verdicts."""
    name = f"{EVALUATIONS}.{evaluation}"
    what: dict[str, Any] = {"scope": "score", "comparable": True, "score": evaluation, "of": EVALUATIONS, "part": "completion"}
    return (
        ScoreMetric(
            name=name,
            unit="score",
            description=f"Mean of the values that applications report as {evaluation}; higher is better.",
            kind="mean",
            worse="down",
            source="evaluation",
            **what,
        ),
        ScoreMetric(
            name=name + _BAD_SHARE,
            unit="ratio",
            description=f"Share of bad verdicts (fail, incorrect, not_relevant) among those reported as {evaluation}.",
            kind="rate",
            worse="up",
            source="evaluation",
            **what,
        ),
    )


def evaluation_metric(name: str) -> ScoreMetric | None:
    """The metric called `name`, if it is one of evaluations: whatever an application reports has its two."""
    if not name.startswith(f"{EVALUATIONS}."):
        return None
    evaluation = name.removeprefix(f"{EVALUATIONS}.").removesuffix(_BAD_SHARE)
    found = evaluation_metrics(evaluation) if evaluation else ()
    return next((metric for metric in found if metric.name == name), None)


_BAD_SHARE = ".bad_share"


@dataclass(frozen=True, kw_only=True)
class LookMetric(Metric):
    """A figure of the latest look at drift; of several streams the largest."""

    column: Literal["effect", "score", "alarm"]

    @property
    def analyzer(self) -> str:
        """Drift looks when it has read up to the end of a unit."""
        return "drift"


def share(
    name: str, description: str, *, score: str, of: str = "", part: Part = "completion", source: Source = "analyzer"
) -> ScoreMetric:
    """The share of scores with a bad verdict."""
    return ScoreMetric(name, "ratio", description, "rate", "score", "up", True, score=score, of=of, part=part, source=source)


def mean(
    name: str,
    unit: str,
    description: str,
    worse: Literal["up", "down", "none"],
    *,
    score: str,
    of: str,
    part: Part = "completion",
    width: float | None = 1.0,
) -> ScoreMetric:
    """The mean of the scores' values."""
    comparable = worse != "none"
    return ScoreMetric(name, unit, description, "mean", "score", worse, comparable, score=score, of=of, part=part, width=width)


def _quality(name: str, what: str, part: Part = "completion") -> ScoreMetric:
    return share(f"quality.{name}_share", f"Share of {what}.", score=name, of="quality", part=part)


def _look(column: Literal["effect", "score", "alarm"], unit: str, description: str) -> LookMetric:
    return LookMetric(f"drift.{column}", unit, description, "latest", "look", "up", column=column)


SCORE_METRICS: tuple[ScoreMetric, ...] = (
    share("toxicity.share", "Share of toxic completions among those scored.", score="toxicity", of="toxicity"),
    share(
        "toxicity.prompt_share",
        "Share of toxic prompts among those scored.",
        score="toxicity",
        of="toxicity",
        part="prompt",
    ),
    mean("toxicity.mean", "probability", "Mean toxicity of completions.", "up", score="toxicity", of="toxicity"),
    share(
        "grounding.unsupported_share",
        "Share of answers with a sentence that their context does not support, among those with a context.",
        score="grounding",
        of="grounding",
    ),
    mean(
        "grounding.score",
        "ratio",
        "Mean support of answers by their context: of each answer, that of its least supported sentence.",
        "down",
        score="grounding",
        of="grounding",
    ),
    _quality("refusal", "completions that refuse"),
    _quality("empty", "completions without text"),
    _quality("truncated", "completions cut off"),
    _quality("repeated", "completions that repeat themselves"),
    _quality("injection", "prompts that look like an injection", "prompt"),
    _quality("language_mismatch", "completions in another language than their prompt"),
    mean(
        "quality.readability",
        "points",
        "Mean Flesch reading ease of English prompts: 100 is easy, 0 hard.",
        "none",
        score="readability",
        of="quality",
        part="prompt",
        width=100.0,
    ),
    mean(
        "quality.tokens_per_second",
        "tokens/s",
        "Mean speed of model responses.",
        "down",
        score="tokens_per_second",
        of="quality",
        part="",
        width=None,
    ),
    share("feedback.negative_share", "Share of thumbs down among people's thumbs.", score=THUMBS, source="human"),
)

LOOK_METRICS: tuple[LookMetric, ...] = (
    _look("effect", "MMD", "Distance of the texts from their reference at the latest look; the largest of the streams."),
    _look("score", "deviations", "Largest standardised distance over the windows at the latest look; of the streams, too."),
    _look("alarm", "alarms", "1 where the latest look at any of the streams calls it drift, else 0."),
)
