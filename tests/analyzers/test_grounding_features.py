"""Numbers, names and negations against a context, and the score they make."""

from __future__ import annotations

import pytest

from analyzers.grounding.entities import entities_of
from analyzers.grounding.features import SIGNALS
from analyzers.grounding.numerals import is_known, known_numbers, numbers_of
from analyzers.grounding.passages import Passages
from analyzers.grounding.support import DEFAULT, WEIGHTS
from analyzers.grounding.terms import Analysed, stem
from tests.analyzers.grounding_spans import scored, support


def unknown(sentence: str, context: str) -> list[str]:
    """The numbers of a sentence that a context lacks."""
    known = known_numbers(Analysed(context).plain, Analysed(context).terms)
    return [number.text for number in numbers_of(Analysed(sentence).plain) if not is_known(number, known)]


@pytest.mark.parametrize(
    ("sentence", "context"),
    [
        ("It has 1000 seats", "It has 1,000 seats"),
        ("It has 1.000 seats", "It has 1000 seats"),
        ("It has 12 500 seats", "It has 12,500 seats"),
        ("It grew by 14 percent", "It grew by 14%"),
        ("It costs $3.50", "The price is 3.50 dollars"),
        ("Es kostet 3,50 Euro", "It costs 3.50 euros"),
        ("1.5 million people came", "1,500,000 people came"),
        ("About 1.5 million people came", "1,487,000 people came"),
        ("It takes 3 days", "It takes three days"),
        ("It opened on 5 January 2024", "It opened on 2024-01-05"),
        ("It opened on 2024-01-05", "It opened on January 5, 2024"),
        ("It opened on 31.12.2024", "It opened on 31 December 2024"),
        ("On the 2nd of May", "On May 2"),
        ("1. Open the lid", "Open the lid"),
        ("Press it [3]", "Press it"),
    ],
)
def test_equal_numbers_are_found_however_they_are_written(sentence: str, context: str) -> None:
    assert unknown(sentence, context) == []


@pytest.mark.parametrize(
    ("sentence", "context", "expected"),
    [
        ("It takes 7 days", "It takes three days", ["7"]),
        ("It costs $3.50 or 4 euros", "It costs $3.05", ["$3.50", "4"]),
        ("Exactly 1.5 million people came", "1,487,000 people came", ["1.5 million"]),
        ("In 1999 and 2001", "In 1999 and 2002", ["2001"]),
        ("It has 100 seats", "It has 1,000 seats", ["100"]),
    ],
)
def test_other_numbers_are_missing(sentence: str, context: str, expected: list[str]) -> None:
    assert unknown(sentence, context) == expected


def test_numbers_too_long_for_a_float_are_compared_without_an_error() -> None:
    assert unknown("9" * 5000, "9" * 4999) == []
    assert unknown("1" + "0" * 400 + " million", "two") != []


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Repairs are done by Northwind Service in Hamburg.", ["Northwind Service", "Hamburg"]),
        ("The lab at NASA used an iPhone.", ["NASA", "iPhone"]),
        ("However, Marie Curie agreed.", ["Marie Curie"]),
        ("The lab is in Dublin, Ireland.", ["Dublin", "Ireland"]),
        ("The device works.", []),
        ("Devices work.", []),
        ("ALL OF THIS IS LOUD", []),
        ("all of this is quiet", []),
    ],
)
def test_names(sentence: str, expected: list[str]) -> None:
    assert [entity.text for entity in entities_of(Analysed(sentence).terms)] == expected


def test_words_meet_their_other_forms() -> None:
    assert stem("deliveries") == stem("delivery") or stem("delivered") == stem("delivers")
    assert stem("charging") == stem("charged")
    assert stem("shipped") == stem("shipping")


