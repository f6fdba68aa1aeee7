"""What the screen sees of a text beside its embedding: hashed character n-grams of its words."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 16
LENGTHS = (3, 4, 5, 6)
LONGEST_WORD_CHARS = 32
"""Of a longer word, such as encoded data, the beginning."""
_WORD = re.compile(r"\w+|[^\w\s]")


def gram_sums(texts: Sequence[str], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each text the weighted sum of its n-gram features, `weights` having one entry for each of the buckets."""
    return np.array([_dot(text, weights) for text in texts], dtype=np.float64)


def gram_features(text: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Buckets and values of one text: 1 + ln(count), scaled to unit length; empty for a text without words."""
    counts = Counter(bucket for word in _WORD.findall(text.lower()) for bucket in _word_buckets(word[:LONGEST_WORD_CHARS]))
    values = 1 + np.log(np.fromiter(counts.values(), dtype=np.float64, count=len(counts)))
    buckets = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
    return buckets, values / max(float(np.linalg.norm(values)), 1e-12)


def _dot(text: str, weights: NDArray[np.float32]) -> float:
    buckets, values = gram_features(text)
    return float(weights[buckets] @ values)


@lru_cache(maxsize=50_000)
def _word_buckets(word: str) -> tuple[int, ...]:
    padded = f" {word} "
    grams = [padded[start : start + length] for length in LENGTHS for start in range(len(padded) - length + 1)]
    return tuple(zlib.crc32(gram.encode("utf-8", "replace")) % BUCKETS for gram in grams)
