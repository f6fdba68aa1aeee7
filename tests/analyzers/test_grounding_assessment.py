"""When an answer is scored, where its context is, and what the score says when something was cut."""

from __future__ import annotations

import base64
import random
from dataclasses import replace

import orjson
import pytest

from analyzers.contract import Context, Message
from analyzers.grounding.assessment import MAX_EVIDENCE, Verdict, assess, score_of
from analyzers.grounding.features import SIGNALS
from analyzers.grounding.sources import blocks_of, sources_of
from analyzers.grounding.support import DEFAULT, allowed
from tests.analyzers.grounding_spans import HANDBOOK, scored, span_of

BLOB = base64.b64encode(random.Random(1).randbytes(4_000)).decode()
GERMAN = "Die Lieferung dauert drei bis fünf Werktage und ist für Sie kostenlos. Der Versand wird mit der Post gemacht."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "no-answer"),
        (" \n", "no-answer"),
        ('[tool call search] {"q": "returns"}', "no-claims"),
        ("I'm sorry, I don't have information about that.", "refusal"),
        ("The provided documents do not mention the colour.", "refusal"),
        ("Es tut mir leid, das weiß ich nicht.", "refusal"),
        ("Yes!", "no-claims"),
        ("How can I help you today?", "no-claims"),
        ("```python\nprint('free returns')\n```", "no-claims"),
        ('{"answer": "Returns are free."}', "not-text"),
        ("\x00\x01\x02\x03" * 50 + "abc", "not-text"),
        (BLOB, "not-text"),
        (GERMAN, "other-language"),
    ],
)
def test_what_cannot_be_scored_has_a_reason_and_no_value(answer: str, reason: str) -> None:
    found = scored(answer)
    assert (found.value, found.flagged, found.reason, found.scorer) == (None, None, reason, "grounding@2-lexical")


def test_a_context_that_says_next_to_nothing_supports_and_refutes_nothing() -> None:
    assert scored("Returns are free.", "ok").reason == "context-too-small"
    assert scored("Returns are free.", BLOB).reason == "context-too-small"


def test_without_a_context_there_is_no_score() -> None:
    assert assess(span_of("Returns are free."), Context(), 1_000).reason == "no-context"


def test_the_claims_of_a_partial_refusal_are_scored() -> None:
    found = scored("I'm sorry, I don't know the colour. Returns are free of charge within 30 days of delivery.")
    assert found.flagged is False
    assert len(found.evidence) == 1


def test_documents_come_before_tool_results_and_the_prompt_is_a_last_resort() -> None:
    prompt = (Message("system", "<context>From the prompt.</context>"), Message("user", "?"))
    span = span_of("x", input=prompt)
    both = Context(documents=("A document.", "A document."), tool_results=("A result.", " "))
    assert sources_of(span, both, 1_000).texts == ("A document.", "A result.")
    assert sources_of(span, both, 1_000).origins == ("retrieval", "tool")
    assert sources_of(span, Context(), 1_000).texts == ("From the prompt.",)
    messages = (Message("document", "By role."), Message("tool", "By tool."), *prompt)
    assert sources_of(span_of("x", input=messages), Context(), 1_000).origins == ("document", "tool")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("<documents><document id='1'>One.</document><document>Two.</document></documents> Q?", ["One.  Two."]),
        ("<source>A</source> and <SOURCE>B</SOURCE>", ["A", "B"]),
        ("Use this.\nContext: Cats purr.\nDogs bark.\n\nQuestion: What do cats do?", ["Cats purr.\nDogs bark."]),
        ("## Context\nCats purr.\n## Question\nWhat?", ["Cats purr."]),
        ("**Search results**\nCats purr.", ["Cats purr."]),
        ("Kontext: Katzen schnurren.\nFrage: Was?", ["Katzen schnurren."]),
        ("In this context: what is a cat?", []),
        ("Context is everything", []),
        ("<context>never closed", []),
        ("Please answer.", []),
    ],
)
def test_context_blocks_of_a_prompt(prompt: str, expected: list[str]) -> None:
    assert [block.strip() for block in blocks_of(prompt)] == expected


