"""Embeddings of recent texts."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray


class EmbeddingCache:
    """The `capacity` embeddings used last, by digest of their text."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, digest: bytes) -> NDArray[np.float32] | None:
        """The embedding, which from now on is the one used last."""
        row = self._rows.get(digest)
        if row is not None:
            self._rows.move_to_end(digest)
        return row

    def put(self, digest: bytes, row: NDArray[np.float32]) -> None:
        """Keep `row`; the one that was not used for longest makes room."""
        self._rows[digest] = row
        self._rows.move_to_end(digest)
        while len(self._rows) > self._capacity:
            self._rows.popitem(last=False)
