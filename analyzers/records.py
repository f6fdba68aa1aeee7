"""Between the rows of the stores and what analyzers see; pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from analyzers.contract import Analyzer, Context, Message, Part, Score, SpanText
from analyzers.sampling import Sample, Wanted
from storage.scores import CoverageRow, ScoreRow

NOT_A_NUMBER = "not-a-number"

_KEYS: Mapping[Part, str] = {
    "prompt": "prompt_key",
    "completion": "completion_key",
    "query": "query_key",
    "": "whole_key",
}

CoverageKey = tuple[str, datetime, datetime, str, str, str, str]


def wanted_of(head: Mapping[str, Any], parts: Iterable[Part]) -> Wanted | None:
    """One row of `storage.span_texts.read_heads`, where it has any of `parts`."""
    texts = tuple(key for part in parts if (key := head[_KEYS[part]]))
    if not texts:
        return None
    return Wanted(
        project=head["project"],
        trace_id=head["trace"],
        span_id=head["span"],
        received_at=head["received_at"],
        time=head["time"],
        service=head["service"],
        model=head["model"],
        target=head["target"],
        release=head["release"],
        texts=texts,
    )


def span_text(row: Mapping[str, Any], partition: int) -> SpanText:
    """One row of `storage.span_texts.read_texts`."""
    return SpanText(
        project=row["project"],
        trace_id=row["trace"],
        span_id=row["span"],
        log_partition=partition,
        log_offset=row["log_offset"],
        received_at=row["received_at"],
        time=row["time"],
        operation=row["operation"],
        service=row["service"],
        environment=row["environment"],
        provider=row["provider"],
        model=row["model"],
        target=row["target"],
        release=row["release"],
        user=row["user_id"],
        conversation=row["conversation_id"],
        status=row["status"],
        error_type=row["error_type"],
        finish_reasons=tuple(row["finish_reasons"]),
        input=_messages(row["input_messages"]),
        output=_messages(row["output_messages"]),
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        duration_ms=row["duration_ms"],
        time_to_first_token_ms=row["time_to_first_token_ms"],
    )


def contexts(spans: Iterable[Mapping[str, Any]], found: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], Context]:
    """For each span what retrievers and tools of its trace had started to find before the span itself started."""
    by_trace: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in found:
        by_trace.setdefault((row["project"], row["trace"]), []).append(row)
    return {
        (span["project"], span["trace"], span["span"]): _context(
            row for row in by_trace.get((span["project"], span["trace"]), ()) if row["started_at"] <= span["started_at"]
        )
        for span in spans
    }


def score_row(analyzer: Analyzer, score: Score, weight: float, now: datetime) -> ScoreRow:
    """One judgement as it is stored; a value that is not a number is stored as absent and says so."""
    span, sound = score.span, score.value is None or math.isfinite(score.value)
    return ScoreRow(
        project=span.project,
        name=score.name,
        part=score.part,
        scorer=score.scorer or scorer_of(analyzer),
        source="analyzer",
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        score_id="",
        time=span.time,
        received_at=span.received_at,
        log_partition=span.log_partition,
        log_offset=span.log_offset,
        service=span.service,
        environment=span.environment,
        operation=span.operation,
        provider=span.provider,
        model=span.model,
        target=span.target,
        release=span.release,
        user_id=span.user,
        conversation_id=span.conversation,
        value=score.value if sound else None,
        flagged=None if score.flagged is None or not sound else int(score.flagged),
        label=score.label,
        reason=score.reason if sound else NOT_A_NUMBER,
        explanation=score.explanation,
        evidence=orjson.dumps(list(score.evidence)).decode() if score.evidence else "",
        weight=weight,
        scored_at=now,
    )


def scorer_of(analyzer: Analyzer) -> str:
    """How an analyzer signs."""
    return f"{analyzer.name}@{analyzer.version}"


def coverage_rows(
    analyzer: Analyzer,
    wanted: Sequence[Wanted],
    looked_at: Sample,
    scores: Sequence[Score],
    *,
    partition: int,
    first_offset: int,
    failed: bool,
    now: datetime,
) -> list[CoverageRow]:
    """What was done with each slice and minute of a stretch."""
    counted = Counter(map(_coverage_key, wanted))
    seen = Counter(map(_coverage_key, looked_at.spans))
    abstained: dict[CoverageKey, Counter[str]] = {}
    for score in scores:
        if score.value is None or not math.isfinite(score.value):
            reason = NOT_A_NUMBER if score.value is not None else score.reason or "no-value"
            abstained.setdefault(_coverage_key(score.span), Counter())[f"{score.name}: {reason}"] += 1
    # Of a slice whose scores are signed by several, the first stands for them: a replay must give the same row.
    signed = {_coverage_key(score.span): score.scorer for score in reversed(scores) if score.scorer}
    return [
        CoverageRow(
            project=key[0],
            analyzer=analyzer.name,
            scorer=signed.get(key, scorer_of(analyzer)),
            log_partition=partition,
            first_offset=first_offset,
            time=key[1],
            received_at=key[2],
            service=key[3],
            model=key[4],
            target=key[5],
            release=key[6],
            wanted=count,
            looked_at=seen[key],
            failed=seen[key] if failed else 0,
            abstained=dict(abstained.get(key, {})),
            updated_at=now,
        )
        for key, count in counted.items()
    ]


def _coverage_key(span: SpanText | Wanted) -> CoverageKey:
    return span.project, _minute(span.time), _minute(span.received_at), span.service, span.model, span.target, span.release


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _messages(rows: Sequence[Any]) -> tuple[Message, ...]:
    pairs = ((row["role"], row["text"]) if isinstance(row, dict) else (row[0], row[1]) for row in rows)
    return tuple(Message(role, text) for role, text in pairs)


def _context(rows: Iterable[Mapping[str, Any]]) -> Context:
    documents: list[str] = []
    results: list[str] = []
    for row in rows:
        side = documents if row["operation"] == "retrieval" else results
        side.extend(message.text for message in _messages(row["output_messages"]) if message.text)
    return Context(tuple(documents), tuple(results))
