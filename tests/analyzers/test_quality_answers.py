"""Refusals, empty, truncated and repeated answers, tokens a second."""

from __future__ import annotations

import math

import pytest

from analyzers.quality.emptiness import find_empty
from analyzers.quality.refusal import find_refusal
from analyzers.quality.repetition import find_repetition
from analyzers.quality.throughput import tokens_per_second
from analyzers.quality.truncation import find_truncation, finish_reason

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I cannot fulfill your request. I'm just an AI.",
    "As an AI language model, I am not able to provide medical advice.",
    "Unfortunately, I must decline to answer this question.",
    "I apologize, but it is not appropriate for me to discuss this.",
    "Thank you for reaching out. However, I cannot share the account details of others.",
    "That's not something I can help with.",
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Ich kann diese Anfrage leider nicht beantworten.",
    "Das kann ich dir leider nicht geben.",
    "Je suis désolé, mais je ne peux pas vous aider avec cette demande.",
    "Je ne suis pas en mesure de répondre à cette question.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "No puedo proporcionar esa información.",
    "Mi dispiace, ma non posso aiutarti con questa richiesta.",
    "Desculpe, mas não posso ajudar com isso.",
    "Het spijt me, maar daar kan ik niet mee helpen.",
    "抱歉，我无法提供这方面的帮助。",
    "申し訳ありませんが、そのご質問にはお答えできません。",
    'I cannot help with "how to make a bomb at home".',
    "Sorry, I won't write «ein böses Gedicht» for you, I can't help with that.",
]
ANSWERS = [
    "Sure! Here is how you reset your password.",
    "To list the files, run `ls`. I cannot stress enough that you should make a backup first.",
    'The error says "I cannot help you with that request", which means that the server is busy.',
    "First open the door. Then look inside. Close it again. If it is dark, wait. I cannot help you if the lamp is broken.",
    "I'm sorry to hear that your order is late. It will arrive tomorrow.",
    "I cannot recommend this book highly enough.",
    "If I cannot help you here, our support can: call them any time.",
    "Ich kann Ihnen helfen, wenn Sie mir die Nummer geben.",
    "Je peux vous aider avec plaisir.",
    "Puedo ayudarte con eso: abre la configuración.",
    "You can't open the file because it is locked. Close the other program.",
    "No, the shop does not offer that.",
    "当然，我可以帮助您。",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_an_answer_that_begins_by_declining_is_a_refusal(answer: str) -> None:
    verdict = find_refusal(answer)
    assert (verdict.value, verdict.flagged, verdict.label) == (1.0, True, "declined")
    [piece] = verdict.evidence
    assert answer[piece["start"] : piece["end"]] == piece["text"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_mentions_or_quotes_a_refusal_is_none(answer: str) -> None:
    assert find_refusal(answer).flagged is False


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "FinishReason.PROHIBITED_CONTENT", "guardrail_intervened", "refusal"]
)
def test_what_the_provider_withheld_is_a_refusal(reason: str) -> None:
    assert find_refusal("", [finish_reason(reason)]).label == "filtered"


def test_without_an_answer_there_is_no_verdict_on_refusal() -> None:
    assert find_refusal("  \n").reason == "no-answer"
    assert find_refusal("\x00\x01\x02\x03" * 50).reason == "not-text"


def empty(answer: str = "", **facts: object) -> tuple[bool | None, str]:
    given = {"recorded": True, "output_tokens": 5, "finish_reasons": ("stop",), "failed": False, **facts}
    verdict = find_empty(answer, **given)  # type: ignore[arg-type]  # facts by name
    return verdict.flagged, verdict.reason


def test_blank_answers_are_empty_and_the_others_not() -> None:
    assert empty("Hello") == (False, "")
    assert empty("") == (True, "")
    assert empty(" \n\t\u200b\ufeff") == (True, "")
    assert empty("", recorded=False, output_tokens=0) == (True, "")


def test_what_cannot_be_known_to_be_empty_abstains() -> None:
    assert empty(recorded=False) == (None, "not-recorded")
    assert empty(recorded=False, output_tokens=None) == (None, "not-recorded")
    assert empty(failed=True) == (None, "call-failed")
    assert empty(finish_reasons=("tool_use",)) == (None, "tool-call")


@pytest.mark.parametrize(
    "reason",
    [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "FinishReason.MAX_TOKENS",
        "maxTokens",
        "max-tokens",
        "LENGTH",
        "max_output_tokens",
        "incomplete",
        "model_length",
        '["length"]',
        "model_context_window_exceeded",
    ],
)
def test_the_finish_reasons_of_all_dialects_say_truncated(reason: str) -> None:
    verdict = find_truncation("A whole sentence.", [finish_reason(reason)])
    assert (verdict.flagged, verdict.label) == (True, "finish-reason")


