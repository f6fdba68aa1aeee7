"""Which of the two scans a report tells of a stream."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from analyzers.report.drift import _stream
from storage.drift import LookRow

TIME = datetime(2026, 11, 20, tzinfo=UTC)
TEXT = {"trace_id": "ab" * 16, "span_id": "cd" * 8, "witness": 0.1, "nearest": None}
EVIDENCE = {
    "exemplars": [{**TEXT, "text": "Where is my card?"}],
    "novel": [{**TEXT, "text": "Write a poem about rain", "likeness": 0.2}],
}
LOOK = LookRow(
    project="p", time=TIME, part="prompt", scale="1d", slice_service="s", slice_target="t", slice_release="", slice_model="",
    embedder="e", verdict="drift", reason="", n=50, looked_at=TIME, effect=0.1, score=3.0, threshold=4.0, alarm=1,
    novelty=json.dumps({"score": 9.0, "threshold": 5.0, "decisive": True}), evidence=json.dumps(EVIDENCE),
)  # fmt: skip
QUIET = replace(LOOK, time=TIME - timedelta(days=1), verdict="no-drift", alarm=0, evidence="{}")


def test_a_drift_found_by_novelty_is_told_with_its_scores_and_texts() -> None:
    silent = replace(QUIET, time=TIME - timedelta(days=2), novelty="{}")
    told = _stream([LOOK, QUIET, silent], {})
    assert (told.scan, told.score, told.threshold) == ("novelty", 9.0, 5.0)
    assert [point.score for point in told.looks] == [None, 9.0, 9.0]
    assert [exemplar.text for exemplar in told.exemplars] == ["Write a poem about rain"]


def test_one_found_by_the_means_is_told_with_theirs() -> None:
    means = replace(LOOK, score=8.0, novelty=json.dumps({"score": 6.0, "threshold": 5.0, "decisive": False}))
    told = _stream([means, QUIET], {})
    assert (told.scan, told.score, told.threshold) == ("means", 8.0, 4.0)
    assert [exemplar.text for exemplar in told.exemplars] == ["Where is my card?"]
