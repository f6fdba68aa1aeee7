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

from analyzers.stats.clusters import clustered
from analyzers.stats.novelty import Topics
from storage.drift import SampledText

Floats = NDArray[np.float64]

EXEMPLARS = 8
TOO_SIMILAR = 0.9
MOST_CLUSTERS = 24
SHOWN_CLUSTERS = 8


@dataclass(frozen=True)
class Texts:
    """Sampled texts with their embeddings of unit length and features, as rows."""

    rows: Sequence[SampledText]
    embeddings: NDArray[np.floating]
    features: Floats


def explain(now: Texts, then: Texts, direction: Floats, topics: Topics | None, seed: int) -> dict[str, Any]:
    """Exemplars, novel and faded texts and clusters, as JSON-serialisable data; empty lists where texts are missing."""
    return {
        "exemplars": exemplars(now, then, direction),
        "novel": novel(now, then, direction, topics),
        "faded": exemplars(then, now, -direction),
        "clusters": clusters(now, then, seed),
        "sampled": {"now": len(now.rows), "then": len(then.rows)},
    }


def exemplars(of: Texts, other: Texts, direction: Floats) -> list[dict[str, Any]]:
    """The texts with the highest witness values above 0, none nearly the same as another, each with its nearest of `other`."""
    if not of.rows:
        return []
    witness = of.features @ direction
    chosen = _different(of, np.argsort(-witness, kind="stable")[: np.count_nonzero(witness > 0)])
    return [{**_shown(of.rows[i]), "witness": float(witness[i]), "nearest": _nearest(of.embeddings[i], other)} for i in chosen]


def novel(now: Texts, then: Texts, direction: Floats, topics: Topics | None) -> list[dict[str, Any]]:
    """The texts that are least like anything in the reference: exemplars in another order, with their likeness ν."""
    if topics is None or not now.rows:
        return []
    likeness, witness = topics.likeness(now.embeddings)[:, 0], now.features @ direction
    chosen = _different(now, np.argsort(likeness, kind="stable"))
    return [
        {
            **_shown(now.rows[i]),
            "likeness": float(likeness[i]),
            "witness": float(witness[i]),
            "nearest": _nearest(now.embeddings[i], then),
        }
        for i in chosen
    ]


def _different(of: Texts, ranked: NDArray[np.int_]) -> list[int]:
    """The first of them, none nearly the same as one before it."""
    chosen: list[int] = []
    for index in ranked:
        if len(chosen) == EXEMPLARS:
            break
        if not chosen or float(np.max(of.embeddings[chosen] @ of.embeddings[index])) < TOO_SIMILAR:
            chosen.append(int(index))
    return chosen


def clusters(now: Texts, then: Texts, seed: int) -> list[dict[str, Any]]:
    """Groups of similar texts of both, by k-means, with the share of each then and now; the largest change first."""
    if not now.rows or not then.rows:
        return []
    both = np.concatenate([now.embeddings, then.embeddings])
    centres, labels = clustered(both, MOST_CLUSTERS, seed)
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


def _nearest(embedding: NDArray[np.floating], other: Texts) -> dict[str, Any] | None:
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
