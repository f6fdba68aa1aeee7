"""Groups of similar embeddings by k-means (Lloyd 1982, with the seeding of Arthur & Vassilvitskii 2007)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import ClusterError, kmeans2

Floats = NDArray[np.float64]

FEWEST_A_CLUSTER = 25
_ITERATIONS = 25


def clustered(rows: NDArray[np.floating], most: int, seed: int) -> tuple[Floats, NDArray[np.int_]]:
    """Centres and the label of each row: at most `most` groups, fewer where there are few or few different rows."""
    different = len(np.unique(rows, axis=0))
    for count in range(max(1, min(most, len(rows) // FEWEST_A_CLUSTER, different)), 1, -1):
        try:
            centres, labels = kmeans2(rows, count, iter=_ITERATIONS, minit="++", missing="raise", rng=seed)
        except ClusterError:
            continue
        return np.asarray(centres, dtype=np.float64), np.asarray(labels)
    return np.asarray(rows.mean(axis=0, keepdims=True), dtype=np.float64), np.zeros(len(rows), dtype=np.int_)
