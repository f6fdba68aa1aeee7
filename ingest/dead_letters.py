"""Records that the store can never take: kept on a topic of their own with what is needed to look into them."""

from __future__ import annotations

import json
from collections import deque

from aiokafka import AIOKafkaProducer

WINDOW_RECORDS = 1_000
MAX_SHARE = 0.05
_MIN_RECORDS = 40


class TooManyBadRecordsError(Exception):
    """So much of the traffic cannot be stored that the fault is more likely ours: the writer halts, nothing is lost."""


class DeadLetters:
    """Puts bad records aside, as long as they are few."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._recent: deque[bool] = deque(maxlen=WINDOW_RECORDS)

    def stored(self, count: int) -> None:
        """Remember that `count` records were fine."""
        self._recent.extend([False] * min(count, WINDOW_RECORDS))

    async def put(self, value: bytes, source: str, partition: int, offset: int, error: str) -> None:
        """Keep one bad record of `source`; returns when it is durable.

        Raises:
            TooManyBadRecordsError: over 5 % of the recent records were bad.
        """
        self._recent.append(True)
        bad = sum(self._recent)
        if len(self._recent) >= _MIN_RECORDS and bad > MAX_SHARE * len(self._recent):
            raise TooManyBadRecordsError(
                f"{bad} of the last {len(self._recent)} records cannot be stored, the last one because: {error}. The writer "
                "stops and keeps its place: fix the cause, or upgrade, and start it again"
            )
        headers = {
            "error": error,
            "origin": json.dumps({"topic": source, "partition": partition, "offset": offset}),
            "replay": f"once the cause is fixed, produce this value to {source} again",
        }
        await self._producer.send_and_wait(self._topic, value, headers=[(key, text.encode()) for key, text in headers.items()])
