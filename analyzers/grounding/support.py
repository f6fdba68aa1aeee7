"""From features to support: how likely it is that the context says what a sentence says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analyzers.grounding.features import SIGNALS, Measured

FEATURES_VERSION = "1"
"""Changes with every change of the features or of the default weights, so that scores are never compared across it."""

# Fixed by reasoning, not fitted, because fitted weights do not carry over from one corpus to another (docs/grounding.md).
# They meet these cases: a sentence that is copied has support near 1; one with half of its words in one place of the
# context and little of its wording is at .5; one number that the context lacks, or a negation that it does not have,
# makes even a copied sentence unsupported; a name that it lacks counts as a third of its words.
INTERCEPT = -3.5
WEIGHTS = {
    "words": 5.0,
    "window_words": 2.0,
    "bigrams": 1.5,
    "trigrams": 0.5,
    "window_bigrams": 0.5,
    "run": 1.0,
    "missing_numbers": -12.0,
    "missing_names": -4.0,
    "negation": -7.0,
    "similarity": 2.0,
    "cross": 6.0,
}


@dataclass(frozen=True)
class Weights:
    """A logistic model over `SIGNALS`: support = 1 / (1 + exp(-(intercept + weights · signals)))."""

    intercept: float
    weights: tuple[float, ...]

    def support(self, signals: Sequence[float]) -> float:
        """Support in [0, 1]."""
        total = self.intercept + sum(weight * signal for weight, signal in zip(self.weights, signals, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, total))))


DEFAULT = Weights(INTERCEPT, tuple(WEIGHTS[name] for name in SIGNALS))


@dataclass(frozen=True)
class Judged:
    """A sentence with its support."""

    measured: Measured
    support: float


def judged(measured: Sequence[Measured], weights: Weights) -> list[Judged]:
    """Each sentence with its support, in order."""
    return [Judged(each, weights.support(list(each.signals().values()))) for each in measured]


def reasons(each: Judged) -> list[str]:
    """Why a sentence has little support, for people."""
    found = [f"{number.text} is not in the context" for number in each.measured.missing_numbers]
    found += [f"{name.text} is not in the context" for name in each.measured.missing_names]
    if each.measured.features.negation:
        found.append("the context says the opposite")
    covered = round(100 * each.measured.features.words)
    return found or [f"the context has {covered} % of its words"]
