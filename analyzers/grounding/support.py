"""From features to support: how likely it is that the context says what a sentence says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analyzers.grounding.features import SIGNALS, Measured

FEATURES_VERSION = "2"
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
_OF_ITSELF = frozenset({"missing_numbers", "missing_names", "negation"})


@dataclass(frozen=True)
class Weights:
    """A logistic model over `SIGNALS`: support = 1 / (1 + exp(-(intercept + weights · signals))).

    `of_answers`: fitted from verdicts on whole answers by their weakest sentence, so that their length is learned already.
    """

    intercept: float
    weights: tuple[float, ...]
    of_answers: bool = False

    def support(self, signals: Sequence[float]) -> float:
        """Support in [0, 1]."""
        total = self.intercept + sum(weight * signal for weight, signal in zip(self.weights, signals, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, total))))


DEFAULT = Weights(INTERCEPT, tuple(WEIGHTS[name] for name in SIGNALS))


@dataclass(frozen=True)
class Judged:
    """A sentence with its support, and with what is held against the threshold: see `allowed`."""

    measured: Measured
    support: float
    allowed: float


def judged(measured: Sequence[Measured], weights: Weights) -> list[Judged]:
    """Each sentence of an answer with its support, in order."""
    return [_judged(each, weights, len(measured)) for each in measured]


def _judged(each: Measured, weights: Weights, sentences: int) -> Judged:
    signals = list(each.signals().values())
    support = weights.support(signals)
    return Judged(each, support, support if weights.of_answers else allowed(support, signals, sentences))


def allowed(support: float, signals: Sequence[float], sentences: int) -> float:
    """Support after allowing for the number of sentences that the answer has.

    Wording that the context lacks is weak evidence, and a long answer has a chance of it in every sentence. With the same
    odds that an answer is supported however long it is, one of its n sentences has the odds of the n-th root (Šidák): at even
    odds 1 / (2^(1/n) - 1), by which its own odds of support are multiplied. A number, a name or a negation that the context
    does not have is evidence of its own kind, which a supported sentence rarely gives, and is not allowed for.
    """
    if any(signal for name, signal in zip(SIGNALS, signals, strict=True) if name in _OF_ITSELF):
        return support
    odds_against = (1.0 - support) * (math.pow(2.0, 1.0 / sentences) - 1.0)
    return support / (support + odds_against)


def reasons(each: Judged) -> list[str]:
    """Why a sentence has little support, for people."""
    found = [f"{number.text} is not in the context" for number in each.measured.missing_numbers]
    found += [f"{name.text} is not in the context" for name in each.measured.missing_names]
    if each.measured.features.negation:
        found.append("the context says the opposite")
    covered = round(100 * each.measured.features.words)
    return found or [f"the context has {covered} % of its words"]
