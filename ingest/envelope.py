"""The canonical record: an envelope of server fields around one OTLP request (schemas/envelope.proto).

The envelope is framed by hand so that the request's bytes are embedded as they are, never parsed again. Server fields
stand before the request, so that the head can be read without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import cramjam

from ingest.wire import BYTES, VARINT, field, number, varint
from ingest.wire import head as wire_head

_PROJECT, _RECEIVED_AT, _REQUEST, _SPANS, _HASH, _REQUEST_ZSTD, _REQUEST_BYTES = 1, 2, 3, 4, 5, 6, 7
_HASH_BYTES = 16
_LATEST_NS = 2**62  # the year 2116; dates of the store and of Python go further
_LOG_PARTITION, _LOG_OFFSET, _ENVELOPE = 1, 2, 3
_ROWS = 1
_ZSTD_LEVEL = 1
_LEAST_PACKED_BYTES = 64 * 1024
"""Smaller requests are compressed better together, by Kafka."""
_MOST_PACKED_BYTES = 64 * 1024 * 1024
"""What a frame may unpack to: no more than a batch may hold."""


class MalformedEnvelopeError(ValueError):
    """The bytes are not an envelope of this version."""


@dataclass(frozen=True)
class Envelope:
    """One request of one project as it was received.

    Attributes:
        project: from the API key, never from the request.
        received_at_ns: nanoseconds since the epoch, frozen at receipt.
        span_count: spans in `request`.
        request: a serialised ExportTraceServiceRequest whose values are scalars.
        body_hash: 16 bytes that are equal for an identical retry of the same project; computed once, by the receiver.
        packed_bytes: where `request` is a zstd frame, how many bytes it unpacks to; else 0.
    """

    project: str
    received_at_ns: int
    span_count: int
    request: bytes
    body_hash: bytes = b""
    packed_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.body_hash:
            digest = hashlib.sha256(self.project.encode() + b"\0")
            digest.update(self.request)
            object.__setattr__(self, "body_hash", digest.digest()[:_HASH_BYTES])

    @property
    def received_at(self) -> datetime:
        """Arrival, to the microsecond."""
        return datetime.fromtimestamp(self.received_at_ns / 1e9, UTC)

    @property
    def request_bytes(self) -> int:
        """Bytes of the request, unpacked."""
        return self.packed_bytes or len(self.request)

    def packed(self) -> Envelope:
        """The same with its request as a zstd frame, unless it is small.

        Whoever passes the record on, a broker that checks it and a writer that gathers a batch, has a third of the bytes
        then and need not unpack them.
        """
        if self.packed_bytes or not _LEAST_PACKED_BYTES <= len(self.request) <= _MOST_PACKED_BYTES:
            return self
        frame = bytes(cramjam.zstd.compress(self.request, level=_ZSTD_LEVEL))
        return replace(self, request=frame, packed_bytes=len(self.request))

    def unpacked(self) -> Envelope:
        """The same with its request as it was.

        Raises:
            MalformedEnvelopeError: it is not a zstd frame of so many bytes.
        """
        if not self.packed_bytes:
            return self
        request = bytearray(self.packed_bytes)
        try:
            found = cramjam.zstd.decompress_into(self.request, request)
        except cramjam.DecompressionError as error:
            raise MalformedEnvelopeError(f"the request does not unpack to {len(request)} bytes: {error}") from error
        if found != len(request):
            raise MalformedEnvelopeError(f"the request unpacks to {found} bytes instead of {len(request)}")
        return replace(self, request=bytes(request), packed_bytes=0)

    def encode(self) -> bytes:
        """The bytes that the trace log keeps."""
        return self.head() + self.request

    def head(self) -> bytes:
        """Everything before the request's bytes."""
        fields = (
            field(_PROJECT, self.project.encode()),
            number(_RECEIVED_AT, self.received_at_ns),
            number(_SPANS, self.span_count),
            field(_HASH, self.body_hash),
            number(_REQUEST_BYTES, self.packed_bytes) if self.packed_bytes else b"",
        )
        return b"".join((*fields, wire_head(_REQUEST_ZSTD if self.packed_bytes else _REQUEST, len(self.request))))

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """Read what `encode` wrote.

        Raises:
            MalformedEnvelopeError: for anything else.
        """
        fields = dict(_fields(data))
        try:
            packed = fields.get(_REQUEST_BYTES, 0)
            of_request = _REQUEST_ZSTD if packed else _REQUEST
            project, received, spans, digest, request = (fields[n] for n in (_PROJECT, _RECEIVED_AT, _SPANS, _HASH, of_request))
        except KeyError as error:
            raise MalformedEnvelopeError(f"the envelope has no field {error}") from error
        if not (isinstance(project, bytes) and isinstance(request, bytes) and isinstance(digest, bytes)):
            raise MalformedEnvelopeError("a field of the envelope has the wrong type")
        if isinstance(received, bytes) or isinstance(spans, bytes) or isinstance(packed, bytes):
            raise MalformedEnvelopeError("a field of the envelope has the wrong type")
        if len(digest) != _HASH_BYTES:
            raise MalformedEnvelopeError(f"the hash of the body has {len(digest)} bytes instead of {_HASH_BYTES}")
        if not 0 < received < _LATEST_NS or spans >= 2**32 or packed > _MOST_PACKED_BYTES:
            raise MalformedEnvelopeError("a number of the envelope is out of range")
        return cls(project.decode(), received, spans, request, digest, packed)


LogRecord = tuple[int, int, Envelope]
"""(log partition, log offset, envelope)"""


def frame_records(records: Iterable[LogRecord]) -> bytes:
    """Length-delimited Records for ClickHouse's Protobuf format, their requests unpacked.

    Raises:
        MalformedEnvelopeError: a request cannot be unpacked.
    """
    return b"".join(_frames(records, b""))


def pieces(records: Iterable[LogRecord], max_bytes: int) -> Iterator[list[LogRecord]]:
    """The records in order, as many at a time as fit into `max_bytes` unpacked, at least one."""
    piece: list[LogRecord] = []
    size = 0
    for record in records:
        length = record[2].request_bytes
        if piece and size + length > max_bytes:
            yield piece
            piece, size = [], 0
        piece.append(record)
        size += length
    if piece:
        yield piece


def frame_batch(records: Iterable[LogRecord]) -> bytes:
    """One length-delimited Batch, its requests unpacked.

    Raises:
        MalformedEnvelopeError: a request cannot be unpacked.
    """
    frames = _frames(records, varint(_ROWS << 3 | BYTES))
    return b"".join((varint(sum(map(len, frames))), *frames))


def _frames(records: Iterable[LogRecord], tag: bytes) -> list[bytes]:
    """The parts of Records, each behind `tag` and its length."""
    frames: list[bytes] = []
    for partition, offset, stored in records:
        envelope = stored.unpacked()
        start = envelope.head()
        size = len(start) + len(envelope.request)
        record = number(_LOG_PARTITION, partition) + number(_LOG_OFFSET, offset) + wire_head(_ENVELOPE, size)
        frames += (tag + varint(len(record) + size), record, start, envelope.request)
    return frames


def spans_of(records: Iterable[LogRecord]) -> int:
    """How many spans the records hold."""
    return sum(envelope.span_count for _, _, envelope in records)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        value, position = _read_varint(data, position)
        if tag & 7 == VARINT:
            yield tag >> 3, value
        elif tag & 7 == BYTES and position + value <= len(data):
            yield tag >> 3, data[position : position + value]
            position += value
        else:
            raise MalformedEnvelopeError(f"unexpected bytes at {position}")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise MalformedEnvelopeError(f"the record ends inside a number at {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
