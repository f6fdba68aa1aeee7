"""Numbers in texts, in a form in which 1,000 and 1000 and "one thousand" are equal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from analyzers.grounding.terms import Term

_NUMBER = re.compile(
    r"(?<![\w.,])(?:[$€£¥]\s?)?"
    r"(\d{1,3}(?:[ '’]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*)(?:st|nd|rd|th|er|e|º|ª)?(?=[^\W\d_]{0,3}\b|\W|$)"
    r"(?:[\s-]?(k|thousand|mille|tausend|mil|m|mn|mio|million|millions|millionen|millones|milioni|bn|mrd|billion|billions"
    r"|milliarden|milliard|milliards|trillion)\b)?",
    re.IGNORECASE,
)
_COMPOSED = re.compile(r" |[.,]\d+[.,]\d")
_DIGITS = re.compile(r"\d+")
_ISO_DATE = re.compile(r"\b\d{4}[-/.](\d{1,2})[-/.]\d{1,2}\b|\b\d{1,2}[-/.](\d{1,2})[-/.]\d{2,4}\b")
_LIST_MARK = re.compile(r"(?:^|(?<=[:;.!?]))\s*\(?\d{1,3}[.)]\s+(?=\S)")
_ABOUT = re.compile(
    r"\b(?:about|around|approximately|approx|roughly|nearly|almost|circa|some|rund|etwa|ungefähr|environ|unos|casi|circa|quasi)"
    r"\W*(?:[$€£¥]\s?)?$",
    re.IGNORECASE,
)
ABOUT = 0.05
"""Relative distance within which "about 1.5 million" is the same as 1,487,000."""

_LONGEST = 300  # digits that a float can hold

_SCALES = {
    "k": 1e3, "thousand": 1e3, "mille": 1e3, "tausend": 1e3, "mil": 1e3,
    "bn": 1e9, "mrd": 1e9, "billion": 1e9, "billions": 1e9, "milliarden": 1e9, "milliard": 1e9, "milliards": 1e9,
    "trillion": 1e12,
}  # fmt: skip
_MILLION = 1e6
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_WORDS = {
    word: value
    for value, words in {
        2: "two zwei deux dos due dois twee twice", 3: "three drei trois tres tre drie", 4: "four vier quatre cuatro quattro",
        5: "five fünf cinq cinco cinque vijf", 6: "six sechs seis sei zes", 7: "seven sieben sept siete sette sete zeven",
        8: "eight acht huit ocho otto oito", 9: "nine neun neuf nueve nove negen", 10: "ten zehn dix diez dieci dez tien",
        11: "eleven elf onze", 12: "twelve zwölf douze twaalf", 13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen",
        17: "seventeen", 18: "eighteen", 19: "nineteen", 20: "twenty zwanzig vingt veinte venti", 30: "thirty dreißig trente",
        40: "forty vierzig", 50: "fifty fünfzig cinquante", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety",
        100: "hundred hundert cent cien", 1000: "thousand tausend mille",
    }.items()
    for word in words.split()
}  # fmt: skip


class Number(NamedTuple):
    """A number as it stood and what it can mean: "1.000" is one or a thousand, "3 100" one number or two.

    `parts` are the numbers that it is composed of, as a date is; `about`: it claims no exactness.
    """

    text: str
    values: frozenset[float]
    parts: frozenset[float] = frozenset()
    about: bool = False


def numbers_of(plain: str) -> list[Number]:
    """The numbers written in digits in a normalised sentence; the number of a list item is none."""
    body = _LIST_MARK.sub(" ", plain)
    found = []
    for match in _NUMBER.finditer(body):
        values = _values(match.group(1))
        scale = _scale(match.group(2))
        about = bool(_ABOUT.search(body, 0, match.start()))
        parts = _digits(match.group(1)) if _COMPOSED.search(match.group(1)) else frozenset[float]()
        found.append(Number(match.group().strip(), frozenset(value * scale for value in values), parts, about))
    return found


def known_numbers(plain: str, terms: Iterable[Term]) -> set[float]:
    """Every value that a context can be said to state: digits with and without their scale, number words, months."""
    found: set[float] = set()
    for match in _NUMBER.finditer(plain):
        found |= {value * scale for value in _values(match.group(1)) for scale in (1.0, _scale(match.group(2)))}
    found |= _digits(plain)
    for term in terms:
        word = term.text.casefold()
        if word in _WORDS:
            found.add(float(_WORDS[word]))
        if word in _MONTHS:
            found.add(float(_MONTHS.index(word) + 1))
    return found


def months_of(plain: str) -> set[str]:
    """English names of the months that stand as a number in a date."""
    numbers = {int(group) for match in _ISO_DATE.finditer(plain) for group in match.groups() if group}
    return {_MONTHS[number - 1] for number in numbers if 1 <= number <= 12}


def is_known(number: Number, known: set[float]) -> bool:
    """Whether a context states the number."""
    if number.values & known or (number.parts and number.parts <= known):
        return True
    return number.about and any(
        abs(value - other) <= ABOUT * abs(value) for value in number.values for other in known if other and value
    )


def _digits(text: str) -> frozenset[float]:
    return frozenset(float(digits[:_LONGEST]) for digits in _DIGITS.findall(text))


def _scale(word: str | None) -> float:
    return 1.0 if word is None else _SCALES.get(word.lower(), _MILLION)


def _values(written: str) -> set[float]:
    """What digits with separators can mean: both when a single separator stands before exactly three digits."""
    bare = re.sub(r"['’ ]", "", written)[:_LONGEST].rstrip(".,")
    separators = re.findall(r"[.,]", bare)
    if not separators:
        return {float(bare)}
    without = float(re.sub(r"[.,]", "", bare))
    decimal = float(re.sub(r"[.,](?=.*[.,])", "", bare).replace(",", "."))
    groups = re.split(r"[.,]", bare)
    if any(len(group) != 3 for group in groups[1:-1]):  # a date or a version: 31.12.2024
        return {without}
    if len(groups[-1]) == 3:
        return {without, decimal} if len(separators) == 1 else {without}
    return {decimal}
