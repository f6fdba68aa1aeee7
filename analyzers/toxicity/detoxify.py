"""Detoxify's models, loaded from a verified checkpoint and run synchronously. Nothing is fetched unless settings allow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.model import INSTALL, LOADING_ERRORS
from analyzers.hosting import ModelUnavailableError, torch_threads
from analyzers.text import legible
from analyzers.toxicity.checkpoint import Checkpoint, verified_checkpoint
from schemas.analysis import ToxicitySettings

LONGEST_TOKENS = 512
"""Longest input of the published models."""
POSITIONS_BEFORE_TEXT = 2
"""RoBERTa and XLM-R count positions from 2, so that many are not for tokens."""
_CLASS_NAMES = {"toxic": "toxicity", "identity_hate": "identity_attack", "severe_toxic": "severe_toxicity"}


class DetoxifyModel:
    """A loaded model."""

    def __init__(self, settings: ToxicitySettings) -> None:
        """Verify, then load.

        Raises:
            ModelUnavailableError: packages, checkpoint or tokenizer files are missing or wrong; the message names the fix.
        """
        try:
            import detoxify
            import torch
        except ImportError as error:
            raise ModelUnavailableError(f"Detoxify needs {error.name or 'a package'}, not installed: {INSTALL}") from error
        del detoxify
        torch.set_num_threads(torch_threads())
        checkpoint = verified_checkpoint(settings)
        self._batch_size = settings.batch_size
        self._device = _device(settings.device)
        self._model, self._tokenizer, self.classes = _load(checkpoint, settings)
        _place(self._model, self._device)
        self._max_tokens = min(LONGEST_TOKENS, self._model.config.max_position_embeddings - POSITIONS_BEFORE_TEXT)
        self.version = f"detoxify-{settings.model}@{checkpoint.sha256[:8]}"

    def by_class(self, texts: Sequence[str]) -> dict[str, dict[str, float]]:
        """The probability of each class for each text."""
        rows = self.probabilities(texts)
        return {text: dict(zip(self.classes, row.tolist(), strict=True)) for text, row in zip(texts, rows, strict=True)}

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each of `classes`, (len(texts), len(classes)). What exceeds the model's length is cut off."""
        found = np.empty((len(texts), len(self.classes)), dtype=np.float64)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            found[chosen] = self._forward([texts[index] for index in chosen])
        return found

    def _forward(self, texts: list[str]) -> NDArray[np.float64]:
        import torch

        read = [legible(text) for text in texts]
        inputs = self._tokenizer(read, return_tensors="pt", truncation=True, max_length=self._max_tokens, padding=True)
        with torch.inference_mode():
            logits = self._model(**inputs.to(self._device)).logits
        # The unbiased and multilingual models have further outputs, for identities, after their classes.
        return np.asarray(torch.sigmoid(logits.double()).cpu().numpy()[:, : len(self.classes)])


def _load(checkpoint: Checkpoint, settings: ToxicitySettings) -> tuple[Any, Any, tuple[str, ...]]:
    import torch
    from detoxify.detoxify import get_model_and_tokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        # The published checkpoints hold more than tensors; this one's content was verified.
        loaded = torch.load(checkpoint.path, map_location="cpu", weights_only=False)
    except (*LOADING_ERRORS, UnpicklingError, EOFError, ImportError, AttributeError) as error:
        raise ModelUnavailableError(f"{checkpoint.path} is no checkpoint of Detoxify's: {error}; get the right file") from error
    try:
        arguments = dict(loaded["config"]["arch"]["args"])
        classes = tuple(_CLASS_NAMES.get(name, name) for name in loaded["config"]["dataset"]["args"]["classes"])
        state = loaded["state_dict"]
    except (KeyError, TypeError) as error:
        raise ModelUnavailableError(f"{checkpoint.path} is no checkpoint of Detoxify's: it lacks {error}") from error
    arguments["model_type"] = _base(str(arguments["model_type"]), settings)
    try:
        model, tokenizer = get_model_and_tokenizer(**arguments, state_dict=state)
    except (*LOADING_ERRORS, AttributeError) as error:
        raise ModelUnavailableError(f"the checkpoint {checkpoint.path} cannot be loaded: {error}") from error
    _refuse_other_weights(model, state, checkpoint)
    return model, tokenizer, classes


def _base(name: str, settings: ToxicitySettings) -> str:
    """The folder with config.json and tokenizer files of the model that a checkpoint builds on."""
    if settings.base_model is not None:
        return str(settings.base_model)
    if Path(name).is_dir() or settings.download:
        return name
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError) as error:
        raise ModelUnavailableError(
            f"config.json and tokenizer files of {name}, which the checkpoint builds on, are not on this machine: set "
            "analysis.toxicity.base_model to a folder with them, or analysis.toxicity.download to fetch them"
        ) from error


def _refuse_other_weights(model: Any, state: Any, checkpoint: Checkpoint) -> None:
    """A parameter that a checkpoint lacks would be drawn at random, with no more than a warning."""
    import torch

    wrong = [
        name for name, value in model.state_dict().items() if _is_learned(name) and not _same(torch, value, state.get(name))
    ]
    if wrong:
        raise ModelUnavailableError(
            f"{checkpoint.path} lacks weights of its model ({', '.join(wrong[:3])}): get the right file"
        )


def _is_learned(name: str) -> bool:
    return not name.endswith(("position_ids", "token_type_ids"))


def _same(torch: Any, value: Any, stored: Any) -> bool:
    return stored is not None and value.shape == stored.shape and bool(torch.equal(value, stored.to(value.dtype)))


def _place(model: Any, device: str) -> None:
    try:
        model.to(device).eval()
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(f"Detoxify cannot run on {device} ({error}): set analysis.toxicity.device") from error


def _device(device: str) -> str:
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
