"""Scores for tests."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.clickhouse import ClickHouseStore
from storage.scores import ScoreRow, insert_scores

# Within the retention, and whole hours.
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)

_numbers = itertools.count(1)


def score(minute: float = 0.0, **given: Any) -> ScoreRow:
    """A judgement of a completion's toxicity, of a trace of its own."""
    number = next(_numbers)
    at = START + timedelta(minutes=minute)
    row = ScoreRow(
        project="ours",
        name="toxicity",
        part="completion",
        scorer="screen@1",
        source="analyzer",
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        score_id="",
        time=at,
        received_at=at + timedelta(seconds=1),
        log_partition=0,
        log_offset=number,
        service="assistant",
        environment="",
        operation="chat",
        provider="openai",
        model="gpt-4o",
        target="bot",
        release="v2",
        user_id="",
        conversation_id="",
        value=0.1,
        flagged=0,
        label="",
        reason="",
        explanation="",
        evidence="[]",
        weight=1.0,
        scored_at=at + timedelta(seconds=2),
    )
    return replace(row, **given)


async def look(store: ClickHouseStore, minute: float, **given: Any) -> None:
    """One look at the drift of a stream."""
    row = {
        "project": "ours",
        "time": START + timedelta(minutes=minute),
        "part": "prompt",
        "scale": "1h",
        "slice_service": "assistant",
        "slice_target": "",
        "slice_release": "",
        "slice_model": "",
        "effect": 0.01,
        "score": 1.0,
        "alarm": 0,
        "looked_at": START + timedelta(minutes=minute + 1),
        **given,
    }
    await store.insert_rows("drift_looks", list(row), [list(row.values())])


__all__ = ["START", "ScoreRow", "insert_scores", "look", "score"]
