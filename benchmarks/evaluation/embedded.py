"""Embeddings of a data set by the product's embedder, computed once: a file in the temporary folder keeps them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.embedder import Embedder
from schemas.analysis import EmbedderSettings


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a gzipped JSONL file."""
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def embedded(texts: list[str]) -> NDArray[np.float32]:
    """Rows of unit length, in the order of `texts`."""
    return asyncio.run(_embedded(texts))


async def _embedded(texts: list[str]) -> NDArray[np.float32]:
    with ThreadPoolExecutor(1) as threads:
        embedder = Embedder(EmbedderSettings(cache_texts=0), threads)
        await embedder.prepare()
        digest = hashlib.sha256("\0".join([embedder.version, *texts]).encode()).hexdigest()[:16]
        file = Path(tempfile.gettempdir()) / "tracewarden-evaluation" / f"{digest}.npy"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, await embedder.embed(texts))
        return np.asarray(np.load(file))
