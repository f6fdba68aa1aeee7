"""Weights and threshold fitted from people's verdicts on answers of one service.

The fit is a logistic model on the signals of an answer's weakest sentence, shrunk towards the default weights: the default's
log-odds, scaled and shifted (Platt 1999), plus a deviation of each weight, all under Gaussian priors (a maximum a posteriori
estimate). With few labels it is the default, with many it follows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzers.grounding.support import DEFAULT, Weights, allowed

MIN_LABELS = 50
MIN_OF_EACH = 10
"""Answers that people called supported, and unsupported, at least."""
FOLDS = 5
SEED = 7
THRESHOLD_PRIOR = 20
"""Answers of the rarer kind that the default threshold counts as much as."""
DEFAULT_THRESHOLD = 0.5

_SCALE_SD, _SHIFT_SD, _DEVIATION_SD = 0.5, 2.0, 2.0
_ROUNDS = 10
_STEPS = 50
_TOLERANCE = 1e-8

Matrix = NDArray[np.float64]


class Labelled(NamedTuple):
    """An answer that people judged: the signals of its weakest sentences, (sentences, signals), and their verdict.

    `sentences`: how many it has in all, where that is more.
    """

    signals: Matrix
    supported: bool
    sentences: int = 0


@dataclass(frozen=True)
class Quality:
    """How well labels are met on answers left out of the fit (`*_before`: by the default). AUROC is of "unsupported"."""

    auroc: float
    auroc_before: float
    balanced_accuracy: float
    balanced_accuracy_before: float
    log_loss: float
    log_loss_before: float
    supported: int
    unsupported: int
    folds: int


@dataclass(frozen=True)
class Fit:
    """What calibration found."""

    weights: Weights
    threshold: float
    quality: Quality


@dataclass(frozen=True)
class NotEnough:
    """Why there is no calibration: too few labels, too few of one kind, or none that betters the default."""

    reason: Literal["too-few-labels", "one-sided", "no-better"]
    labels: int
    detail: str


def fit(rows: Sequence[Labelled]) -> Fit | NotEnough:
    """Calibrate from labelled answers. The same rows in the same order give the same fit."""
    refused = _refusal([row.supported for row in rows])
    if refused is not None:
        return refused
    truth = np.array([row.supported for row in rows])
    before = np.array([_support(row, DEFAULT) for row in rows])
    after = _left_out(rows, truth)
    threshold = shrunk_threshold(after, truth)
    quality = _quality(truth, before, after, said_by_default(rows), after >= threshold)
    if quality.log_loss >= quality.log_loss_before and quality.auroc <= quality.auroc_before:
        detail = "on answers left out of the fit the default weights do as well: keep them, or label more answers"
        return NotEnough("no-better", len(rows), detail)
    return Fit(fit_weights(rows), threshold, quality)


def _refusal(supported: Sequence[bool]) -> NotEnough | None:
    fewer = min(sum(supported), len(supported) - sum(supported))
    if len(supported) < MIN_LABELS:
        detail = f"{len(supported)} answers have a verdict and {MIN_LABELS} are needed: give feedback on more of them"
        return NotEnough("too-few-labels", len(supported), detail)
    if fewer < MIN_OF_EACH:
        kind = "supported" if sum(supported) == fewer else "unsupported"
        detail = f"only {fewer} answers were called {kind} and {MIN_OF_EACH} are needed: give feedback on more such answers"
        return NotEnough("one-sided", len(supported), detail)
    return None


def fit_weights(rows: Sequence[Labelled]) -> Weights:
    """The most probable weights. Which sentence of an answer is the weakest depends on them, so both are found in turn."""
    weights = DEFAULT
    targets = np.array([row.supported for row in rows], dtype=np.float64)
    for _ in range(_ROUNDS):
        weakest = np.array([row.signals[_weakest(row, weights)] for row in rows])
        found = _map_estimate(weakest, targets)
        if np.allclose(found.weights, weights.weights, atol=1e-4):
            break
        weights = found
    return weights


def _map_estimate(signals: Matrix, targets: Matrix) -> Weights:
    """Newton's method on the penalised log-likelihood, which is strictly concave: one maximum."""
    base = signals @ np.array(DEFAULT.weights) + DEFAULT.intercept
    design = np.column_stack([base, np.ones(len(base)), signals])
    prior = np.zeros(design.shape[1])
    prior[0] = 1.0
    precision = 1.0 / np.array([_SCALE_SD, _SHIFT_SD, *[_DEVIATION_SD] * signals.shape[1]]) ** 2
    found = prior.copy()
    for _ in range(_STEPS):
        chance = _sigmoid(design @ found)
        gradient = design.T @ (targets - chance) - precision * (found - prior)
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        found = found + step * min(1.0, 1.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    scale, shift, deviations = found[0], found[1], found[2:]
    combined = scale * np.array(DEFAULT.weights) + deviations
    return Weights(float(scale * DEFAULT.intercept + shift), tuple(map(float, combined)), of_answers=True)


def _left_out(rows: Sequence[Labelled], truth: NDArray[np.bool_]) -> Matrix:
    """Support of each answer by weights fitted without it: stratified folds."""
    fold = np.zeros(len(rows), dtype=int)
    shuffled = np.random.default_rng(SEED)
    for kind in (True, False):
        places = np.flatnonzero(truth == kind)
        fold[shuffled.permutation(places)] = np.arange(len(places)) % FOLDS
    found = np.zeros(len(rows))
    for number in range(FOLDS):
        weights = fit_weights([row for row, its in zip(rows, fold, strict=True) if its != number])
        for place in map(int, np.flatnonzero(fold == number)):
            found[place] = _support(rows[place], weights)
    return found


def said_by_default(rows: Sequence[Labelled]) -> NDArray[np.bool_]:
    """Whether the default calls each answer supported, which allows for its number of sentences."""
    return np.array([_allowed_by_default(row) for row in rows]) >= DEFAULT_THRESHOLD


def _allowed_by_default(row: Labelled) -> float:
    sentences = max(len(row.signals), row.sentences)
    return min(allowed(DEFAULT.support(signals), signals, sentences) for signals in map(list, row.signals))


def shrunk_threshold(support: Matrix, truth: NDArray[np.bool_]) -> float:
    """The threshold of best balanced accuracy (the middle of the best ones), drawn to the default where labels are few."""
    steps = np.linspace(0.05, 0.95, 91)
    reached = np.array([balanced_accuracy(support >= step, truth) for step in steps])
    best = float(steps[reached >= reached.max() - 1e-12].mean())
    fewer = int(min(truth.sum(), (~truth).sum()))
    return (fewer * best + THRESHOLD_PRIOR * DEFAULT_THRESHOLD) / (fewer + THRESHOLD_PRIOR)


def _quality(
    truth: NDArray[np.bool_], before: Matrix, after: Matrix, said_before: NDArray[np.bool_], said: NDArray[np.bool_]
) -> Quality:
    return Quality(
        auroc=auroc(-after, ~truth),
        auroc_before=auroc(-before, ~truth),
        balanced_accuracy=balanced_accuracy(said, truth),
        balanced_accuracy_before=balanced_accuracy(said_before, truth),
        log_loss=_log_loss(after, truth),
        log_loss_before=_log_loss(before, truth),
        supported=int(truth.sum()),
        unsupported=int((~truth).sum()),
        folds=FOLDS,
    )


def auroc(score: Matrix, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores higher than a negative, ties half (Mann and Whitney's U over the number of pairs)."""
    order = np.unique(score, return_inverse=True)[1]
    counts = np.bincount(order)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def balanced_accuracy(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Mean of the shares of both kinds that are named rightly."""
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)


def _log_loss(support: Matrix, truth: NDArray[np.bool_]) -> float:
    chance = np.clip(np.where(truth, support, 1 - support), 1e-6, 1.0)
    return float(-np.log(chance).mean())


def _weakest(row: Labelled, weights: Weights) -> int:
    return int(np.argmin(row.signals @ np.array(weights.weights)))


def _support(row: Labelled, weights: Weights) -> float:
    return weights.support(list(row.signals[_weakest(row, weights)]))


def _sigmoid(values: Matrix) -> Matrix:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60, 60))))
