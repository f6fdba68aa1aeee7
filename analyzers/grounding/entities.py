"""Names in a sentence, cheaply: spans of capitalised words that are not merely its beginning."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from analyzers.grounding.terms import Term


class Entity(NamedTuple):
    """A name: its words as they stood and their stems."""

    text: str
    stems: frozenset[str]


def entities_of(terms: Sequence[Term]) -> list[Entity]:
    """The names of a sentence in order. Text that is all in capitals or has none tells nothing about names."""
    words = [term for term in terms if term.latin and term.text[0].isalpha()]
    if not any(term.capital for term in words) or all(term.text.isupper() for term in words):
        return []
    spans: list[list[Term]] = [[]]
    for position, term in enumerate(words):
        if _names(term, position):
            if term.apart and spans[-1]:
                spans.append([])
            spans[-1].append(term)
        elif spans[-1]:
            spans.append([])
    found = [span for span in spans if span and not _only_begins(span, words[0])]
    return [Entity(" ".join(term.text for term in span), frozenset(term.stem for term in span)) for span in found]


def missing(entities: Sequence[Entity], known: Collection[str]) -> list[Entity]:
    """The names of which some word is unknown."""
    return [entity for entity in entities if not all(stem in known for stem in entity.stems)]


def _names(term: Term, position: int) -> bool:
    inner = term.text[1:] != term.text[1:].lower()  # NASA, iPhone
    return term.capital and term.content and (inner or term.text[0].isupper() or position > 0)


def _only_begins(span: Sequence[Term], first: Term) -> bool:
    """Whether the span is nothing but the capitalised first word of the sentence."""
    return len(span) == 1 and span[0] is first and first.text[1:] == first.text[1:].lower()
