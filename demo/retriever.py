"""Finds the sections of the handbook that a question is about: words in common, rare ones counting more."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Document:
    """A section with its heading."""

    id: str
    text: str


@dataclass(frozen=True)
class Hit:
    """A document and how well it fits."""

    document: Document
    score: float


class Retriever:
    """Best documents first."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = [(document, frozenset(_words(document.text))) for document in documents]
        known = Counter(word for _, words in self._documents for word in words)
        self._weights = {word: math.log(1 + len(documents) / count) for word, count in known.items()}

    def find(self, question: str, most: int = 2) -> list[Hit]:
        """At most `most` documents that share a word with `question`."""
        asked = frozenset(_words(question))
        hits = [Hit(document, sum(self._weights[word] for word in asked & words)) for document, words in self._documents]
        return sorted((hit for hit in hits if hit.score > 0), key=lambda hit: -hit.score)[:most]


def sections(handbook: str) -> list[Document]:
    """The parts of a Markdown text below its second-level headings."""
    parts = re.split(r"^## ", handbook, flags=re.MULTILINE)[1:]
    return [Document(_id(heading), body.strip()) for heading, _, body in (part.partition("\n") for part in parts)]


def _id(heading: str) -> str:
    return "-".join(_words(heading))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
