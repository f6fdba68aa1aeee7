"""Embeddings as they are stored: bfloat16, the upper half of a float32.

Two bytes a number are half of what a look has to read. The cosine of an embedding to itself in float32 is .99999.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STORED = np.dtype("<u2")


def to_bfloat16(embeddings: NDArray[np.float32]) -> list[bytes]:
    """Each row, rounded to the nearest and to even between two; little-endian. Rows must be finite."""
    bits = np.ascontiguousarray(embeddings, dtype=np.float32).view(np.uint32)
    # Half of the last place that stays, less one where that place is even, carries into it.
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return [row.tobytes() for row in rounded.astype(_STORED)]


def from_bfloat16(embeddings: Sequence[bytes], dimensions: int) -> NDArray[np.float32]:
    """Stored embeddings, one or several in each, as rows; shape (0, dimensions) of none."""
    halves = np.frombuffer(b"".join(embeddings), dtype=_STORED)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(-1, dimensions)
