"""Calibration: refused with too few labels, near the default with few, at the labels with many."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from analyzers.grounding.calibration import (
    Fit,
    Labelled,
    NotEnough,
    auroc,
    balanced_accuracy,
    fit,
    fit_weights,
    said_by_default,
    shrunk_threshold,
)
from analyzers.grounding.features import SIGNALS
from analyzers.grounding.support import DEFAULT

WORDS = SIGNALS.index("words")


def answers(n: int, seed: int = 1, cut: float = 0.8) -> list[Labelled]:
    """Answers of an application whose people call supported what has more than `cut` of its words in the context."""
    random = np.random.default_rng(seed)
    rows = random.uniform(0.2, 1.0, (n, 1, len(SIGNALS)))
    rows[:, :, SIGNALS.index("missing_numbers") :] = 0.0
    return [Labelled(row, bool(row[0, WORDS] > cut)) for row in rows]


def distance(rows: list[Labelled]) -> float:
    """How far fitted weights are from the default ones."""
    return float(np.linalg.norm(np.array(fit_weights(rows).weights) - np.array(DEFAULT.weights)))


def test_too_few_labels_are_refused_with_what_is_lacking() -> None:
    few = fit(answers(49))
    assert isinstance(few, NotEnough)
    assert (few.reason, few.labels) == ("too-few-labels", 49)
    assert "50 are needed" in few.detail
    assert isinstance(fit([]), NotEnough)


def test_labels_of_one_kind_are_refused() -> None:
    one_sided = fit([Labelled(row.signals, True) for row in answers(60)])
    assert isinstance(one_sided, NotEnough)
    assert one_sided.reason == "one-sided"
    assert "only 0 answers were called unsupported and 10 are needed" in one_sided.detail


def test_verdicts_without_any_pattern_are_not_called_learned() -> None:
    random = np.random.default_rng(3)
    found = fit([Labelled(row.signals, bool(random.integers(2))) for row in answers(300)])
    assert isinstance(found, NotEnough) or found.quality.auroc == pytest.approx(0.5, abs=0.1)


def test_where_the_default_is_right_already_it_is_kept() -> None:
    sure = [Labelled(answers(1, seed)[0].signals, True) for seed in range(60)]
    for row in sure:
        row.signals[:, : SIGNALS.index("missing_numbers")] = 1.0
    wrong = [Labelled(np.zeros((1, len(SIGNALS))), False) for _ in range(60)]
    found = fit([*sure, *wrong])
    assert isinstance(found, NotEnough) or found.quality.balanced_accuracy_before == found.quality.balanced_accuracy == 1.0


def test_few_labels_move_the_weights_less_than_many() -> None:
    moved = [distance(answers(n)) for n in (10, 50, 250, 1000)]
    assert moved == sorted(moved)
    assert moved[0] < 0.5 * moved[-1]


def test_many_labels_are_followed() -> None:
    found = fit(answers(600))
    assert isinstance(found, Fit)
    assert found.quality.auroc > 0.97 > found.quality.auroc_before
    assert found.quality.balanced_accuracy > found.quality.balanced_accuracy_before
    assert found.quality.log_loss < found.quality.log_loss_before
    assert found.quality.supported + found.quality.unsupported == 600


def test_the_same_labels_give_the_same_fit() -> None:
    assert fit(answers(120)) == fit(answers(120))


def test_newton_finds_what_a_general_optimiser_finds() -> None:
    rows = answers(200)
    signals = np.array([row.signals[0] for row in rows])
    targets = np.array([row.supported for row in rows], dtype=float)
    base = signals @ np.array(DEFAULT.weights) + DEFAULT.intercept
    design = np.column_stack([base, np.ones(len(base)), signals])
    prior, deviation = np.array([1.0, *[0.0] * (1 + len(SIGNALS))]), np.array([0.5, 2.0, *[2.0] * len(SIGNALS)])

    def loss(point: NDArray[np.float64]) -> float:
        logits = design @ point
        return float((np.logaddexp(0, logits) - targets * logits).sum() + (((point - prior) / deviation) ** 2).sum() / 2)

    best = minimize(loss, prior, method="BFGS", options={"gtol": 1e-6, "maxiter": 10_000}).x
    expected = best[0] * np.array(DEFAULT.weights) + best[2:]
    np.testing.assert_allclose(fit_weights(rows).weights, expected, atol=1e-2)


def test_an_answer_is_judged_by_its_weakest_sentence() -> None:
    strong, weak = np.full((1, len(SIGNALS)), 0.0), np.full((1, len(SIGNALS)), 0.0)
    strong[0, WORDS] = 1.0
    both = [Labelled(np.vstack([strong, weak]), False), Labelled(np.vstack([strong, strong]), True)] * 40
    weights = fit_weights(both)
    assert weights.support(list(strong[0])) > 0.5 > weights.support(list(weak[0]))


def test_length_is_allowed_for_by_the_default_and_learned_by_a_calibration() -> None:
    short, long = answers(300, cut=0.5), [row._replace(sentences=10) for row in answers(300, cut=0.5)]
    of_short, of_long = fit(short), fit(long)
    assert isinstance(of_short, Fit)
    assert isinstance(of_long, Fit)
    assert (of_short.weights, of_short.threshold) == (of_long.weights, of_long.threshold)
    assert of_long.weights.of_answers
    assert said_by_default(long).sum() > said_by_default(short).sum()
    assert of_long.quality.balanced_accuracy_before != of_short.quality.balanced_accuracy_before


def test_figures_equal_those_of_sklearn() -> None:
    random = np.random.default_rng(5)
    score, truth = random.integers(0, 20, 300) / 20, random.random(300) < 0.3
    assert auroc(score, truth) == pytest.approx(roc_auc_score(truth, score))
    assert balanced_accuracy(score > 0.5, truth) == pytest.approx(balanced_accuracy_score(truth, score > 0.5))


def test_a_threshold_from_few_labels_stays_near_the_default() -> None:
    support = np.linspace(0, 1, 1000)
    assert shrunk_threshold(support[::100], support[::100] >= 0.8) == pytest.approx(0.5, abs=0.06)
    assert shrunk_threshold(support, support >= 0.8) == pytest.approx(0.8, abs=0.05)
