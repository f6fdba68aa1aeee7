"""What the writer does with a range of records of one partition, as pure decisions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ingest.envelope import Envelope, LogRecord, MalformedEnvelopeError

REPEAT_WINDOW = 50_000
"""How many offsets back an identical retry is recognised."""

_INTENT = re.compile(r"B:(\d+):(\d+)")


@dataclass(frozen=True)
class Intent:
    """A range that is being inserted: from the committed offset to `last`. It is repeated as a whole after a crash."""

    last: int
    count: int

    @property
    def metadata(self) -> str:
        """The text that is committed beside the offset of the first record."""
        return f"B:{self.last}:{self.count}"


def parse_intent(metadata: str) -> Intent | None:
    """The intent in the metadata of a committed offset; None where the last range was finished."""
    found = _INTENT.fullmatch(metadata)
    return Intent(int(found[1]), int(found[2])) if found else None


def first_of_each(records: Iterable[LogRecord], known: Mapping[bytes, int]) -> list[LogRecord]:
    """The records whose body is not in the store yet, each body once.

    `known` has the offset at which a body was stored. Only offsets below the range's first, and within the window, count:
    so a replay of the range decides the same whatever was stored since.
    """
    ordered = list(records)
    if not ordered:
        return []
    first = ordered[0][1]
    kept: dict[bytes, LogRecord] = {}
    for record in ordered:
        key = record[2].body_hash
        stored_at = known.get(key)
        if stored_at is None or not first - REPEAT_WINDOW <= stored_at < first:
            kept.setdefault(key, record)
    return list(kept.values())


def deduplication_token(topic: str, records: Sequence[LogRecord]) -> str:
    """One token for one range of one topic's incarnation.

    A topic that is deleted and made anew starts its offsets again, and the same token with other data would be dropped
    without a word. So the token covers what is in the range: the same only for the same records.
    """
    digest = hashlib.sha256()
    for _, offset, envelope in records:
        digest.update(f"{offset}:{envelope.received_at_ns}:".encode() + envelope.body_hash)
    partition, first, _ = records[0]
    return f"{topic}:{partition}:{first}-{records[-1][1]}:{digest.hexdigest()[:16]}"


def watermark(stored_up_to: int | None, end: int | None, asked_at: datetime | None, newest: datetime | None) -> datetime | None:
    """Up to when everything of a partition is stored; None when that is not known.

    `end` is where the partition ended at `asked_at`, when Kafka last answered: with everything stored it is that moment,
    for a Kafka that does not answer looks like a partition without news. Else it is as new as the newest record stored.
    """
    if end is not None and asked_at is not None and (stored_up_to or 0) >= end:
        return asked_at
    return newest


@dataclass(frozen=True)
class Fetched:
    """One record as Kafka gave it; `envelope` is None where it is not one of ours."""

    offset: int
    value: bytes
    envelope: Envelope | None

    @property
    def size(self) -> int:
        """Bytes of a batch that it takes."""
        return self.envelope.request_bytes if self.envelope else len(self.value)

    @classmethod
    def read(cls, offset: int, value: bytes | None) -> Fetched:
        """Decode a record; nothing that may stand in the topic raises."""
        try:
            return cls(offset, value or b"", Envelope.decode(value or b""))
        except (MalformedEnvelopeError, UnicodeDecodeError):
            return cls(offset, value or b"", None)


def cut(records: Sequence[Fetched], max_spans: int, max_bytes: int) -> int:
    """How many of the first records make one batch: at least one, within the bounds otherwise."""
    spans = size = 0
    for number, record in enumerate(records):
        spans += record.envelope.span_count if record.envelope else 0
        size += record.size
        if number and (spans > max_spans or size > max_bytes):
            return number
    return len(records)


def next_range(fetched: Sequence[Fetched], replay: Intent | None, max_spans: int, max_bytes: int) -> list[Fetched]:
    """The next range of a partition: the one of the intent exactly, once it is all there; else what fits a batch.

    Records of an intent that Kafka no longer keeps cannot be waited for.
    """
    if replay is not None and (not fetched or fetched[-1].offset < replay.last):
        return []
    repeated = [record for record in fetched if replay is not None and record.offset <= replay.last]
    return repeated or list(fetched[: cut(fetched, max_spans, max_bytes)])
