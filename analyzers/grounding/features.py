"""What is measured of one sentence against its context. Every measure lies in [0, 1]."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analyzers.grounding.entities import Entity, entities_of, missing
from analyzers.grounding.negation import contradicts, denied
from analyzers.grounding.numerals import Number, is_known, numbers_of
from analyzers.grounding.passages import Passage, Passages
from analyzers.grounding.sentences import Sentence
from analyzers.grounding.terms import Analysed

SEVERAL = 2
"""Missing numbers or names from which on more of them make it no worse."""

ALIKE = 0.7
"""Share of a sentence's words from which on another sentence is taken to speak of the same thing."""


class Features(NamedTuple):
    """Coverages are shares of the weight of the sentence's words (n-grams) that the context has, in order of `words_of`."""

    words: float
    bigrams: float
    trigrams: float
    window_words: float
    window_bigrams: float
    run: float
    """The longest run of words that the context has in the same order, as a share of the sentence."""
    missing_numbers: float = 0.0
    missing_names: float = 0.0
    negation: float = 0.0
    """1: one of the two denies what the other states."""


SIGNALS = (*Features._fields, "similarity", "cross")
"""What weights are for, in order: the features, the similarity of embeddings, the verdict of a cross-encoder."""
SIMILARITY_CENTRE = 0.7
"""Similarity of embeddings that speaks neither for nor against support."""
CROSS_CENTRE = 0.5
"""The same for a cross-encoder's probability."""


@dataclass(frozen=True)
class Measured:
    """A sentence of an answer with its features and what they rest on. `similarity` and `cross` are None without the models."""

    sentence: Sentence
    features: Features
    best: Passage
    missing_numbers: tuple[Number, ...]
    missing_names: tuple[Entity, ...]
    similarity: float | None = None
    cross: float | None = None

    def signals(self) -> dict[str, float]:
        """The values that weights are for, by name, in their order. What was not measured speaks neither for nor against."""
        similarity = 0.0 if self.similarity is None else self.similarity - SIMILARITY_CENTRE
        cross = 0.0 if self.cross is None else self.cross - CROSS_CENTRE
        values = (*self.features, similarity, cross)
        return {name: round(value, 6) for name, value in zip(SIGNALS, values, strict=True)}


def measure(sentence: Sentence, analysed: Analysed, context: Passages, asked: frozenset[str]) -> Measured:
    """The features of `sentence`. `asked` are the stems of the question: a name that it mentions is not made up."""
    window = context.best_window(analysed)
    near = [context.analysed[place] for place in range(window.first, window.last + 1)]
    numbers = tuple(number for number in numbers_of(analysed.plain) if not is_known(number, context.numbers))
    names = tuple(missing(entities_of(analysed.terms), {*context.stems, *asked}))
    features = _coverages(analysed, context, near)._replace(
        missing_numbers=min(len(numbers), SEVERAL) / SEVERAL,
        missing_names=min(len(names), SEVERAL) / SEVERAL,
        negation=float(_contradicted(analysed, near, context)),
    )
    return Measured(sentence, features, context.passage(window), numbers, names)


def _coverages(analysed: Analysed, context: Passages, near: Sequence[Analysed]) -> Features:
    near_stems = frozenset(word for each in near for word in each.stems)
    near_pairs = frozenset(pair for each in near for pair in each.ngrams(2))
    return Features(
        _word_share(analysed, context.stems, context),
        _ngram_share(analysed, context.ngrams, context, 2),
        _ngram_share(analysed, context.ngrams, context, 3),
        _word_share(analysed, near_stems, context),
        _ngram_share(analysed, near_pairs, context, 2),
        _longest_run(analysed, context),
    )


def _contradicted(analysed: Analysed, near: Sequence[Analysed], context: Passages) -> bool:
    """Whether the nearest sentence says the opposite, and the one beside it does not say the same.

    Where the two have less in common, they may speak of different things.
    """
    shared = [_word_share(analysed, frozenset(each.stems), context) for each in near]
    nearest = shared.index(max(shared))
    if shared[nearest] < ALIKE or not contradicts(analysed.terms, near[nearest].terms):
        return False
    ours = denied(analysed.terms)
    return not any(ours & denied(each.terms) for each in near)


def _ngram_share(analysed: Analysed, known: Collection[tuple[str, ...]], context: Passages, n: int) -> float:
    """Coverage of n-grams by weight; of words where the sentence has fewer than n."""
    if len(analysed.terms) < n:
        return _word_share(analysed, context.stems, context)
    weights = [context.weight(term) for term in analysed.terms]
    of_ngrams = [sum(weights[i : i + n]) for i in range(len(weights) - n + 1)]
    return _share([ngram in known for ngram in analysed.ngrams(n)], of_ngrams)


def _word_share(analysed: Analysed, known: Collection[str], context: Passages) -> float:
    return _share([word in known for word in analysed.stems], [context.weight(term) for term in analysed.terms])


def _share(found: Sequence[bool], weights: Sequence[float]) -> float:
    total = sum(weights)
    return sum(weight for known, weight in zip(found, weights, strict=True) if known) / total if total else 0.0


def _longest_run(analysed: Analysed, context: Passages) -> float:
    """Share of the sentence in the longest chain of overlapping 3-grams that the context has (2-grams: where there is none)."""
    if not analysed.terms:
        return 0.0
    for n in (3, 2):
        streak = longest = 0
        for ngram in analysed.ngrams(n):
            streak = streak + 1 if ngram in context.ngrams else 0
            longest = max(longest, streak)
        if longest:
            return (longest + n - 1) / len(analysed.terms)
    return float(any(word in context.stems for word in analysed.stems)) / len(analysed.terms)
