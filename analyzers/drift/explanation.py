"""What a drift consists of: the texts most typical of it, those that faded, and clusters with their share then and now.

The witness function f(x) = ⟨φ(x), μ̂_Q - μ̂_P⟩ (Gretton et al. 2012, §2.3) is high where texts are more common now than in the
reference, low where they are rarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import ClusterError, kmeans2

from storage.drift import SampledText

Floats = NDArray[np.float64]

EXEMPLARS = 8
TOO_SIMILAR = 0.9
MOST_CLUSTERS, TEXTS_PER_CLUSTER = 24, 25
SHOWN_CLUSTERS = 8
_ITERATIONS = 25


@dataclass(frozen=True)
class Texts:
    """Sampled texts with their embeddings of unit length and features, as rows."""

    rows: Sequence[SampledText]
    embeddings: Floats
    features: Floats


def explain(now: Texts, then: Texts, direction: Floats, seed: int) -> dict[str, Any]:
    """Exemplars, faded texts and clusters, as JSON-serialisable data; empty lists where texts are missing."""
    return {
        "exemplars": exemplars(now, then, direction),
        "faded": exemplars(then, now, -direction),
        "clusters": clusters(now, then, seed),
        "sampled": {"now": len(now.rows), "then": len(then.rows)},
    }


def exemplars(of: Texts, other: Texts, direction: Floats) -> list[dict[str, Any]]:
    """The texts with the highest witness values above 0, none nearly the same as another, each with its nearest of `other`."""
    if not of.rows:
        return []
    witness = of.features @ direction
    chosen: list[int] = []
    for index in np.argsort(-witness, kind="stable"):
        if len(chosen) == EXEMPLARS or witness[index] <= 0:
            break
        if not chosen or float(np.max(of.embeddings[chosen] @ of.embeddings[index])) < TOO_SIMILAR:
            chosen.append(int(index))
    return [{**_shown(of.rows[i]), "witness": float(witness[i]), "nearest": _nearest(of.embeddings[i], other)} for i in chosen]


def clusters(now: Texts, then: Texts, seed: int) -> list[dict[str, Any]]:
    """Groups of similar texts of both, by k-means, with the share of each then and now; the largest change first."""
    if not now.rows or not then.rows:
        return []
    both = np.concatenate([now.embeddings, then.embeddings])
    centres, labels = _grouped(both, seed)
    split = len(now.rows)
    found: list[dict[str, Any]] = []
    for number in range(len(centres)):
        members = np.flatnonzero(labels == number).tolist()
        if not members:
            continue
        texts = [now.rows[i] if i < split else then.rows[i - split] for i in members]
        nearest = np.argsort(-(both[members] @ centres[number]), kind="stable")[:3].tolist()
        found.append(
            {
                "share_then": float(np.mean(labels[split:] == number)),
                "share_now": float(np.mean(labels[:split] == number)),
                "examples": [_shown(texts[i]) for i in nearest],
            }
        )
    found.sort(key=lambda cluster: -abs(cluster["share_now"] - cluster["share_then"]))
    return found[:SHOWN_CLUSTERS]


def _grouped(rows: Floats, seed: int) -> tuple[Floats, NDArray[np.int_]]:
    """Centres and labels; fewer groups where there are fewer different texts."""
    different = len(np.unique(rows, axis=0))
    for count in range(max(1, min(MOST_CLUSTERS, len(rows) // TEXTS_PER_CLUSTER, different)), 1, -1):
        try:
            centres, labels = kmeans2(rows, count, iter=_ITERATIONS, minit="++", missing="raise", rng=seed)
        except ClusterError:
            continue
        return np.asarray(centres), np.asarray(labels)
    return rows.mean(axis=0, keepdims=True), np.zeros(len(rows), dtype=np.int_)


def _nearest(embedding: Floats, other: Texts) -> dict[str, Any] | None:
    if not other.rows:
        return None
    likeness = other.embeddings @ embedding
    index = int(np.argmax(likeness))
    return {**_shown(other.rows[index]), "cosine": float(likeness[index])}


def _shown(text: SampledText) -> dict[str, Any]:
    return {
        "text": text.preview,
        "trace_id": text.trace_id,
        "span_id": text.span_id,
        "time": text.time.isoformat(),
        "release": text.release,
        "model": text.model,
    }
