"""Trains the toxicity screen.

python -m benchmarks.toxicity.train --data ../shared/data --seed 7

Every source has the same weight, and inside a source the toxic texts together weigh as much as the others. A corpus has an
intercept of its own, so that corpora may disagree on how bad is toxic without bending what they agree on; the screen's bias
is fitted afterwards on all sources together. How strongly to regularise was chosen by cross-validation in the training half.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from analyzers.embedding.model import SentenceModel
from analyzers.toxicity.features import BUCKETS, gram_features
from analyzers.toxicity.screen import WEIGHTS
from benchmarks.toxicity.corpora import (
    TOXIC_LABEL,
    Labelled,
    corpus,
    counter_examples,
    harmless_completions,
    harmless_prompts,
    ordinary,
    own_sentences,
)
from benchmarks.toxicity.templates import FRIENDLY, MENTIONS
from schemas.analysis import EmbedderSettings

PENALTY = 0.3
"""Inverse strength of the L2 penalty."""
GRAM_SCALE = 3.0
"""Scale of the n-grams beside the embedding: what scales up is penalised less."""
INTERCEPT_SCALE = 2.0
MENTION_SHARES = 4
"""Sources that the mentions of people weigh as much as: with fewer, naming two groups at once was still flagged."""
ORDINARY = (("clinc150", "text"), ("arena_hard_v01_answers", "prompt"), ("arena_hard_v01_answers", "answer"))
ORDINARY_TEXTS = 1_500


def sources(data: Path, seed: int) -> list[list[Labelled]]:
    """The training half of every source."""
    everyday = [row for name, field in ORDINARY for row in ordinary(data, name, field, ORDINARY_TEXTS, seed)]
    found = [*(corpus(data, name) for name in TOXIC_LABEL), [*harmless_prompts(data), *harmless_completions(data)], everyday]
    return [*([row for row in rows if not row.held_out] for rows in found), own_sentences(), *_counter_examples(seed)]


def _counter_examples(seed: int) -> list[list[Labelled]]:
    mentions, friendly = (counter_examples(its, seed, toxic=False) for its in (MENTIONS, FRIENDLY))
    return [*[mentions] * MENTION_SHARES, friendly]


def embed(model: SentenceModel, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings of `texts`, similar lengths together."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    rows = np.empty((len(texts), model.dimensions), dtype=np.float32)
    for start in range(0, len(order), 32):
        chosen = order[start : start + 32]
        rows[chosen] = model.encode([texts[index] for index in chosen])
    return rows


def features(texts: Sequence[str], embeddings: NDArray[np.float32]) -> Any:
    """Embedding and scaled n-grams, sparse."""
    parts = [gram_features(text) for text in texts]
    ends = np.cumsum([0] + [len(buckets) for buckets, _ in parts])
    columns = np.concatenate([buckets for buckets, _ in parts])
    values = np.concatenate([values for _, values in parts]) * GRAM_SCALE
    grams = sparse.csr_matrix((values, columns, ends), shape=(len(texts), BUCKETS))
    return sparse.hstack([sparse.csr_matrix(embeddings), grams]).tocsr()


def sample_weights(groups: Sequence[Sequence[Labelled]]) -> NDArray[np.float64]:
    """Equal for sources, and for the two classes within one; 1 on average."""
    weights: list[float] = []
    for rows in groups:
        toxic = sum(row.toxic for row in rows)
        both = 0 < toxic < len(rows)
        share = {True: 0.5 / toxic, False: 0.5 / (len(rows) - toxic)} if both else dict.fromkeys((True, False), 1 / len(rows))
        weights += [share[row.toxic] for row in rows]
    return np.array(weights) * len(weights) / sum(weights)


def fit(groups: Sequence[Sequence[Labelled]], embeddings: NDArray[np.float32]) -> dict[str, Any]:
    """The head's weights from the rows of all groups, whose embeddings come in the same order."""
    rows = [row for group in groups for row in group]
    toxic = np.array([row.toxic for row in rows])
    weights = sample_weights(groups)
    seen = features([row.text for row in rows], embeddings)
    head = LogisticRegression(C=PENALTY, max_iter=1_000, tol=1e-4)
    head.fit(sparse.hstack([seen, _intercepts(groups)]).tocsr(), toxic, sample_weight=weights)
    shared = head.coef_[0][: seen.shape[1]]
    scale = LogisticRegression(C=1e6, max_iter=1_000).fit((seen @ shared)[:, None], toxic, sample_weight=weights)
    shared = shared * scale.coef_[0][0]
    dimensions = embeddings.shape[1]
    return {
        "embedding_weights": shared[:dimensions].astype(np.float32),
        "gram_weights": (shared[dimensions:] * GRAM_SCALE).astype(np.float16),
        "bias": float(scale.intercept_[0]),
    }


def _intercepts(groups: Sequence[Sequence[Labelled]]) -> Any:
    """A column for each public corpus; sources of harmless texts alone would hide behind one."""
    corpora = [index for index, rows in enumerate(groups[: len(TOXIC_LABEL)]) if rows]
    member = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    return sparse.csr_matrix(np.stack([(member == index) * INTERCEPT_SCALE for index in corpora], axis=1))


def main() -> None:
    """Train it and write its weights."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.toxicity.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with toxicity and drift")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("analyzers/toxicity") / WEIGHTS)
    given = parser.parse_args()
    groups = sources(given.data, given.seed)
    model = SentenceModel(EmbedderSettings())
    embeddings = embed(model, [row.text for group in groups for row in group])
    np.savez_compressed(given.out, embedder=model.version.split("/")[0], **fit(groups, embeddings))
    print(f"{sum(map(len, groups))} texts of {len(groups)} sources → {given.out}")


if __name__ == "__main__":
    main()
