"""Protobuf's wire format written by hand: what is bytes already is embedded as it is, never copied into a message."""

from __future__ import annotations

from collections.abc import Sequence

VARINT, BYTES = 0, 2


def varint(value: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3 | VARINT) + varint(value)


def head(field: int, size: int) -> bytes:
    """What stands before a field of `size` bytes."""
    return varint(field << 3 | BYTES) + varint(size)


def field(number_: int, value: bytes) -> bytes:
    """A field that is bytes, text or a message."""
    return head(number_, len(value)) + value


def message(number_: int, parts: Sequence[bytes]) -> list[bytes]:
    """A field whose message is `parts` one after the other, as parts of the message around it."""
    return [head(number_, sum(map(len, parts))), *parts]
