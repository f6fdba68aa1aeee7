"""Does a sentence deny what the context states, or state what it denies?"""

from __future__ import annotations

from collections.abc import Sequence

from analyzers.grounding.terms import Term

_NEGATIONS = (
    "not no never none neither nor without nothing nobody"
    " nicht kein keine keinen keiner keinem nie niemals ohne weder nichts"
    " pas jamais aucun aucune sans rien non nessun nessuna mai senza"
    " nunca ningún ninguna jamás sin nada não nem sem nenhum nenhuma niet geen nooit zonder"
)
NEGATIONS = frozenset(_NEGATIONS.split())
_ADDING = "only just merely solely simply nur bloß lediglich seulement solo sólo solamente soltanto apenas só alleen slechts"
_ONLY = frozenset(_ADDING.split())
"""After a negation these add something instead of denying it: "not only"."""
REACH = 2
"""Words that carry something, after a negation, that it is taken to deny (before it, where none follow)."""


def denied(terms: Sequence[Term]) -> frozenset[str]:
    """The stems that a negation of the sentence bears on."""
    found: set[str] = set()
    for position, term in enumerate(terms):
        if term.text.casefold() in NEGATIONS and not _adds(terms, position):
            found.update(_scope(terms, position))
    return frozenset(found)


def contradicts(sentence: Sequence[Term], other: Sequence[Term]) -> bool:
    """Whether one of two sentences, which are otherwise alike, states all that the other denies and denies none of it."""
    ours, theirs = denied(sentence), denied(other)
    if ours & theirs or not (ours or theirs):
        return False
    return _stated(ours, other) or _stated(theirs, sentence)


def _stated(negated: frozenset[str], terms: Sequence[Term]) -> bool:
    return bool(negated) and negated <= {term.stem for term in terms}


def _adds(terms: Sequence[Term], position: int) -> bool:
    return any(term.text.casefold() in _ONLY for term in terms[position + 1 : position + 2])


def _scope(terms: Sequence[Term], position: int) -> list[str]:
    after = [term.stem for term in terms[position + 1 :] if _carries(term)]
    before = [term.stem for term in terms[:position] if _carries(term)]
    return after[:REACH] or before[-REACH:]


def _carries(term: Term) -> bool:
    return term.content and term.text.casefold() not in NEGATIONS
