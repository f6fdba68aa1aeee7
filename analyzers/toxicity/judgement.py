"""From the windows of a text to one verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analyzers.embedding.windows import Window

SCREEN_LABEL = "toxicity"
_DEGREES = ("toxicity", "severe_toxicity")


@dataclass(frozen=True)
class WindowScore:
    """What one window was given: by the screen, and where that doubted, each class's probability by the big model."""

    window: Window
    screen: float
    classes: Mapping[str, float] = field(default_factory=dict)

    @property
    def probability(self) -> float:
        """Of toxicity: the big model's where it was asked."""
        return self.classes.get("toxicity", self.screen) if self.classes else self.screen


@dataclass(frozen=True)
class Judgement:
    """Of one text. `value` None: abstained, for `reason`."""

    value: float | None
    flagged: bool | None
    label: str = ""
    reason: str = ""
    explanation: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()


def is_doubtful(probability: float, doubt: tuple[float, float]) -> bool:
    """Whether the big model should be asked; a probability that is no number settles nothing."""
    return not math.isfinite(probability) or doubt[0] <= probability <= doubt[1]


def abstention(reason: str, explanation: str = "") -> Judgement:
    """No value, and why."""
    return Judgement(value=None, flagged=None, reason=reason, explanation=explanation)


def judge(scores: Sequence[WindowScore], text_chars: int, threshold: float) -> Judgement:
    """The worst window speaks for the text. A window without a number leaves it without a value, unless another is toxic."""
    known = [score for score in scores if math.isfinite(score.probability)]
    worst = max(known, key=lambda score: score.probability, default=None)
    if worst is None or (len(known) < len(scores) and worst.probability < threshold):
        return abstention("not-a-number", "the model gave no number for a part of the text")
    value = worst.probability
    return Judgement(
        value=value,
        flagged=value >= threshold,
        label=_label(worst, threshold) if value >= threshold else "",
        explanation=_coverage(scores, text_chars),
        evidence=(_evidence(worst),),
    )


def _label(worst: WindowScore, threshold: float) -> str:
    """The worst specific class that reaches the threshold, else toxicity at large."""
    specific = {name: value for name, value in worst.classes.items() if name not in _DEGREES and value >= threshold}
    return max(specific, key=specific.__getitem__, default=SCREEN_LABEL)


def _evidence(worst: WindowScore) -> Mapping[str, Any]:
    found = {"start": worst.window.start, "end": worst.window.end, "by": "detoxify" if worst.classes else "screen"}
    rounded = {name: _rounded(value) for name, value in worst.classes.items()}
    return {**found, "screen": _rounded(worst.screen), **({"classes": rounded} if rounded else {})}


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _coverage(scores: Sequence[WindowScore], text_chars: int) -> str:
    seen = sum(score.window.chars for score in scores)
    return "" if seen >= text_chars else f"looked at {seen} of {text_chars} characters, in windows spread over the text"