@pytest.mark.parametrize("reason", ["stop", "STOP", "end_turn", "tool_calls", "eos", "COMPLETE", "stop_sequence"])
def test_a_known_finish_reason_decides_whatever_the_text_looks_like(reason: str) -> None:
    verdict = find_truncation("It stops in the middle of a sentence and goes " * 9, [finish_reason(reason)])
    assert (verdict.flagged, verdict.label) == (False, "finish-reason")


SENTENCES = "The invoice is sent at the end of each month. You can change the address in the settings of your account. "


def test_without_a_finish_reason_the_text_decides_and_the_label_says_so() -> None:
    cut = find_truncation(
        SENTENCES * 3 + "If you would rather have it on paper, please write to the team that looks", ["", "unknown"]
    )
    assert (cut.flagged, cut.label) == (True, "mid-sentence")
    assert find_truncation(SENTENCES * 3, []).flagged is False
    assert find_truncation("Here is the code:\n```python\nprint(1)\nfor x in range(", []).flagged is True


@pytest.mark.parametrize(
    "answer",
    ["Paris", "42", "- one\n- two\n- three" * 20, SENTENCES * 3 + "\n\nBest regards\nTeam", SENTENCES * 3 + "\n| a | b"],
)
def test_what_may_well_be_whole_abstains(answer: str) -> None:
    assert find_truncation(answer, []).reason == "no-finish-reason"


def test_blank_answers_are_not_truncated_by_their_text() -> None:
    assert find_truncation("", []).reason == "no-answer"
    assert find_truncation("", ["length"]).flagged is True


LOOPS = {
    "line": "Here is the list you wanted:\n" + "Call the support team today.\n" * 12,
    "phrase": "I would say that " + "the best way is to ask the team again and " * 20,
    "compression": "对" * 900,
}


@pytest.mark.parametrize("label", LOOPS)
def test_loops_are_found(label: str) -> None:
    verdict = find_repetition(LOOPS[label])
    assert (verdict.flagged, verdict.label) == (True, label)
    [piece] = verdict.evidence
    assert LOOPS[label][piece["start"] : piece["end"]] == piece["text"]


@pytest.mark.parametrize(
    "answer",
    [
        "A short answer.",
        SENTENCES,
        SENTENCES * 2,
        "\n".join(f"| {n} | {n * 37 % 101} | item {n * n} |" for n in range(60)),
        "\n".join(f"item_{n} = compute(values[{n * 7 % 31}], {n * n})" for n in range(60)),
    ],
)
def test_prose_tables_and_code_are_no_loops(answer: str) -> None:
    assert find_repetition(answer).flagged is False


def test_a_loop_after_a_long_start_is_found() -> None:
    start = " ".join(f"word{n * 7919 % 10007}" for n in range(2_000))
    answer = start + " and so on and so forth until the end" * 2_000
    verdict = find_repetition(answer)
    assert verdict.flagged is True
    [piece] = verdict.evidence
    assert answer[piece["start"] : piece["end"]] == piece["text"]


def test_tokens_a_second_leave_out_the_wait_for_the_first_token() -> None:
    assert tokens_per_second(100, 3_000.0, 1_000.0).value == 50.0
    assert tokens_per_second(100, 3_000.0, 1_000.0).label == "after-first-token"
    assert tokens_per_second(100, 2_000.0).value == 50.0
    assert tokens_per_second(100, 2_000.0).label == "whole-duration"


@pytest.mark.parametrize("first", [2_000.0, 2_500.0, 1_999.0, math.nan, math.inf, -1.0, 0.0])
def test_a_first_token_at_the_end_or_without_sense_does_not_count(first: float) -> None:
    verdict = tokens_per_second(100, 2_000.0, first)
    assert (verdict.value, verdict.label) == (50.0, "whole-duration")


@pytest.mark.parametrize(
    ("tokens", "duration", "reason"),
    [
        (None, 1.0, "no-output-tokens"),
        (0, 1.0, "no-output-tokens"),
        (5, None, "no-duration"),
        (5, 0.0, "no-duration"),
        (5, math.nan, "no-duration"),
        (5, math.inf, "no-duration"),
        (5, -3.0, "no-duration"),
    ],
)
def test_without_tokens_or_time_there_is_no_rate(tokens: int | None, duration: float | None, reason: str) -> None:
    verdict = tokens_per_second(tokens, duration)
    assert (verdict.value, verdict.reason) == (None, reason)
