"""Truncated answers: the finish reason says so or, only where there is none, the text stops in the middle."""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzers.quality.text import is_binary, is_blank
from analyzers.quality.verdict import Verdict, abstained, judged

LIMITS = frozenset(
    (
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_length",
        "max_completion_tokens",
        "max_new_tokens",
        "model_length",
        "token_limit",
        "tokens_limit",
        "output_token_limit",
        "model_context_window_exceeded",
        "context_length_exceeded",
        "context_window_exceeded",
        "incomplete",
        "length_capped",
        "length_limit",
        "error_limit",
    )
)
"""Finish reasons with which a provider says that a limit ended the answer."""

_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|[\s.-]+")
_ENDS = frozenset(".!?…。！？；;:\"'”’»」』)]}>*_`|~。)】》%€$£")
_PROSE = re.compile(r"[^\W\d_]{2,}[,]?\Z")
_MIN_CHARS = 200
_TAIL = 2_000
_SENTENCES = re.compile(r"[.!?。！？](?:\s|\Z)")


def finish_reason(text: str) -> str:
    """One spelling for all dialects: `MAX_TOKENS`, `FinishReason.MAX_TOKENS`, `maxTokens`, `max-tokens` are `max_tokens`."""
    last = text.strip().strip("\"'[]").rpartition(".")[2][:100]
    return _BOUNDARY.sub("_", last).lower()


def find_truncation(answer: str, finish_reasons: Sequence[str]) -> Verdict:
    """Whether the answer was cut off. Label `finish-reason` or `mid-sentence`: what the judgement rests on.

    Args:
        finish_reasons: as `finish_reason` writes them; blank ones do not count.
    """
    known = [
        reason for reason in finish_reasons if reason and reason not in ("unknown", "none", "null", "finish_reason_unspecified")
    ]
    if known:
        limits = [reason for reason in known if reason in LIMITS]
        said = f"the finish reason is {limits[0]}" if limits else ""
        return judged(bool(limits), "finish-reason", said)
    return _by_text(answer)


def _by_text(answer: str) -> Verdict:
    if is_blank(answer):
        return abstained("no-answer")
    if is_binary(answer):
        return abstained("not-text")
    tail = answer[-_TAIL:].rstrip()
    if answer[-200_000:].count("```") % 2 and len(answer) <= 200_000:
        return _cut(answer, "a code block is left open")
    if tail[-1] in _ENDS:
        return judged(False, "mid-sentence")
    if len(answer) < _MIN_CHARS or not _is_prose(tail):
        return abstained("no-finish-reason")
    return _cut(answer, "the text stops within a sentence")


def _is_prose(tail: str) -> bool:
    """Sentences in the last paragraph, which ends with a word: no list, table, signature or code."""
    paragraph = tail[tail.rfind("\n") + 1 :].strip()
    listed = paragraph[:1] in ("-", "*", "|", "#", "•") or paragraph[:1].isdigit()
    return not listed and len(paragraph) >= 60 and bool(_PROSE.search(paragraph)) and bool(_SENTENCES.search(tail))


def _cut(answer: str, why: str) -> Verdict:
    start = max(0, len(answer) - 80)
    return judged(True, "mid-sentence", why, [{"text": answer[start:], "start": start, "end": len(answer)}])
