"""How much a text is like anything in a reference: the scan's view of texts that resemble nothing known.

Texts of a new kind that lie scattered move the mean embedding little, in no direction that they share. What they do share is
their distance from everything known. With the centres c_1..c_K of the clusters of the reference's texts,

    ν(x) = max_k ⟨x, c_k⟩,

the cosine to the nearest of them (for embeddings and centres of unit length), is one more feature to watch the mean of. It is
a density score by prototypes, as the distance to the k-th neighbour is in outlier detection (Ramaswamy et al. 2000).

Centres lie nearer to the texts that they were made from than to others like them. So that the reference is not flattered, its
texts are split in two: centres of each half, and the ν of a reference's text by those of the other half. ν of any other text
is the mean of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.stats.clusters import clustered

Floats = NDArray[np.float64]
Centres = NDArray[np.float32]

MOST_CENTRES = 64
FITTED = 2_000
"""Texts of each half that its centres are made from, at most."""


@dataclass(frozen=True)
class Topics:
    """The centres of both halves, as rows of unit length.

    In single precision, as embeddings are stored: cosines differ by 1e-7, and looks take a third of the time.
    """

    halves: tuple[Centres, Centres]

    @property
    def dimensions(self) -> int:
        """Of an embedding."""
        return int(self.halves[0].shape[1])

    def likeness(self, embeddings: NDArray[np.floating]) -> Floats:
        """ν of rows of embeddings of unit length; shape (rows, 1)."""
        return np.asarray((_nearest(embeddings, self.halves[0]) + _nearest(embeddings, self.halves[1])) / 2)


def topics_of(embeddings: NDArray[np.floating], seed: int) -> tuple[Topics, Floats]:
    """The topics of a reference's texts, rows in random order, at least two; and ν of each row by the half it is not of."""
    first, second = (_centres(embeddings[half::2][:FITTED], seed + half) for half in (0, 1))
    own = np.empty((len(embeddings), 1))
    own[0::2] = _nearest(embeddings[0::2], second)
    own[1::2] = _nearest(embeddings[1::2], first)
    return Topics((first, second)), own


def _centres(embeddings: NDArray[np.floating], seed: int) -> Centres:
    centres, _ = clustered(embeddings, MOST_CENTRES, seed)
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return np.asarray(centres / np.maximum(lengths, np.finfo(np.float64).tiny), dtype=np.float32)


def _nearest(embeddings: NDArray[np.floating], centres: Centres) -> Floats:
    cosines = embeddings.astype(np.float32, copy=False) @ centres.T
    return np.asarray(cosines.max(axis=1, keepdims=True), dtype=np.float64)
