"""The embedder that analyzers share: identical texts once, similar lengths together, recent texts from memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.cache import EmbeddingCache
from analyzers.embedding.model import SentenceModel
from analyzers.hosting import Hosted
from schemas.analysis import EmbedderSettings

Row = NDArray[np.float32]


class Embedder:
    """Embeds texts where models run. Used from one event loop."""

    def __init__(self, settings: EmbedderSettings, models: Executor) -> None:
        self._settings = settings
        self._model = Hosted(models, SentenceModel, settings)
        self._dimensions = 0
        self._cache = EmbeddingCache(settings.cache_texts)
        self._under_way: dict[bytes, asyncio.Task[Mapping[bytes, Row]]] = {}

    @property
    def version(self) -> str:
        """Such as `all-MiniLM-L6-v2@1a2b3c4d/bfloat16`: model, weights, precision. Embeddings of two versions never mix.

        Known once `prepare` or `embed` has loaded the model.
        """
        return self._model.version

    @property
    def dimensions(self) -> int:
        """Length of an embedding; known as `version` is."""
        return self._dimensions

    async def prepare(self) -> None:
        """Load the model.

        Raises:
            ModelUnavailableError: it cannot be loaded; the message names the fix. Another call tries again.
        """
        if not self._dimensions:
            self._dimensions = await self._model.call(SentenceModel.width)

    async def embed(self, texts: Sequence[str]) -> Row:
        """Embeddings of non-empty `texts`, (len(texts), dimensions), rows of unit length; what has no finite embedding is NaN.

        Raises:
            ModelUnavailableError: the model cannot be loaded.
        """
        await self.prepare()
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        digests = [_digest(text) for text in texts]
        rows = await self._rows(dict(zip(digests, texts, strict=True)))
        return np.stack([rows[digest] for digest in digests])

    async def _rows(self, texts: Mapping[bytes, str]) -> dict[bytes, Row]:
        rows = {digest: row for digest in texts if (row := self._cache.get(digest)) is not None}
        waited = {self._under_way[digest] for digest in texts if digest not in rows and digest in self._under_way}
        new = {digest: text for digest, text in texts.items() if digest not in rows and digest not in self._under_way}
        if new:
            waited.add(self._start(new))
        for task in waited:
            # Others may wait for the same texts: one who gives up must not take them along.
            found = await asyncio.shield(task)
            rows.update((digest, row) for digest, row in found.items() if digest in texts)
        return rows

    def _start(self, texts: Mapping[bytes, str]) -> asyncio.Task[Mapping[bytes, Row]]:
        task = asyncio.get_running_loop().create_task(self._compute(texts))
        self._under_way.update(dict.fromkeys(texts, task))
        task.add_done_callback(lambda done: self._finish(texts, done))
        return task

    def _finish(self, texts: Mapping[bytes, str], done: asyncio.Task[Mapping[bytes, Row]]) -> None:
        for digest in texts:
            del self._under_way[digest]
        if not done.cancelled() and done.exception() is None:
            for digest, row in done.result().items():
                self._cache.put(digest, row)

    async def _compute(self, texts: Mapping[bytes, str]) -> Mapping[bytes, Row]:
        # Batch by batch, so that other models come between.
        by_length = sorted(texts, key=lambda digest: len(texts[digest]))
        size = self._settings.batch_size
        rows: dict[bytes, Row] = {}
        for start in range(0, len(by_length), size):
            batch = by_length[start : start + size]
            rows.update(zip(batch, await self._encode([texts[digest] for digest in batch]), strict=True))
        return rows

    async def _encode(self, texts: list[str]) -> Row:
        return await self._model.call(SentenceModel.encode, texts)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
