"""Which embeddings are kept: of the texts that share a slot of a bucket, the one with the highest rank.

A text's slot and rank depend on its span and part alone, so a batch that is repeated or that comes in another order leaves the
same sample. A text that stands for w others wins with w times the chance (Efraimidis & Spirakis 2006).
"""

from __future__ import annotations

import hashlib

_SPAN = 2**64


def slot_and_rank(trace_id: str, span_id: str, part: str, weight: float, slots: int) -> tuple[int, int]:
    """The slot, below `slots`, and the rank, below 2⁶⁴, of a text that stands for `weight` texts."""
    digest = hashlib.blake2b(f"{trace_id}/{span_id}/{part}".encode(), digest_size=16).digest()
    slot, drawn = int.from_bytes(digest[:8], "big") % slots, int.from_bytes(digest[8:], "big")
    if weight == 1.0:
        return slot, drawn
    raised = ((drawn + 0.5) / _SPAN) ** (1 / max(weight, 1e-6))
    return slot, min(_SPAN - 1, int(raised * _SPAN))
