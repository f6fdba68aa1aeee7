"""One answer against its context: what can be scored, and the score with its evidence. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from analyzers.contract import Context, Score, SpanText
from analyzers.grounding.claims import all_refused, claims_of
from analyzers.grounding.features import Measured, measure
from analyzers.grounding.function_words import language_of
from analyzers.grounding.passages import Passages
from analyzers.grounding.sentences import split
from analyzers.grounding.sources import Sources, sources_of
from analyzers.grounding.support import Judged, Weights, judged, reasons
from analyzers.grounding.terms import Analysed, terms_of
from analyzers.text import legible

MAX_ANSWER_CHARS = 50_000
MIN_CONTEXT_WORDS = 5
"""Words that carry something, which a context needs at least: fewer support nothing and refute nothing."""
MAX_EVIDENCE = 5
"""Sentences that are stored with a score, those with the least support."""
MAX_QUOTE_CHARS = 600
_TOOL_CALL = "[tool call "
_CONTROL = {code for code in range(32) if chr(code) not in "\t\n\r\f\v"} | {0xFFFD, *range(0xD800, 0xE000)}
_LANGUAGE_SAMPLE_CHARS = 4_000


@dataclass(frozen=True)
class Assessed:
    """The measured sentences of an answer, or why there are none."""

    span: SpanText
    measured: tuple[Measured, ...] = ()
    sources: Sources | None = None
    answer_cut_chars: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """How measured sentences become a score: weights, the (allowed) support below which one is unsupported, who says so."""

    weights: Weights
    threshold: float
    scorer: str


def assess(span: SpanText, found: Context, max_context_chars: int) -> Assessed:
    """Measure every sentence of the span's answer that states something."""
    answer = legible(answer_of(span.completion))
    if not answer.strip():
        return Assessed(span, reason="no-claims" if span.completion.strip() else "no-answer")
    if is_binary(answer) or _is_json(answer):
        return Assessed(span, reason="not-text")
    sources = sources_of(span, found, max_context_chars)
    if not sources.texts:
        return Assessed(span, reason="no-context")
    return _assess_in(span, answer, sources)


def _assess_in(span: SpanText, answer: str, sources: Sources) -> Assessed:
    context = passages_of(tuple("" if is_binary(text) else legible(text) for text in sources.texts))
    if sum(len(each.content) for each in context.analysed) < MIN_CONTEXT_WORDS:
        return Assessed(span, sources=sources, reason="context-too-small")
    kept = answer[:MAX_ANSWER_CHARS]
    sentences = split(kept)
    claims = claims_of(sentences)
    if not claims:
        return Assessed(span, sources=sources, reason="refusal" if all_refused(sentences) else "no-claims")
    if _languages_differ(kept, context):
        return Assessed(span, sources=sources, reason="other-language")
    asked = Analysed(span.prompt[:MAX_ANSWER_CHARS]).content
    measured = tuple(measure(sentence, analysed, context, asked) for sentence, analysed in claims)
    return Assessed(span, measured, sources, len(answer) - len(kept))


@lru_cache(maxsize=8)
def passages_of(texts: tuple[str, ...]) -> Passages:
    """A context taken apart; the same documents often serve several answers in a row."""
    return Passages(texts)


def answer_of(completion: str) -> str:
    """The answer without the tool calls that may follow it."""
    if completion.startswith(_TOOL_CALL):
        return ""
    return completion.partition("\n" + _TOOL_CALL)[0]


def is_binary(text: str) -> bool:
    """Whether it is no text at all: control characters, broken encoding, or a blob without white space."""
    sample = text[:MAX_ANSWER_CHARS]
    if sum(ord(character) in _CONTROL for character in sample) > len(sample) / 50:
        return True
    words = sample.split()
    return sample.isascii() and max(map(len, words), default=0) > 200 and len(words) < len(sample) / 40


def _is_json(text: str) -> bool:
    stripped = text.strip()
    if not stripped or stripped[0] + stripped[-1] not in ("{}", "[]"):
        return False
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return False
    return True


def _languages_differ(answer: str, context: Passages) -> bool:
    """Whether both are clearly in one language each, and not the same: words cannot be compared then."""
    ours = language_of(term.text.casefold() for term in terms_of(answer[:_LANGUAGE_SAMPLE_CHARS]))
    joined = "\n".join(context.sources)[:_LANGUAGE_SAMPLE_CHARS]
    theirs = language_of(term.text.casefold() for term in terms_of(joined))
    return ours is not None and theirs is not None and ours != theirs


def score_of(assessed: Assessed, verdict: Verdict) -> Score:
    """The score of an answer: the least support of its sentences; flagged where one is below the threshold as `allowed`."""
    base = Score(assessed.span, "grounding", "completion", scorer=verdict.scorer)
    if assessed.sources is None or not assessed.measured:
        return replace(base, reason=assessed.reason)
    sentences = judged(assessed.measured, verdict.weights)
    weakest = sorted(sentences, key=lambda each: (each.support, each.measured.sentence.start))
    unsupported = [each for each in weakest if each.allowed < verdict.threshold]
    return replace(
        base,
        value=weakest[0].support,
        flagged=bool(unsupported),
        explanation=_explanation(assessed, sentences, unsupported, verdict),
        evidence=[_evidence(each, assessed.sources, verdict.threshold, len(weakest)) for each in weakest[:MAX_EVIDENCE]],
    )


def _explanation(assessed: Assessed, sentences: Sequence[Judged], unsupported: Sequence[Judged], verdict: Verdict) -> str:
    mean = sum(each.support for each in sentences) / len(sentences)
    below = sum(each.support < verdict.threshold for each in sentences)
    allowing = " allowing for their number" if below > len(unsupported) else ""
    said = [
        f"{len(unsupported)} of {len(sentences)} sentences below {verdict.threshold:.2f}{allowing}; mean support {mean:.2f}",
        *(f"weakest: {', '.join(reasons(each))}" for each in unsupported[:1]),
    ]
    if assessed.sources is not None and assessed.sources.cut_chars:
        said.append(f"the last {assessed.sources.cut_chars} characters of the context were not looked at")
    if assessed.answer_cut_chars:
        said.append(f"the last {assessed.answer_cut_chars} characters of the answer were not looked at")
    return "; ".join(said)


def _evidence(each: Judged, sources: Sources, threshold: float, sentences: int) -> Mapping[str, Any]:
    """A sentence of so many (offsets into the completion) with the best place in the context (offsets into its source)."""
    sentence, best = each.measured.sentence, each.measured.best
    return {
        "start": sentence.start,
        "end": sentence.end,
        "text": sentence.text[:MAX_QUOTE_CHARS],
        "support": round(each.support, 4),
        "supported": each.allowed >= threshold,
        "sentences": sentences,
        "missing": [
            *(number.text for number in each.measured.missing_numbers),
            *(name.text for name in each.measured.missing_names),
        ],
        "context": {
            "source": best.source,
            "origin": sources.origins[best.source],
            "start": best.start,
            "end": best.end,
            "text": best.text[:MAX_QUOTE_CHARS],
        },
        "features": each.measured.signals(),
    }
