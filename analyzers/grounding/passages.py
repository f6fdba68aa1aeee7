"""A context made searchable: its sentences, windows of two adjacent ones, and what occurs in it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzers.grounding.numerals import known_numbers, months_of
from analyzers.grounding.sentences import Sentence, split
from analyzers.grounding.terms import Analysed, Term, stem

FUNCTION_WEIGHT = 0.15
"""Weight of a word that carries little, where one that carries something has 1 to 2."""


class Passage(NamedTuple):
    """A piece of the context: which source it is in (0: the first), and where."""

    source: int
    start: int
    end: int
    text: str


class Window(NamedTuple):
    """Two adjacent sentences of one source (one where it has no other), as positions among the context's sentences."""

    first: int
    last: int


class Passages:
    """The sources of a context, taken apart once for all sentences of an answer."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = tuple(sources)
        pairs = [(number, sentence) for number, text in enumerate(sources) for sentence in _with_code(text)]
        self.passages = [Passage(number, each.start, each.end, each.text) for number, each in pairs]
        self.analysed = [Analysed(passage.text) for passage in self.passages]
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, each in enumerate(self.analysed):
            for word in dict.fromkeys(each.stems):
                self._places[word].append(place)

    @cached_property
    def stems(self) -> Collection[str]:
        """Every stem of the context, and the names of months that it has as numbers."""
        months = {stem(month) for each in self.analysed for month in months_of(each.plain)}
        return self._places.keys() | months

    @cached_property
    def numbers(self) -> set[float]:
        """Every value that the context can be said to state."""
        return {value for each in self.analysed for value in known_numbers(each.plain, each.terms)}

    @cached_property
    def ngrams(self) -> set[tuple[str, ...]]:
        """Every 2- and 3-gram within a source."""
        found: set[tuple[str, ...]] = set()
        for number in range(len(self.sources)):
            places = [place for place, passage in enumerate(self.passages) if passage.source == number]
            stems = [word for place in places for word in self.analysed[place].stems]
            for n in (2, 3):
                found.update(zip(*(stems[i:] for i in range(n)), strict=False))
        return found

    def weight(self, term: Term) -> float:
        """How much a word counts: little for function words, else 1 (in every sentence of the context) to 2 (in none)."""
        if not term.content:
            return FUNCTION_WEIGHT
        total = len(self.passages)
        return 1.0 + math.log((total + 1) / (len(self._places.get(term.stem, ())) + 1)) / math.log(total + 2)

    def best_window(self, sentence: Analysed) -> Window:
        """The window that shares the most weight of words with `sentence`; the first of equals."""
        shares = self._shares(sentence)
        after = np.append(shares[:, 1:], np.zeros((len(shares), 1)), axis=1) if shares.shape[1] else shares
        joined = np.maximum(shares, after * self._goes_on)
        return self._window_at(int(np.argmax(joined.sum(axis=0))))

    def text(self, window: Window) -> str:
        """The window as it stands in its source."""
        first, last = self.passages[window.first], self.passages[window.last]
        return self.sources[first.source][first.start : last.end]

    def passage(self, window: Window) -> Passage:
        """The window with its place."""
        first, last = self.passages[window.first], self.passages[window.last]
        return Passage(first.source, first.start, last.end, self.text(window))

    def _shares(self, sentence: Analysed) -> NDArray[np.float64]:
        """Weight of each of the sentence's words in each sentence of the context."""
        terms = list({term.stem: term for term in sentence.terms}.values())
        shares = np.zeros((max(1, len(terms)), len(self.passages)))
        for row, term in enumerate(terms):
            shares[row, self._places.get(term.stem, [])] = self.weight(term)
        return shares

    @cached_property
    def _goes_on(self) -> NDArray[np.float64]:
        """1 where the next sentence belongs to the same source."""
        sources = [passage.source for passage in self.passages]
        return np.array([a == b for a, b in zip(sources, [*sources[1:], -1], strict=True)], dtype=np.float64)

    def _window_at(self, place: int) -> Window:
        return Window(place, place + int(self._goes_on[place]))


def _with_code(text: str) -> list[Sentence]:
    """Sentences; code is searched by line, since an answer may quote it."""
    found: list[Sentence] = []
    for each in split(text):
        if not each.code:
            found.append(each)
            continue
        position = each.start
        for line in each.text.splitlines(keepends=True):
            if any(character.isalnum() for character in line):
                found.append(Sentence(position, position + len(line), line))
            position += len(line)
    return found
