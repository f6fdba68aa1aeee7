"""Hashed n-grams: what they are, and that any text has them."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.toxicity.features import BUCKETS, LONGEST_WORD_CHARS, gram_features, gram_sums


def bucket(gram: str) -> int:
    return zlib.crc32(gram.encode()) % BUCKETS


def test_grams_of_words_with_their_edges() -> None:
    buckets, values = gram_features("No no")
    assert sorted(buckets) == sorted({bucket(" no"), bucket("no "), bucket(" no ")})
    np.testing.assert_allclose(values, 1 / np.sqrt(3))


def test_counts_weigh_by_their_logarithm() -> None:
    buckets, values = gram_features("a a b")
    weight = dict(zip(buckets.tolist(), values.tolist(), strict=True))
    assert weight[bucket(" a ")] / weight[bucket(" b ")] == pytest.approx(1 + np.log(2))


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    buckets, values = gram_features(text)
    assert ((buckets >= 0) & (buckets < BUCKETS)).all()
    assert np.linalg.norm(values) == pytest.approx(1) or len(values) == 0


@given(st.lists(st.text(max_size=60), max_size=5))
def test_sums_are_dot_products(texts: list[str]) -> None:
    weights = np.random.default_rng(3).normal(size=BUCKETS).astype(np.float32)
    dense = np.zeros((len(texts), BUCKETS))
    for row, text in zip(dense, texts, strict=True):
        buckets, values = gram_features(text)
        row[buckets] = values
    np.testing.assert_allclose(gram_sums(texts, weights), dense @ weights, atol=1e-4)


def test_of_a_long_word_the_beginning() -> None:
    assert (gram_features("x" * 1_000_000)[0] == gram_features("x" * LONGEST_WORD_CHARS)[0]).all()
    assert len(gram_features(" \n")[0]) == 0
