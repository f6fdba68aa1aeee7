"""Evaluations that applications make themselves: `gen_ai.evaluation.result` events of spans become scores.

Read by offset, as analyzers read, but all of them: nothing is computed, so there is no budget and no sample. A score is keyed
by span, event, name and scorer, so that reading a stretch twice, or a span that was sent twice, changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog

from analyzers.records import NOT_A_NUMBER
from analyzers.runner import LONG_AGO, LONGEST_PAUSE_S, Committed
from analyzers.seats import Seats
from schemas.instruments import Instruments
from schemas.score_metrics import EVALUATIONS
from storage.analysis import Cursor, LeaseLostError, Seat, read_cursor, write_held_cursor
from storage.clickhouse import ClickHouseStore, StoreError
from storage.control import ControlDatabase, ControlError
from storage.evaluations import read_evaluated, read_newest, read_trace_spans
from storage.scores import ScoreRow, insert_scores
from storage.span_texts import Stretch

STRETCH_SPANS = 2_000
UNNAMED = "unnamed"

VERDICTS: Mapping[str, bool] = {
    **dict.fromkeys(("pass", "passed", "correct", "relevant"), False),
    **dict.fromkeys(("fail", "failed", "incorrect", "not_relevant", "irrelevant"), True),
}
"""Labels that are a verdict, and whether it is the bad one: the examples of OpenTelemetry's registry and their other forms."""

_NAME_CHARACTERS = 200
_EXPLANATION_CHARACTERS = 10_000
_LABELS = ("target", "release", "user_id", "conversation_id")
_KEPT = ("service", "environment", "operation", "provider", "model", "log_offset", "time")

_log = structlog.get_logger("analysis")


class EvaluationCollector:
    """Goes over the log with a cursor of its own; `run` returns when `stop` is set and what it was doing is done."""

    def __init__(
        self,
        store: ClickHouseStore,
        control: ControlDatabase,
        seats: Seats,
        *,
        committed: Committed,
        poll_s: float,
        clock: Callable[[], datetime],
        instruments: Instruments,
    ) -> None:
        self._store = store
        self._control = control
        self._seats = seats
        self._committed = committed
        self._poll_s = poll_s
        self._clock = clock
        self._instruments = instruments

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until `stop`."""
        try:
            while not stop.is_set():
                pause_s = await self.round(stop)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            await self._seats.leave(EVALUATIONS)

    async def round(self, stop: asyncio.Event) -> float:
        """One stretch of every partition that is ours; how long to wait before the next round."""
        pause_s = self._poll_s
        committed = await self._committed()
        self._instruments.analyzer_behind.labels(EVALUATIONS).set(0)
        async for seat, lease in self._seats.take(EVALUATIONS, sorted(committed)):
            if stop.is_set():
                break
            try:
                pause_s = min(pause_s, await self._advance(seat, lease, committed[seat.partition]))
            except LeaseLostError:
                _log.info("seat_lost", analyzer=EVALUATIONS, partition=seat.partition)
            except (StoreError, ControlError) as error:
                _log.error("stores_unreachable", analyzer=EVALUATIONS, error=str(error))
                return LONGEST_PAUSE_S / 10
        return pause_s

    async def _advance(self, seat: Seat, lease: tuple[str, int], end: int) -> float:
        """One stretch of one partition; how long to wait before the next."""
        cursor = await self._control.read(lambda connection: read_cursor(connection, seat))
        self._instruments.analyzer_behind.labels(EVALUATIONS).inc(max(0, end - cursor.next_offset))
        if cursor.next_offset >= end:
            return self._poll_s
        stretch = Stretch(seat.partition, cursor.next_offset, end, cursor.seen_at or LONG_AGO)
        async with self._seats.kept(seat, lease):
            rows = await read_evaluated(self._store, stretch, STRETCH_SPANS)
            traces = await read_trace_spans(self._store, rows)
            await insert_scores(self._store, scores_of(rows, traces, seat.partition, self._clock()))
            newest = await read_newest(self._store, stretch)
        self._instruments.analyzer_spans.labels(EVALUATIONS, "looked_at").inc(len(rows))
        whole = len(rows) < STRETCH_SPANS
        reached = end if whole else rows[-1]["log_offset"] + 1
        seen_at = (newest if whole else rows[-1]["received_at"]) or cursor.seen_at
        now = self._clock()
        await self._control.write(lambda c: write_held_cursor(c, seat, Cursor(reached, None, seen_at), lease, now))
        return self._poll_s if reached >= end else 0.0


def scores_of(
    rows: Iterable[Mapping[str, Any]], traces: Iterable[Mapping[str, Any]], partition: int, now: datetime
) -> list[ScoreRow]:
    """The scores of evaluated spans (`storage.evaluations.read_evaluated`), given the spans of their traces.

    They are signed by the instrumentation scope that made the span, else by its service. What a span does not say of
    target, release, user and conversation, the first span of its trace that does.
    """
    inherited: dict[tuple[str, str], dict[str, Any]] = {}
    arrived: dict[tuple[str, str, str], datetime] = {}
    for span in traces:
        arrived[span["project"], span["trace"], span["span"]] = span["arrived"]
        known = inherited.setdefault((span["project"], span["trace"]), {})
        for name in _LABELS:
            if span[name]:
                known.setdefault(name, span[name])
    scores = []
    for row in rows:
        trace = inherited.get((row["project"], row["trace"]), {})
        labels = {name: row[name] or trace.get(name, "") for name in _LABELS}
        at = arrived.get((row["project"], row["trace"], row["span"]), row["received_at"])
        scores += [_score(row, labels, at, event, partition, now) for event in row["results"]]
    return scores


def _score(
    row: Mapping[str, Any], labels: Mapping[str, Any], arrived: datetime, event: Sequence[Any], partition: int, now: datetime
) -> ScoreRow:
    place, _, attributes = event
    return ScoreRow(
        project=row["project"],
        part="completion",
        scorer=row["scope"] or row["service"],
        source="evaluation",
        trace_id=bytes.fromhex(row["trace"]),
        span_id=bytes.fromhex(row["span"]),
        score_id=str(place),
        received_at=arrived,
        log_partition=partition,
        **{name: row[name] for name in _KEPT},
        **labels,
        **_said(attributes),
        weight=1.0,
        scored_at=now,
    )


def _said(attributes: Mapping[str, str]) -> dict[str, Any]:
    """What one event says, in the columns of a score. A verdict without a number is 1 where it is good, else 0."""
    label = attributes.get("gen_ai.evaluation.score.label", "")[:_NAME_CHARACTERS]
    verdict = VERDICTS.get(label.strip().lower().replace(" ", "_").replace("-", "_"))
    text, failure = attributes.get("gen_ai.evaluation.score.value", ""), attributes.get("error.type", "")
    value = _number(text)
    reason = failure[:_NAME_CHARACTERS] or (NOT_A_NUMBER if text and value is None else "")
    if value is None and not text and not failure and verdict is not None:
        value = float(not verdict)
    response = attributes.get("gen_ai.response.id", "")
    return {
        "name": attributes.get("gen_ai.evaluation.name", "")[:_NAME_CHARACTERS] or UNNAMED,
        "value": value,
        "flagged": None if verdict is None else int(verdict),
        "label": label,
        "reason": reason if value is None else "",
        "explanation": attributes.get("gen_ai.evaluation.explanation", "")[:_EXPLANATION_CHARACTERS],
        "evidence": orjson.dumps([{"response_id": response}]).decode() if response else "",
    }


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
