"""Words and numbers of a sentence in a form in which two texts can be compared."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import NamedTuple

from analyzers.grounding.function_words import EVERY_FUNCTION_WORD

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f"
# One sign of a script without spaces, a number with its separators, a word.
_TERM = re.compile(rf"[{_CJK}]|\d+(?:[.,'’]\d+)*|[^\W\d_{_CJK}]+(?:['’][^\W\d_{_CJK}]+)*")
_CITATION = re.compile(r"\[\^?\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\]|【[^】]{0,40}】")
_LINK = re.compile(r"https?://\S+")
_ENGLISH_NOT = re.compile(r"^(.*)n['’]t$")
_ENCLITIC = re.compile(r"['’](?:s|re|ve|ll|d|m)?$", re.IGNORECASE)
_ELISION = re.compile(r"^(?:l|d|j|qu|n|s|c|m|t|dell|nell|all|un)['’](?=.{2})")
_PARTS = re.compile(r"[,;:|()\[\]\n\"“”„«»–—]")
_SUFFIXES = ("ingly", "edly", "ing", "ies", "ied", "ness", "ly", "ed", "es", "en", "er", "s", "e", "n")


class Term(NamedTuple):
    """A word as it stood and the stem that it is compared by; `start` is its place in the normalised sentence.

    `apart`: a comma, a bracket or the like stands between it and the word before.
    """

    text: str
    stem: str
    start: int
    apart: bool = False

    @property
    def capital(self) -> bool:
        """Whether any of its letters is a capital one."""
        return self.text != self.text.lower()

    @property
    def content(self) -> bool:
        """Whether it carries something: no function word, and more than one letter (a sign of a script without spaces is)."""
        return self.text.casefold() not in EVERY_FUNCTION_WORD and (len(self.text) > 1 or self.text.isdigit() or not self.latin)

    @property
    def latin(self) -> bool:
        """Whether it is written in a script with spaces between words."""
        return not re.match(f"[{_CJK}]", self.text)


def normalised(text: str) -> str:
    """Compatible characters alike (NFKC), without links and marks of citation."""
    return _CITATION.sub(" ", _LINK.sub(" ", unicodedata.normalize("NFKC", text)))


def terms_of(plain: str) -> list[Term]:
    """The terms of a normalised text in order; contracted negations stand apart, as in "do not"."""
    found: list[Term] = []
    end = 0
    for match in _TERM.finditer(plain):
        word, apart = match.group(), bool(_PARTS.search(plain, end, match.start()))
        end = match.end()
        contracted = _ENGLISH_NOT.match(word.lower())
        if contracted is not None or word.lower() == "cannot":
            verb = contracted.group(1) if contracted is not None else "can"
            found.extend(Term(piece, stem(piece), match.start()) for piece in (verb, "not") if piece)
            continue
        bare = _ELISION.sub("", _ENCLITIC.sub("", word)) or word
        found.append(Term(bare, stem(bare), match.start(), apart))
    return found


def stem(word: str) -> str:
    """A word without its commonest endings: enough to meet a plural or another tense, in several languages roughly."""
    folded = word.casefold()
    for suffix in _SUFFIXES:
        if folded.endswith(suffix) and len(folded) - len(suffix) >= 4:
            folded = folded[: -len(suffix)]
            break
    return folded[:-1] if len(folded) > 4 and folded[-1] == folded[-2] else folded


class Analysed:
    """A sentence taken apart once, for every measure."""

    def __init__(self, text: str) -> None:
        self.plain = normalised(text)
        self.terms = terms_of(self.plain)

    @cached_property
    def stems(self) -> list[str]:
        """The stems in order."""
        return [term.stem for term in self.terms]

    @cached_property
    def content(self) -> frozenset[str]:
        """The stems that carry something."""
        return frozenset(term.stem for term in self.terms if term.content)

    def ngrams(self, n: int) -> list[tuple[str, ...]]:
        """The n-grams of stems in order."""
        return [tuple(self.stems[i : i + n]) for i in range(len(self.stems) - n + 1)]
