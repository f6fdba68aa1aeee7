"""An optional cross-encoder, asked whether the best place of the context supports a sentence. Loads torch when made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.model import INSTALL, LOADING_ERRORS, weights_digest
from analyzers.hosting import ModelUnavailableError, torch_threads

MAX_TOKENS = 512
ENTAILMENT = ("entailment", "entail", "supported", "consistent")
"""Names of the label, in a model with several, that means support."""


class SupportCrossEncoder:
    """A loaded model: one logit (HHEM and the like) or the labels of natural language inference."""

    def __init__(self, model: str, batch_size: int = 32) -> None:
        """Load it.

        Raises:
            ModelUnavailableError: the packages are not installed, there is no such model, or its labels say nothing of support.
        """
        self._model = _load(model)
        self._batch_size = batch_size
        self._column = _column(model, self._model)
        self.version = f"{Path(model).name}@{weights_digest(self._model.model)}"

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Probability for each (context, sentence) that the first supports the second; the tokenizer cuts longer pairs."""
        if not pairs:
            return np.empty(0)
        logits = self._model.predict(
            [list(pair) for pair in pairs], batch_size=self._batch_size, activation_fn=_identity(), show_progress_bar=False
        )
        rows = np.asarray(logits, dtype=np.float64).reshape(len(pairs), -1)
        if rows.shape[1] == 1:
            return np.asarray(1.0 / (1.0 + np.exp(-np.clip(rows[:, 0], -60, 60))))
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return np.asarray(powers[:, self._column] / powers.sum(axis=1))


def _load(model: str) -> Any:
    try:
        import torch
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ModelUnavailableError(f"the package {error.name} is not installed: {INSTALL}") from error
    torch.set_num_threads(torch_threads())
    try:
        return CrossEncoder(model, max_length=MAX_TOKENS, local_files_only=Path(model).is_dir())
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"the cross-encoder {model!r} cannot be loaded ({error}): set analysis.grounding.cross_encoder to a folder that "
            "sentence-transformers can read, or unset it"
        ) from error


def _column(name: str, model: Any) -> int:
    labels = {int(number): str(label).lower() for number, label in model.config.id2label.items()}
    if len(labels) == 1:
        return 0
    for number, label in labels.items():
        if label in ENTAILMENT:
            return number
    raise ModelUnavailableError(
        f"the cross-encoder {name!r} has the labels {', '.join(labels.values())}, and none of {', '.join(ENTAILMENT)}: use one "
        "for natural language inference or with a single output"
    )


def _identity() -> Any:
    import torch

    return torch.nn.Identity()
