"""What is asked of the handbook search, judged by the real analyzers: what is planted can be found, and nothing else is."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from analyzers.contract import Context, Message, Score, SpanText
from analyzers.grounding.assessment import Verdict, assess, score_of
from analyzers.grounding.support import DEFAULT
from analyzers.quality.analyzer import judge_span
from demo.handbook_search import INSTRUCTIONS
from demo.inquiries import BEYOND_SHARE, DUTCH_SHARE, QUESTIONS, answer_to, kind_of
from demo.releases import HANDBOOK, content_of
from demo.retriever import Retriever, sections

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RETRIEVER = Retriever(sections(HANDBOOK.read_text()))


def answers() -> list[tuple[str, str]]:
    """Every pair of question and answer there is."""
    rng = random.Random(1)
    drawn = {(question, answer_to(question, rng)) for question in QUESTIONS for _ in range(200)}
    return sorted((question, answer) for question, answer in drawn if answer is not None)


def span(question: str, answer: str) -> SpanText:
    documents = "\n\n".join(hit.document.text for hit in RETRIEVER.find(question))
    return SpanText(
        project="default",
        trace_id="0" * 31 + "1",
        span_id="0" * 15 + "1",
        log_partition=0,
        log_offset=0,
        received_at=NOON,
        time=NOON,
        operation="chat",
        service="handbook-search",
        environment="",
        provider="openai",
        model="gpt-4o-mini",
        target="",
        release="",
        user="",
        conversation="",
        status="ok",
        error_type="",
        finish_reasons=("stop",),
        input=(Message("system", INSTRUCTIONS + documents), Message("user", question)),
        output=(Message("assistant", answer),),
    )


def grounding(question: str, answer: str) -> Score:
    context = Context(documents=tuple(hit.document.text for hit in RETRIEVER.find(question)))
    return score_of(assess(span(question, answer), context, 200_000), Verdict(DEFAULT, 0.5, "grounding@test"))


def test_every_kind_of_answer_is_given_in_its_share() -> None:
    rng = random.Random(2)
    kinds = Counter(kind_of(answer_to(rng.choice(QUESTIONS[:-2]), rng) or "") for _ in range(4_000))
    assert kinds["beyond"] / 4_000 == pytest.approx(BEYOND_SHARE, rel=0.1)
    assert kinds["dutch"] / 4_000 == pytest.approx(DUTCH_SHARE, rel=0.2)
    assert {kind_of(answer_to(question, rng) or "") for question in QUESTIONS[-2:]} == {"refused"}


def test_questions_of_others_are_not_its_business() -> None:
    assert answer_to("Where is my parcel?", random.Random(1)) is None


@pytest.mark.parametrize(("question", "answer"), answers())
def test_what_is_planted_can_be_found(question: str, answer: str) -> None:
    kind = kind_of(answer)
    score = grounding(question, answer)
    assert score.flagged is {"faithful": False, "beyond": True}.get(kind)
    flagged = {name for name, _, verdict in judge_span(span(question, answer)) if verdict.flagged}
    assert flagged == {"refused": {"refusal"}, "dutch": {"language_mismatch"}}.get(kind, set())


def test_the_support_assistant_answers_without_documents() -> None:
    asked = span("Where is my parcel?", "It is on its way.")
    instructions = Message("system", content_of("v1")["prompt"])
    bare = score_of(
        assess(SpanText(**{**vars(asked), "input": (instructions, asked.input[1])}), Context(), 200_000),
        Verdict(DEFAULT, 0.5, "grounding@test"),
    )
    assert (bare.value, bare.reason) == (None, "no-context")
