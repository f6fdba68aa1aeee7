"""Loops inside an answer: a line or a phrase again and again, or text that compresses as no prose does."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from itertools import islice

from analyzers.quality.text import is_binary, is_blank
from analyzers.quality.verdict import Verdict, abstained, judged

MAX_CHARS = 20_000
"""Characters looked at, from the end: a loop lasts until the answer ends."""

MIN_WORDS = 40
PHRASE_WORDS = 6
PHRASE_SHARE = 0.5
"""Share of the phrases of `PHRASE_WORDS` words that came before, from which on it is a loop."""

LINE_TIMES = 5
LINE_SHARE = 0.4
MIN_CHARS = 200
RATIO = 10.0
"""Bytes over bytes compressed by zlib. Prose has 2 to 3, long tables and JSON up to 8."""

MIN_RATIO = 2.5
"""Text that compresses less has no loop of phrases, which are counted only above it."""

_WORD = re.compile(r"\S+")


def find_repetition(answer: str) -> Verdict:
    """Whether the answer loops. Label `line`, `phrase` or `compression`: which of the three found it first."""
    if is_blank(answer):
        return abstained("no-answer")
    if is_binary(answer):
        return abstained("not-text")
    start = max(0, len(answer) - MAX_CHARS)
    tail = answer[start:]
    ratio = _ratio(tail)
    phrase = _phrase(tail, start) if ratio >= MIN_RATIO else None
    return _line(tail, start) or phrase or _compression(tail, start, ratio) or judged(False)


def _line(tail: str, offset: int) -> Verdict | None:
    lines = [line.strip() for line in tail.splitlines()]
    spoken = Counter(line for line in lines if len(line) >= 15 and " " in line)
    if not spoken:
        return None
    line, times = spoken.most_common(1)[0]
    if times < LINE_TIMES or times < LINE_SHARE * sum(1 for each in lines if each):
        return None
    return _found("line", f"a line stands {times} times", tail, tail.find(line), line, offset)


def _phrase(tail: str, offset: int) -> Verdict | None:
    words = tail.lower().split()
    count = len(words) - PHRASE_WORDS + 1
    if len(words) < MIN_WORDS:
        return None
    phrases = Counter(zip(*(words[shift : shift + count] for shift in range(PHRASE_WORDS)), strict=True))
    share = 1 - len(phrases) / count
    if share < PHRASE_SHARE:
        return None
    phrase, times = phrases.most_common(1)[0]
    said = f"{share:.0%} of the phrases of {PHRASE_WORDS} words came before; this one stands {times} times"
    first = next(index for index in range(count) if tuple(words[index : index + PHRASE_WORDS]) == phrase)
    places = list(islice(_WORD.finditer(tail), first, first + PHRASE_WORDS))
    begin, end = places[0].start(), places[-1].end()
    return _found("phrase", said, tail, begin, tail[begin:end], offset)


def _ratio(tail: str) -> float:
    raw = tail.encode("utf-8", "replace")
    return len(raw) / len(zlib.compress(raw, 1))


def _compression(tail: str, offset: int, ratio: float) -> Verdict | None:
    if len(tail) < MIN_CHARS or ratio < RATIO:
        return None
    return _found("compression", f"it compresses {ratio:.0f} times", tail, 0, tail[:80], offset)


def _found(label: str, said: str, tail: str, start: int, piece: str, offset: int) -> Verdict:
    piece = piece[:200]
    return judged(True, label, said, [{"text": piece, "start": offset + start, "end": offset + start + len(piece)}])
