"""The embedder that analyzers share: identical texts once, similar lengths together, recent texts from memory."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.cache import EmbeddingCache
from analyzers.embedding.model import ModelUnavailableError, SentenceModel
from schemas.analysis import EmbedderSettings

__all__ = ["Embedder", "ModelUnavailableError"]

Row = NDArray[np.float32]


class Embedder:
    """Embeds texts on the pool's threads. Used from one event loop."""

    def __init__(self, settings: EmbedderSettings, threads: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: SentenceModel | None = None
        self._cache = EmbeddingCache(settings.cache_texts)
        self._under_way: dict[bytes, asyncio.Task[Mapping[bytes, Row]]] = {}

    @property
    def version(self) -> str:
        """Such as `all-MiniLM-L6-v2@1a2b3c4d/bfloat16`: model, weights, precision. Embeddings of two versions never mix.

        Loads the model where `prepare` has not; that takes seconds.
        """
        return self._model().version

    @property
    def dimensions(self) -> int:
        """Length of an embedding. Loads the model where `prepare` has not."""
        return self._model().dimensions

    async def prepare(self) -> None:
        """Load the model on a thread.

        Raises:
            ModelUnavailableError: it cannot be loaded; the message names the fix. Another call tries again.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads, self._model)

    async def embed(self, texts: Sequence[str]) -> Row:
        """Embeddings of non-empty `texts`, (len(texts), dimensions), rows of unit length; what has no finite embedding is NaN.

        Raises:
            ModelUnavailableError: the model cannot be loaded.
        """
        if not texts:
            await self.prepare()
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
        # Batch by batch, so that other work on the threads comes between.
        by_length = sorted(texts, key=lambda digest: len(texts[digest]))
        size = self._settings.batch_size
        rows: dict[bytes, Row] = {}
        for start in range(0, len(by_length), size):
            batch = by_length[start : start + size]
            rows.update(zip(batch, await self._encode([texts[digest] for digest in batch]), strict=True))
        return rows

    async def _encode(self, texts: list[str]) -> Row:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self._model().encode(texts))

    def _model(self) -> SentenceModel:
        with self._loading:
            if self._loaded is None:
                self._loaded = SentenceModel(self._settings)
                # Half a second of every later collection otherwise, in which no thread runs and nothing is acknowledged.
                gc.collect()
                gc.freeze()
            return self._loaded


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
