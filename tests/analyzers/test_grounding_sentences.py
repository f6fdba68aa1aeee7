"""Sentences keep their place, whatever the text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.grounding.sentences import LONGEST, split

PIECES = [
    "Dr. Smith ",
    "e.g. this ",
    "3.5 ",
    "1. ",
    "- ",
    "\n",
    "\n\n",
    "```",
    "Ende. ",
    "。",
    "?",
    "! ",
    "z.B. ",
    "U.S. ",
    "\r\n",
    "\x00",
    "\ud800",
]


@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8))).map("".join)))
def test_every_sentence_is_where_it_says(text: str) -> None:
    found = split(text)
    assert all(each.text == text[each.start : each.end] for each in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    outside = list(text)
    for each in found:
        outside[each.start : each.end] = " " * (each.end - each.start)
    lost = [character for character in outside if character.isalpha()]
    assert len(lost) <= text.count(")") + text.count("(")  # nothing but the letters of list marks, as in "a) "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Dr. Smith met J. Doe, e.g. in the U.S. capital. He left.",
            ["Dr. Smith met J. Doe, e.g. in the U.S. capital.", "He left."],
        ),
        ("It costs 3.50 euros. See example.com/a.b for more.", ["It costs 3.50 euros.", "See example.com/a.b for more."]),
        ("Am 3. Oktober ist frei. Das gilt z.B. auch dort.", ["Am 3. Oktober ist frei.", "Das gilt z.B. auch dort."]),
        (
            "Il est né en 1802. Il a écrit « Les Misérables ». Voilà !",
            ["Il est né en 1802.", "Il a écrit « Les Misérables ».", "Voilà !"],
        ),
        ("¿Cuánto cuesta? Son 20 euros.", ["¿Cuánto cuesta?", "Son 20 euros."]),
        ("これは本です。高いですか？はい。", ["これは本です。", "高いですか？", "はい。"]),
        ("Steps:\n1. Open it\n2. Close it\n- Then wait", ["Steps:", "Open it", "Close it", "Then wait"]),
        ("# Title\n\nA line that is\nwrapped by hand. Next", ["Title", "A line that is\nwrapped by hand.", "Next"]),
        ("i do! andrew is the lead. he was great!", ["i do!", "andrew is the lead.", "he was great!"]),
        ("", []),
        (" \n - \n ...", []),
    ],
)
def test_sentences_of_several_kinds_of_text(text: str, expected: list[str]) -> None:
    assert [each.text for each in split(text)] == expected


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# Plans\nThe plan is free.", ["Plans"]),
        ("## 3. What you get\n\nA lot.", ["3. What you get"]),
        ("**Plans**\nThe plan is free.\n**Limits:**\nNone.", ["**Plans**", "**Limits:**"]),
        ("| Plan | Price |\n|:---|---:|\n| Starter | 12 |\n| Team | 49 |", ["Plan | Price |"]),
        ("Plan | Price\n--- | ---\nStarter | 12", ["Plan | Price"]),
        ("# The plan is free.\n**The plan is free.**\n**Bold** at the start\n- item", []),
        ("Before the rule\n\n---\n\nAfter it", []),
    ],
)
def test_headings_and_the_heads_of_tables_say_so(text: str, headings: list[str]) -> None:
    assert [each.text for each in split(text) if each.heading] == headings


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", [" ", "\t", ".", '"', "؟", "|", "#", "*", "-", "\n", " \n", "**", "\n|"])
def test_long_runs_are_read_in_one_pass(unit: str) -> None:
    run = unit * 100_000
    assert split(f'# a{run}.\n{run}|{run}x\n**a{run}b.**."{run}')[0].text.startswith("a")


def test_code_is_one_piece_and_says_so() -> None:
    found = split("Run this. ```sh\nrm -r x. Then y.\n``` Done.")
    assert [(each.text, each.code) for each in found] == [
        ("Run this.", False),
        ("```sh\nrm -r x. Then y.\n```", True),
        ("Done.", False),
    ]


def test_what_never_ends_is_cut_into_pieces() -> None:
    found = split("word " * 100_000)
    assert max(len(each.text) for each in found) <= LONGEST
    assert split("x" * 2_000)[0].end == LONGEST
