"""The quality analyzer: every check on every span in which a model answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from analyzers.contract import Batch, Findings, Part, Score, SpanText
from analyzers.quality.emptiness import find_empty
from analyzers.quality.injection import find_injection
from analyzers.quality.language import find_language, find_mismatch
from analyzers.quality.readability import reading_ease
from analyzers.quality.refusal import find_refusal
from analyzers.quality.repetition import find_repetition
from analyzers.quality.throughput import tokens_per_second
from analyzers.quality.truncation import find_truncation, finish_reason
from analyzers.quality.verdict import Verdict, abstained

if TYPE_CHECKING:
    from analyzers.resources import Resources

Named = tuple[str, Part, Verdict]


SPANS_AT_ONCE = 50
"""So that what other analyzers ask comes between."""


class QualityAnalyzer:
    """Checks without models."""

    name = "quality"
    version = "1"
    # The whole span: a blank answer is a finding too.
    parts: tuple[Part, ...] = ("",)

    def __init__(self, texts: Executor) -> None:
        self._texts = texts

    async def analyze(self, batch: Batch) -> Findings:
        """Scores of every span of the batch in which a model answered; the same batch gives the same scores."""
        answered = [span for span in batch.spans if span.generates]
        scores: list[Score] = []
        for start in range(0, len(answered), SPANS_AT_ONCE):
            spans = answered[start : start + SPANS_AT_ONCE]
            judged = await asyncio.get_running_loop().run_in_executor(self._texts, judge_spans, spans)
            scores += [_score(span, *each) for span, its in zip(spans, judged, strict=True) for each in its]
        return Findings(tuple(scores))


def create(resources: Resources) -> QualityAnalyzer:
    """The analyzer."""
    return QualityAnalyzer(resources.texts)


def judge_spans(spans: Sequence[SpanText]) -> list[list[Named]]:
    """Every check on each span."""
    return [list(judge_span(span)) for span in spans]


def judge_span(span: SpanText) -> Iterator[Named]:
    """Every check on one span."""
    reasons = tuple(finish_reason(reason) for reason in span.finish_reasons)
    yield from _of_answer(span, reasons)
    yield from _of_languages(span)
    yield "injection", "prompt", find_injection(span.input)
    yield "tokens_per_second", "", tokens_per_second(span.output_tokens, span.duration_ms, span.time_to_first_token_ms)


def _of_answer(span: SpanText, reasons: Sequence[str]) -> Iterator[Named]:
    answer, failed = span.completion, span.status == "error"
    recorded = any(message.role == "assistant" for message in span.output)
    empty = find_empty(answer, recorded=recorded, output_tokens=span.output_tokens, finish_reasons=reasons, failed=failed)
    yield "empty", "completion", empty
    yield "refusal", "completion", find_refusal(answer, reasons)
    yield "truncated", "completion", find_truncation(answer, reasons)
    yield "repeated", "completion", find_repetition(answer)


def _of_languages(span: SpanText) -> Iterator[Named]:
    asked, answered = find_language(span.prompt), find_language(span.completion)
    instructions = "\n".join(message.text[:4_000] for message in span.input if message.role == "system")
    yield "language", "prompt", asked
    yield "language", "completion", answered
    yield "language_mismatch", "completion", find_mismatch(span.prompt, asked, span.completion, answered, instructions)
    yield "readability", "prompt", reading_ease(span.prompt, asked) if span.prompt else abstained("no-prompt")


def _score(span: SpanText, name: str, part: Part, verdict: Verdict) -> Score:
    return Score(
        span=span,
        name=name,
        part=part,
        value=verdict.value,
        flagged=verdict.flagged,
        label=verdict.label,
        reason=verdict.reason,
        explanation=verdict.explanation,
        evidence=verdict.evidence,
    )
