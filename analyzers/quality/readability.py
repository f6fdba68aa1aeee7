"""Flesch reading ease of English prompts (Flesch 1948): 206.835 - 1.015 words/sentences - 84.6 syllables/words.

100 is very easy, 60 to 70 plain English, below 30 very hard.
"""

from __future__ import annotations

import re
from functools import lru_cache

from analyzers.quality.language import SURE
from analyzers.quality.text import prose
from analyzers.quality.verdict import Verdict, abstained

MAX_CHARS = 5_000
MIN_WORDS = 10

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_END = re.compile(r"[.!?]+(?=\s|\Z)|\n+")
_VOWELS = re.compile(r"[aeiouy]+")
_LONGEST = 30
_SILENT = re.compile(r"(?:[^laeiouy]e|[^tdaeiouy]ed|[^sxzcgaeiouy]es)\Z")


def reading_ease(text: str, language: Verdict) -> Verdict:
    """The reading ease of a prompt; abstains `not-english`, `too-short` (under ten words) or as its `language` did."""
    if language.value is None:
        return abstained(language.reason)
    if language.label != "en" or language.value < SURE:
        return abstained("not-english")
    sample = prose(text, MAX_CHARS)
    words = [word for word in _WORD.findall(sample) if len(word) <= _LONGEST]
    if len(words) < MIN_WORDS:
        return abstained("too-short")
    sentences = max(1, sum(1 for piece in _END.split(sample) if _WORD.search(piece)))
    syllables = sum(count_syllables(word.lower()) for word in words)
    return Verdict(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words))


@lru_cache(maxsize=65536)
def count_syllables(word: str) -> int:
    """Groups of vowels, without a silent e, es or ed at the end; at least one."""
    groups = len(_VOWELS.findall(word))
    if groups > 1 and _SILENT.search(word):
        groups -= 1
    return max(1, groups)
