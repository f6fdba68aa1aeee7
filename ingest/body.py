"""Reading the body of a request within bounds, wire and expanded size alike."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from ingest.admission import Reservation

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 1024 * 1024


class BodyTooLargeError(Exception):
    """The body passes a cap; the message names it."""


class BodyEncodingError(Exception):
    """The body is not what its Content-Encoding says."""


async def read_body(
    chunks: AsyncIterator[bytes], *, gzip: bool, max_wire: int, max_expanded: int, reservation: Reservation
) -> bytes:
    """The expanded body; memory is reserved as it grows, so a decompression bomb stops at the cap.

    Raises:
        BodyTooLargeError, BodyEncodingError, OverloadedError
    """
    parts: list[bytes] = []
    expander = _Gunzip(max_expanded) if gzip else None
    wire = expanded = 0
    async for chunk in chunks:
        wire += len(chunk)
        if wire > max_wire:
            raise BodyTooLargeError(f"the body has over {max_wire} bytes (ingest.max_body_bytes): send smaller batches")
        for part in expander.feed(chunk) if expander else (chunk,):
            expanded += len(part)
            if expanded > max_expanded:
                raise BodyTooLargeError(
                    f"the body expands to over {max_expanded} bytes (ingest.max_expanded_bytes): send smaller batches"
                )
            reservation.grow(len(part))
            parts.append(part)
    if expander:
        expander.finish()
    return b"".join(parts)


class _Gunzip:
    """Expands a gzip stream of one or more members, a bounded piece at a time."""

    def __init__(self, max_expanded: int) -> None:
        self._step = min(_STEP, max_expanded + 1)
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` expands to, a piece at a time, so that the reader can stop at its cap."""
        try:
            while data:
                if self._member.eof:
                    self._member = zlib.decompressobj(_GZIP)
                self._begun = True
                yield self._member.decompress(data, self._step)
                data = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error as error:
            raise BodyEncodingError(f"the body is not gzip ({error}): check Content-Encoding") from error

    def finish(self) -> None:
        """Refuse a stream that ended in the middle."""
        if self._begun and not self._member.eof:
            raise BodyEncodingError("the gzip body ends in the middle: send it again whole")
