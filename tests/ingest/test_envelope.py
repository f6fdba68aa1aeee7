"""The envelope: what survives the log, what is none, and requests that travel packed."""

from __future__ import annotations

import random
from dataclasses import replace

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.envelope import Envelope, MalformedEnvelopeError, frame_batch, frame_records, pieces


@given(st.text(max_size=50), st.integers(1, 2**62 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_an_envelope_survives_the_log(project: str, received_at_ns: int, spans: int, request: bytes) -> None:
    envelope = Envelope(project, received_at_ns, spans, request)
    assert Envelope.decode(envelope.encode()) == envelope


@given(st.binary(max_size=200))
def test_what_is_no_envelope_is_said_to_be_none(data: bytes) -> None:
    try:
        Envelope.decode(data)
    except (MalformedEnvelopeError, UnicodeDecodeError):
        return
    assert data


@pytest.mark.parametrize(("received_at_ns", "spans"), [(0, 1), (2**63, 1), (1, 2**32)])
def test_an_envelope_with_absurd_numbers_is_none(received_at_ns: int, spans: int) -> None:
    with pytest.raises(MalformedEnvelopeError, match="out of range"):
        Envelope.decode(Envelope("p", received_at_ns, spans, b"").encode())


def test_an_envelope_whose_hash_has_another_length_is_none() -> None:
    with pytest.raises(MalformedEnvelopeError, match="15 bytes instead of 16"):
        Envelope.decode(Envelope("p", 1, 1, b"", body_hash=bytes(15)).encode())


def test_the_hash_travels_with_the_record_and_tells_projects_apart() -> None:
    envelope = Envelope("p", 1, 1, b"abc")
    assert len(envelope.body_hash) == 16
    assert Envelope("p", 2, 1, b"abc").body_hash == envelope.body_hash != Envelope("q", 1, 1, b"abc").body_hash
    given = Envelope("p", 1, 1, b"abc", body_hash=bytes(range(16)))
    assert Envelope.decode(given.encode()).body_hash == bytes(range(16))


def test_frames_are_length_delimited() -> None:
    envelope = Envelope("p", 1, 1, b"abc")
    one = frame_records([(1, 2, envelope)])
    assert one[0] == len(one) - 1
    assert frame_records([(1, 2, envelope), (1, 2, envelope)]) == one * 2


def large(size: int = 100_000) -> Envelope:
    text = random.Random(size)
    return Envelope("p", 1, 7, bytes(text.choices(b"abcdefgh", k=size)))


def test_a_packed_request_is_smaller_in_the_log_and_the_same_behind_it() -> None:
    envelope = large()
    packed = envelope.packed()
    assert len(packed.encode()) < len(envelope.encode()) / 2
    assert packed.packed() is packed
    assert packed.request_bytes == envelope.request_bytes == len(envelope.request)
    found = Envelope.decode(packed.encode())
    assert found == packed
    assert found.body_hash == envelope.body_hash
    assert found.unpacked() == envelope
    assert envelope.unpacked() is envelope


@pytest.mark.parametrize("size", [0, 64 * 1024 - 1, 64 * 1024 * 1024 + 1])
def test_a_request_that_is_small_or_no_batch_could_hold_is_left_as_it_is(size: int) -> None:
    envelope = Envelope("p", 1, 1, bytes(size), body_hash=bytes(16))
    assert envelope.packed() is envelope


def test_the_store_meets_packed_requests_as_they_were() -> None:
    plain = [(0, 1, large()), (0, 2, Envelope("p", 1, 1, b"abc"))]
    packed = [(partition, offset, envelope.packed()) for partition, offset, envelope in plain]
    assert frame_records(packed) == frame_records(plain)
    assert frame_batch(packed) == frame_batch(plain)


def test_a_piece_is_as_large_as_its_requests_are_unpacked() -> None:
    records = [(0, offset, large().packed()) for offset in range(5)]
    assert [len(piece) for piece in pieces(records, 250_000)] == [2, 2, 1]


FRAME = bytes(cramjam.zstd.compress(bytes(1_000)))


@pytest.mark.parametrize(
    ("request_", "size"),
    [(b"not a frame", 11), (FRAME[:-3], 1_000), (FRAME, 999), (FRAME, 1_001), (b"", 5)],
    ids=["garbage", "cut short", "more than it says", "less than it says", "empty"],
)
def test_a_frame_that_is_not_what_it_says_is_told(request_: bytes, size: int) -> None:
    found = Envelope.decode(replace(large(), request=request_, packed_bytes=size).encode())
    with pytest.raises(MalformedEnvelopeError, match="the request"):
        found.unpacked()


def test_a_frame_that_would_fill_the_memory_is_not_unpacked() -> None:
    with pytest.raises(MalformedEnvelopeError, match="out of range"):
        Envelope.decode(replace(large(), request=FRAME, packed_bytes=2**26 + 1).encode())
