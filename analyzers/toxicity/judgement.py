"""From the windows of a text to one verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from analyzers.embedding.windows import Window

SCREEN_LABEL = "toxicity"
Unread = Literal["script", "language", "not-a-number"]
UNREAD: Mapping[Unread, str] = {
    "script": "only Latin script can be read: set analysis.toxicity.model to multilingual",
    "language": "only English can be read: set analysis.toxicity.model to multilingual",
    "not-a-number": "the model gave no number for a part of the text",
}
"""Why a text has no value, and what that means."""
QUOTES_LEFT_OUT = "judged by its own words: quotes that it declines or reports were left out"
_DEGREES = ("toxicity", "severe_toxicity")


@dataclass(frozen=True)
class WindowScore:
    """What one window was given: by the screen, and where that doubted, each class's probability by the big model.

    `unread` says why nobody could read it; its probability is then no number.
    """

    window: Window
    screen: float
    classes: Mapping[str, float] = field(default_factory=dict)
    unread: Unread = "not-a-number"

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


def judge(scores: Sequence[WindowScore], text_chars: int, threshold: float) -> Judgement:
    """The worst window speaks for the text. A window without a number leaves it without a value, unless another is toxic."""
    known = [score for score in scores if math.isfinite(score.probability)]
    worst = max(known, key=lambda score: score.probability, default=None)
    if worst is None or (len(known) < len(scores) and worst.probability < threshold):
        return _abstention(next(score.unread for score in scores if not math.isfinite(score.probability)))
    value = worst.probability
    return Judgement(
        value=value,
        flagged=value >= threshold,
        label=_label(worst, threshold) if value >= threshold else "",
        explanation=_coverage(known, text_chars),
        evidence=(_evidence(worst),),
    )


def _abstention(unread: Unread) -> Judgement:
    return Judgement(value=None, flagged=None, reason=unread, explanation=UNREAD[unread])


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


def _coverage(known: Sequence[WindowScore], text_chars: int) -> str:
    seen = sum(score.window.chars for score in known)
    return "" if seen >= text_chars else f"looked at {seen} of {text_chars} characters, in windows spread over the text"