@pytest.mark.parametrize(
    "answer",
    [
        "Returns are free of charge within 30 days of delivery.",
        "You can return it free of charge within 30 days of delivery.",
        "Express delivery costs 9.50 euros and arrives on the next working day.",
        "Repairs are carried out in Hamburg by Northwind Service.",
        "The warranty covers 1000 charging cycles.",
        "The device isn't only waterproof, it's waterproof up to a depth of two metres.",
        "Not only are returns free of charge, they're free within 30 days of delivery.",
    ],
)
def test_what_the_context_says_is_supported(answer: str) -> None:
    assert support(answer) > 0.5


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("Returns are free of charge within 60 days of delivery.", "60 is not in the context"),
        ("Express delivery arrives on the next working day and costs 12.90 euros.", "12.90 is not in the context"),
        ("The device is not waterproof up to a depth of two metres.", "the context says the opposite"),
        ("Our founder Ada Lovelace wrote the first programme for looms.", "Ada Lovelace is not in the context"),
        ("The device is waterproof. Repairs are carried out in Dublin, Ireland.", "Dublin is not in the context"),
        ("You may pay later with a monthly subscription plan.", "of its words"),
    ],
)
def test_what_it_does_not_say_is_not(answer: str, why: str) -> None:
    found = scored(answer)
    assert found.flagged is True
    assert why in found.explanation


def test_the_weakest_sentence_makes_the_score_and_is_shown_first() -> None:
    answer = "Standard delivery takes three to five working days. Returns are free of charge within 60 days of delivery."
    found = scored(answer)
    first = found.evidence[0]
    assert found.value == pytest.approx(first["support"], abs=1e-4)
    assert answer[first["start"] : first["end"]] == first["text"] == "Returns are free of charge within 60 days of delivery."
    assert first["missing"] == ["60"]
    assert first["context"]["source"] == 1
    assert "30 days" in first["context"]["text"]
    assert [each["supported"] for each in found.evidence] == [False, True]
    assert "1 of 2 sentences below 0.50; mean support" in found.explanation


def test_what_the_sentence_beside_the_nearest_denies_too_is_no_contradiction() -> None:
    context = "Editing the storage takes up to 24 hours. While an edit of the storage runs you cannot edit the storage again."
    assert support("Editing the storage takes up to 24 hours, and you cannot edit the storage meanwhile.", context) > 0.5


def test_a_name_from_the_question_is_not_made_up() -> None:
    asked = scored("Express delivery to Oslo costs 9.50 euros.", question="What does delivery to Oslo cost?")
    unasked = scored("Express delivery to Oslo costs 9.50 euros.")
    assert asked.evidence[0]["missing"] == []
    assert unasked.evidence[0]["missing"] == ["Oslo"]
    assert asked.value is not None
    assert unasked.value is not None
    assert asked.value > unasked.value


def test_windows_stay_within_one_source() -> None:
    context = Passages(("Cats sleep a lot.", "Dogs bark at night. They guard the house."))
    assert (
        context.text(context.best_window(Analysed("Dogs bark and guard the house")))
        == "Dogs bark at night. They guard the house."
    )
    assert context.text(context.best_window(Analysed("Cats sleep"))) == "Cats sleep a lot."


def test_the_default_weights_name_every_signal() -> None:
    assert list(WEIGHTS) == [*dict.fromkeys(WEIGHTS)]
    assert set(WEIGHTS) == set(SIGNALS)
    assert len(DEFAULT.weights) == len(SIGNALS)


def test_the_same_answer_gets_the_same_score() -> None:
    answer = "Returns are free within 60 days. The device is waterproof. Support is reached in Hamburg."
    assert scored(answer) == scored(answer)


def test_chinese_is_compared_sign_by_sign() -> None:
    document = "标准配送需要三到五个工作日。快递在下一个工作日到达，费用为九欧元。退货在三十天内免费。"
    assert support("快递在下一个工作日到达。", document) > support("我们的创始人住在巴黎。", document)
    assert support("快递在下一个工作日到达。", document) > 0.5
