"""What the writer decides about a range, on its own."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.envelope import Envelope, LogRecord
from ingest.kafka_batch import (
    REPEAT_WINDOW,
    Fetched,
    Intent,
    cut,
    deduplication_token,
    first_of_each,
    next_range,
    parse_intent,
    watermark,
)

RECEIVED_NS = 1_767_225_600 * 10**9


def envelope(body: int, spans: int = 1) -> Envelope:
    return Envelope("default", RECEIVED_NS + body, spans, b"%d" % body)


def record(offset: int, body: int) -> LogRecord:
    return (0, offset, envelope(body))


def fetched(*offsets: int, spans: int = 1) -> list[Fetched]:
    return [Fetched(offset, b"x", envelope(offset, spans)) for offset in offsets]


def offsets(batch: list[Fetched]) -> list[int]:
    return [one.offset for one in batch]


@given(st.integers(0, 2**63), st.integers(0, 2**31))
def test_an_intent_comes_back_from_its_metadata(last: int, count: int) -> None:
    assert parse_intent(Intent(last, count).metadata) == Intent(last, count)


@pytest.mark.parametrize("metadata", ["", "B:", "B:1", "B:-1:2", "B:1:2:3", "xB:1:2", "B:1:2\n", "{}"])
def test_other_metadata_is_no_intent(metadata: str) -> None:
    assert parse_intent(metadata) is None


@given(st.binary(max_size=200))
def test_whatever_stands_in_the_topic_can_be_read(value: bytes) -> None:
    found = Fetched.read(7, value)
    assert (found.offset, found.value) == (7, value)
    if found.envelope is not None:
        assert found.envelope.received_at.year >= 1970


@given(st.binary(min_size=1, max_size=20), st.data())
def test_a_damaged_envelope_can_be_read_too(extra: bytes, data: st.DataObject) -> None:
    whole = bytearray(envelope(1).encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at : at + len(extra)] = extra
    found = Fetched.read(7, bytes(whole))
    assert found.envelope is None or found.envelope.received_at.year < 2117


@pytest.mark.parametrize("received_ns", [0, 2**62, 2**64 - 1])
def test_a_time_that_no_clock_has_shown_is_malformed(received_ns: int) -> None:
    assert Fetched.read(0, replace(envelope(1), received_at_ns=received_ns).encode()).envelope is None


def test_a_tombstone_is_malformed() -> None:
    assert Fetched.read(3, None) == Fetched(3, b"", None)


def test_of_equal_bodies_in_a_range_the_first_is_kept() -> None:
    found = first_of_each([record(5, 1), record(6, 2), record(7, 1)], {})
    assert [offset for _, offset, _ in found] == [5, 6]


@pytest.mark.parametrize(
    ("stored_at", "kept"),
    [(99, False), (100 - 1, False), (100, True), (101, True), (500, True)],
)
def test_only_what_was_stored_below_the_range_counts(stored_at: int, kept: bool) -> None:
    found = first_of_each([record(100, 1)], {envelope(1).body_hash: stored_at})
    assert bool(found) == kept


def test_what_was_stored_before_the_window_does_not_count() -> None:
    first = REPEAT_WINDOW + 100
    for stored_at, kept in ((100, False), (99, True)):
        assert bool(first_of_each([record(first, 1)], {envelope(1).body_hash: stored_at})) == kept


def test_an_empty_range_stays_empty() -> None:
    assert first_of_each([], {}) == []


bodies = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@given(bodies, st.lists(st.integers(1, 8), min_size=60, max_size=60), st.randoms())
def test_a_replay_decides_the_same_whatever_was_stored_since(log: list[int], cuts: list[int], chance: random.Random) -> None:
    """A writer that never stopped remembers; one that starts anew reads the store, which may hold the range already."""
    remembered: dict[bytes, int] = {}
    store: dict[bytes, int] = {}
    position = 0
    for size in cuts:
        batch = [record(offset, body) for offset, body in enumerate(log)][position : position + size]
        if not batch:
            break
        first_try = first_of_each(batch, remembered)
        if chance.random() < 0.5:  # it was stored before the writer died
            store |= {one.body_hash: offset for _, offset, one in first_try}
        known = {key: offset for key, offset in store.items() if offset < batch[0][1]}
        replayed = first_of_each(batch, known)
        assert replayed == first_try
        store |= {one.body_hash: offset for _, offset, one in replayed}
        remembered = dict(store)
        position += size
    done = log[:position]
    assert len(store) == len(set(done))


def test_the_token_is_of_the_topic_the_place_and_the_content() -> None:
    records = [record(5, 1), record(6, 2)]
    token = deduplication_token("traces", records)
    assert token == deduplication_token("traces", list(records))
    assert token.startswith("traces:0:5-6:")
    others = [
        deduplication_token("other", records),
        deduplication_token("traces", records[:1]),
        deduplication_token("traces", [record(5, 1), record(6, 3)]),
        deduplication_token("traces", [(1, offset, one) for _, offset, one in records]),
        deduplication_token("traces", [(0, offset, replace(one, received_at_ns=1)) for _, offset, one in records]),
    ]
    assert token not in others
    assert len(set(others)) == len(others)


def test_a_record_takes_what_it_has_unpacked() -> None:
    packed = replace(envelope(1), request=bytes(100_000)).packed()
    found = Fetched.read(0, packed.encode())
    assert len(found.value) < 1_000
    assert found.size == 100_000
    assert Fetched.read(0, b"no envelope").size == 11


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=30))
def test_a_batch_is_as_long_as_its_bounds_allow_and_never_empty(records: list[tuple[int, int]]) -> None:
    batch = [Fetched(n, b"", replace(envelope(n, spans), request=b"x" * size)) for n, (spans, size) in enumerate(records)]
    count = cut(batch, 100, 100)
    assert 1 <= count <= len(batch)

    def fits(first: int) -> bool:
        return sum(spans for spans, _ in records[:first]) <= 100 and sum(size for _, size in records[:first]) <= 100

    assert count == 1 or fits(count)
    assert count == len(batch) or not fits(count + 1)


def test_a_range_without_intent_is_a_batch() -> None:
    assert offsets(next_range(fetched(4, 5, 6, spans=10), None, 20, 1000)) == [4, 5]
    assert next_range([], None, 20, 1000) == []


def test_a_replay_waits_for_its_whole_range_and_takes_no_more() -> None:
    intent = Intent(6, 3)
    assert next_range([], intent, 20, 1000) == []
    assert next_range(fetched(4, 5), intent, 20, 1000) == []
    assert offsets(next_range(fetched(4, 5, 6, 7), intent, 1, 1)) == [4, 5, 6]
    assert offsets(next_range(fetched(4, 5, 7), intent, 1, 1)) == [4, 5]


def test_a_replay_of_records_that_kafka_no_longer_has_holds_nothing_up() -> None:
    assert offsets(next_range(fetched(9, 10), Intent(6, 3), 20, 1000)) == [9, 10]


NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("stored", "end", "asked_at", "newest", "expected"),
    [
        (7, 7, NOW, EARLIER, NOW),  # idle: everything there was when Kafka last answered
        (7, 7, EARLIER, EARLIER, EARLIER),  # Kafka has not answered since
        (6, 7, NOW, EARLIER, EARLIER),  # behind
        (6, 7, NOW, None, None),  # behind, and nothing stored by this writer yet: it says nothing
        (None, 0, NOW, None, NOW),  # an empty partition
        (None, 3, NOW, None, None),
        (7, None, None, None, None),  # not asked yet
        (7, None, None, EARLIER, EARLIER),
    ],
)
def test_the_watermark_is_never_newer_than_what_is_known_to_be_stored(
    stored: int | None, end: int | None, asked_at: datetime | None, newest: datetime | None, expected: datetime | None
) -> None:
    assert watermark(stored, end, asked_at, newest) == expected
