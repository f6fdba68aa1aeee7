"""The screen: a logistic head on the shared embedding and hashed n-grams. Its model card is docs/toxicity_screen.md."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.toxicity.features import BUCKETS, gram_sums

WEIGHTS = "screen_weights.npz"


@dataclass(frozen=True)
class Screen:
    """Weights of the head. `embedder` is the model and the weights (`name@digest`) whose embeddings it was trained on."""

    embedder: str
    embedding_weights: NDArray[np.float32]
    gram_weights: NDArray[np.float32]
    bias: float
    digest: str

    def probabilities(self, texts: Sequence[str], embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability that each text is toxic; NaN where its embedding is not finite."""
        logits = embeddings @ self.embedding_weights + gram_sums(texts, self.gram_weights) + self.bias
        return 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64)))

    def reads(self, embedder_version: str) -> bool:
        """Whether it was trained on the embeddings of that embedder; their precision does not matter."""
        return embedder_version.split("/")[0] == self.embedder


def load_screen() -> Screen:
    """The screen that comes with the package."""
    content = files("analyzers.toxicity").joinpath(WEIGHTS)
    with content.open("rb") as source:
        digest = hashlib.sha256(source.read()).hexdigest()[:8]
        source.seek(0)
        with np.load(source, allow_pickle=False) as stored:
            return _screen(stored, digest)


def _screen(stored: Any, digest: str) -> Screen:
    grams = stored["gram_weights"].astype(np.float32)
    if grams.shape != (BUCKETS,):
        raise ValueError(
            f"{WEIGHTS} was made for {len(grams)} buckets, not {BUCKETS}: train it again (docs/toxicity_screen.md)"
        )
    return Screen(
        embedder=str(stored["embedder"]),
        embedding_weights=stored["embedding_weights"].astype(np.float32),
        gram_weights=grams,
        bias=float(stored["bias"]),
        digest=digest,
    )
