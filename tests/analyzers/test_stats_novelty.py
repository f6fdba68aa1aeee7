"""Likeness to topics: what it is, that a reference does not flatter itself, and what its scan finds that means do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.metrics.pairwise import cosine_similarity

from analyzers.drift.decision import Seen, decide, likeness_sketch
from analyzers.drift.reference import Reference, Sample, build_both
from analyzers.stats.drift_scan import Scan
from analyzers.stats.mean_embedding import FeatureMap, Sketch
from analyzers.stats.novelty import Topics, topics_of
from storage.drift import LookRow

Floats = NDArray[np.float64]

DIMENSIONS, UNIT_TEXTS, UNITS = 48, 100, 10
TOPICS = np.random.default_rng(1).normal(size=(12, DIMENSIONS))
START, DAY = datetime(2026, 3, 2, tzinfo=UTC), timedelta(days=1)
SCAN = Scan((1, 2, 4, 7), 14, 20)
FEATURES = FeatureMap(DIMENSIONS, 1.2)
ALPHA = 0.1


def texts(n: int, rng: np.random.Generator, odd: float = 0.0) -> Floats:
    """Embeddings of 12 topics; a share `odd` lies in no common direction."""
    rows = TOPICS[rng.integers(len(TOPICS), size=n)] + 0.9 * rng.normal(size=(n, DIMENSIONS))
    rows[: round(odd * n)] = rng.normal(size=(round(odd * n), DIMENSIONS))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def reference(rng: np.random.Generator) -> Reference:
    units = [texts(UNIT_TEXTS, rng) for _ in range(UNITS)]
    order = rng.permutation(UNIT_TEXTS * UNITS)
    of_units = [START + number // UNIT_TEXTS * DAY for number in order.tolist()]
    sample = Sample(np.concatenate(units)[order], of_units)
    return build_both([Sketch.of(FEATURES(unit)) for unit in units], sample, FEATURES, SCAN, ALPHA, 0, int(rng.integers(2**31)))


def stream(known: Reference, rng: np.random.Generator, looks: int, odd: float) -> list[LookRow]:
    assert known.novelty is not None
    blank = LookRow("", START, "prompt", "1d", "", "", "", "", "", "no-data", "", 0, START)
    means, likeness, rows = [], [], []
    for _ in range(looks):
        unit = texts(UNIT_TEXTS, rng, odd)
        means.append(Sketch.of(FEATURES(unit)))
        likeness.append(likeness_sketch(len(unit), float(known.novelty.topics.likeness(unit).sum())))
        rows.append(decide(blank, known, Seen(means, DAY, likeness=likeness)))
    return rows


def test_likeness_is_the_cosine_to_the_nearest_centre_of_each_half() -> None:
    rng = np.random.default_rng(2)
    first, second, rows = texts(7, rng), texts(5, rng), texts(40, rng)
    wanted = (cosine_similarity(rows, first).max(axis=1) + cosine_similarity(rows, second).max(axis=1)) / 2
    topics = Topics((first.astype(np.float32), second.astype(np.float32)))
    assert topics.likeness(rows)[:, 0] == pytest.approx(wanted, abs=1e-6)
    assert topics.likeness(np.empty((0, DIMENSIONS))).shape == (0, 1)


def test_a_reference_does_not_flatter_itself() -> None:
    """ν of its own texts is that of others like them; by the centres that they were made into it would be larger."""
    rng = np.random.default_rng(3)
    rows = texts(2_000, rng)
    topics, own = topics_of(rows, seed=1)
    fresh = topics.likeness(texts(20_000, rng))
    error = own.std() / np.sqrt(len(own))
    assert own.shape == (2_000, 1)
    assert abs(own.mean() - fresh.mean()) < 4 * error
    flattered = Topics((topics.halves[0], topics.halves[0])).likeness(rows[0::2])
    assert flattered.mean() - fresh.mean() > 4 * error


def test_texts_that_are_all_the_same_have_no_topics_to_tell_apart() -> None:
    rows = np.repeat(texts(1, np.random.default_rng(4)), 200, axis=0)
    topics, own = topics_of(rows, seed=1)
    assert [len(half) for half in topics.halves] == [1, 1]
    assert own == pytest.approx(np.ones((200, 1)), abs=1e-6)


def test_both_scans_together_alarm_as_rarely_as_stated() -> None:
    rng, runs = np.random.default_rng(5), 40
    alarmed = sum(any(row.alarm for row in stream(reference(rng), rng, SCAN.looks, 0.0)) for _ in range(runs))
    assert alarmed <= binom.ppf(0.999, runs, ALPHA)


def test_scattered_texts_are_found_by_their_novelty_before_the_means_tell() -> None:
    rng, both, means = np.random.default_rng(6), [], []
    for _ in range(10):
        rows = stream(reference(rng), rng, 7, 0.08)
        both.append(next((number for number, row in enumerate(rows, 1) if row.alarm), 99))
        alone = (number for number, row in enumerate(rows, 1) if (row.score or 0.0) > (row.threshold or 0.0))
        means.append(next(alone, 99))
    assert np.median(both) <= 3
    assert np.median(both) < np.median(means)


def test_a_reference_survives_the_control_database() -> None:
    rng = np.random.default_rng(7)
    known = reference(rng)
    again = Reference.from_state(known.state())
    assert again.novelty is not None
    assert known.novelty is not None
    assert (again.alpha, again.novelty.reference.alpha) == (ALPHA / 2, ALPHA / 2)
    rows = texts(50, rng)
    assert again.novelty.topics.likeness(rows) == pytest.approx(known.novelty.topics.likeness(rows), abs=1e-3)
    assert again.novelty.reference.threshold == known.novelty.reference.threshold