def test_a_million_open_tags_are_read_in_one_pass() -> None:
    assert blocks_of("<context>" * 110_000) == []
    assert blocks_of("Context:\n" * 110_000)


def test_a_cut_context_says_so() -> None:
    found = scored("Returns are free of charge within 30 days of delivery.", HANDBOOK[1] + " And more." * 200, max_chars=1_000)
    cut = 200 * 10 + len(HANDBOOK[1]) - 1_000
    assert f"the last {cut} characters of the context were not looked at" in found.explanation
    assert "not looked at" not in scored("Returns are free of charge within 30 days of delivery.").explanation


def test_long_answers_are_cut_and_keep_few_sentences_as_evidence() -> None:
    found = scored("Returns are free within 30 days. " * 32_000)
    assert "characters of the answer were not looked at" in found.explanation
    assert len(found.evidence) == MAX_EVIDENCE


FACTS = (
    "Standard delivery takes three to five working days. Express delivery costs 9.50 euros. Returns are free of charge."
    " The device is waterproof. Repairs are carried out in Hamburg. The warranty covers 1,000 charging cycles."
)
REWORDED = "Express parcels reach people the day after."


def test_a_long_answer_is_allowed_a_sentence_in_other_words() -> None:
    alone, among = scored(REWORDED), scored(f"{FACTS} {REWORDED}")
    assert alone.value == among.value
    assert alone.value is not None
    assert alone.value < 0.5
    assert (alone.flagged, among.flagged) == (True, False)
    assert "0 of 7 sentences below 0.50 allowing for their number" in among.explanation
    assert (among.evidence[0]["supported"], among.evidence[0]["sentences"]) == (True, 7)


def test_a_calibration_has_learned_the_length_and_allows_nothing() -> None:
    found = assess(span_of(f"{FACTS} {REWORDED}"), Context(documents=HANDBOOK), 200_000)
    calibrated = replace(DEFAULT, of_answers=True)
    assert score_of(found, Verdict(calibrated, 0.5, "grounding@2-lexical+cal_1")).flagged is True


@pytest.mark.parametrize(
    "made_up",
    [
        "Returns are free of charge within 60 days of delivery.",
        "Repairs are carried out by Elbe Electronics.",
        "The device is not waterproof.",
        "Every customer gets a personal shopping consultant and a yearly gift.",
    ],
)
def test_a_long_answer_is_not_allowed_what_is_made_up(made_up: str) -> None:
    assert scored(f"{FACTS} {made_up}").flagged is True


@pytest.mark.parametrize("sentences", [1, 2, 5, 40])
def test_the_allowance_keeps_the_odds_of_a_whole_answer(sentences: int) -> None:
    lacking, of_itself = [0.0] * len(SIGNALS), [float(name == "missing_numbers") for name in SIGNALS]
    assert allowed(0.5, lacking, sentences) ** sentences == pytest.approx(0.5)
    assert allowed(0.5, of_itself, sentences) == 0.5
    assert allowed(0.1, lacking, sentences) < allowed(0.2, lacking, sentences) < allowed(0.2, lacking, sentences + 1)


def test_a_megabyte_of_mixed_languages_is_scored_or_abstained_from() -> None:
    mixed = "Returns are free. Die Rückgabe ist kostenlos. 退货免费。 Возврат бесплатный. \u202eabc\ud83d "
    found = scored(mixed * 15_000)
    assert found.value is not None or found.reason


def test_what_is_shown_can_be_stored() -> None:
    found = scored("Returns \ud83d are made by Bob \ud800 within 99 days.", HANDBOOK[1] + " \udfff")
    assert found.evidence
    assert orjson.dumps(list(found.evidence))
    assert found.explanation.encode()


def test_offsets_of_the_context_are_those_of_its_source() -> None:
    found = scored("Returns are free of charge within 30 days of delivery.")
    place = found.evidence[0]["context"]
    assert HANDBOOK[place["source"]][place["start"] : place["end"]] == place["text"]
    assert place["origin"] == "retrieval"
