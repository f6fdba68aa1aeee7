"""Spans and contexts of the grounding tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from analyzers.contract import Context, Message, Score, SpanText
from analyzers.grounding.assessment import Verdict, assess, score_of
from analyzers.grounding.support import DEFAULT

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

HANDBOOK = (
    "Standard delivery takes three to five working days. "
    "Express delivery arrives on the next working day and costs 9.50 euros.",
    "Returns are free of charge within 30 days of delivery. The device is waterproof up to a depth of two metres. "
    "Repairs are carried out by Northwind Service in Hamburg. The warranty covers 1,000 charging cycles.",
)
VERDICT = Verdict(DEFAULT, 0.5, "grounding@2-lexical")


def span_of(answer: str, question: str = "What does the handbook say?", **more: Any) -> SpanText:
    """A chat span with one question and one answer."""
    given = {
        "project": "ours",
        "trace_id": "01" * 16,
        "span_id": "02" * 8,
        "log_partition": 0,
        "log_offset": 0,
        "received_at": NOW,
        "time": NOW,
        "operation": "chat",
        "service": "shop",
        "environment": "",
        "provider": "openai",
        "model": "m",
        "target": "",
        "release": "",
        "user": "",
        "conversation": "",
        "status": "ok",
        "error_type": "",
        "finish_reasons": ("stop",),
        "input": (Message("user", question),),
        "output": (Message("assistant", answer),) if answer else (),
    }
    return SpanText(**{**given, **more})


def scored(answer: str, *documents: str, question: str = "What does the handbook say?", max_chars: int = 200_000) -> Score:
    """The score of an answer against documents (none given: the handbook)."""
    context = Context(documents=documents or HANDBOOK)
    return score_of(assess(span_of(answer, question), context, max_chars), VERDICT)


def support(answer: str, *documents: str) -> float:
    """Its value, which must not be an abstention."""
    found = scored(answer, *documents)
    assert found.value is not None, found.reason
    return found.value
