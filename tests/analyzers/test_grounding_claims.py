"""What of an answer is held against its context: claims, not courtesies, and claims that stand behind one as well."""

from __future__ import annotations

import pytest

from analyzers.grounding.claims import claims_of
from analyzers.grounding.sentences import split
from tests.analyzers.grounding_spans import scored


def claimed(answer: str) -> list[str]:
    """The texts of the claims, each of which must be where it says."""
    found = [sentence for sentence, _ in claims_of(split(answer))]
    assert all(each.text == answer[each.start : each.end] for each in found)
    return [each.text for each in found]


@pytest.mark.parametrize(
    "courtesy",
    [
        "Great question!",
        "You're right.",
        "Yes, you're absolutely correct.",
        "That's not accurate.",
        "That makes sense.",
        "I apologize for the confusion.",
        "We sincerely apologise for any inconvenience.",
        "Hello Maria,",
        "Dear Dr. Okafor,",
        "Sehr geehrte Frau Weber,",
        "Best regards,",
        "Mit freundlichen Grüßen",
        "I hope this helps!",
        "Let me know if you have further questions about the plan.",
        "Feel free to write to our support team.",
        "Thanks for reaching out to Northwind.",
        "Here is a summary of the plans:",
        "I'm not sure, but you could ask the support team.",
        "Le contexte ne suffit pas, désolé.",
    ],
)
def test_courtesies_claim_nothing(courtesy: str) -> None:
    assert claimed(courtesy) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I'm not able to see your order, but express delivery costs 9 euros.", ["but express delivery costs 9 euros."]),
        ("The documents do not mention it; the founder is Susan Miller.", ["the founder is Susan Miller."]),
        ("Although the text does not mention prices, the plan costs 40 euros.", ["the plan costs 40 euros."]),
        ("The plan costs 40 euros, although the documents do not mention taxes.", ["The plan costs 40 euros,"]),
        ("I'm sorry, but I don't know the figure; however, I can say it is 40.", ["however, I can say it is 40."]),
        ("Thank you for asking, the plan costs 499 dollars.", ["Thank you for asking, the plan costs 499 dollars."]),
        ("Feel free to return it within 90 days.", ["Feel free to return it within 90 days."]),
        (
            "I hope this helps, and remember that refunds take 60 days.",
            ["I hope this helps, and remember that refunds take 60 days."],
        ),
        ("Here is what I found: it won the award.", ["Here is what I found: it won the award."]),
        ("Hello, the plan is free.", ["Hello, the plan is free."]),
        ("Thanksgiving is a holiday.", ["Thanksgiving is a holiday."]),
        ("Lo siento, no sé el precio, pero el envío tarda ocho semanas.", ["pero el envío tarda ocho semanas."]),
    ],
)
def test_a_claim_behind_a_courtesy_or_a_refusal_is_one(answer: str, expected: list[str]) -> None:
    assert claimed(answer) == expected


def test_what_follows_the_closing_is_a_signature() -> None:
    letter = "Hello Maria,\n\nReturns are free within 30 days.\n\nKind regards,\nJohn Doe\nNorthwind Customer Care"
    assert claimed(letter) == ["Returns are free within 30 days."]
    longer = letter + "\n\nThe warranty of the device also covers 2,000 charging cycles."
    assert claimed(longer)[1:] == ["The warranty of the device also covers 2,000 charging cycles."]


def test_headings_and_heads_of_tables_claim_nothing() -> None:
    assert claimed("## Key Facts\n| Service | Price |\n|---|---|\n| Express | 9.50 |") == ["Express | 9.50 |"]


def test_a_letter_around_supported_claims_is_supported() -> None:
    answer = "Hello Maria,\n\nGreat question! Returns are free of charge within 30 days of delivery.\n\nBest regards,\nThe Team"
    assert scored(answer).flagged is False
    assert scored(answer.replace("30", "60")).flagged is True
