"""Prompt injection, as a screen: patterns that attempts often carry, not a judgement that one succeeded.

Score: 1 - Π (1 - weight) over the patterns found, so that several weak signs add up and none exceeds 1. What stands in
invisible, look-alike or tag characters, in letters that stand apart or in base64 is read too, and counts as a sign by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from analyzers.contract import Message
from analyzers.quality.disguise import Plain, decoded_blobs, spaced_words, undisguised
from analyzers.quality.injection_patterns import PATTERNS
from analyzers.quality.text import is_blank
from analyzers.quality.verdict import Verdict, abstained

THRESHOLD = 0.5
MAX_CHARS = 30_000
"""Characters read of one message: two thirds from its start, one third from its end."""

MAX_MESSAGES = 20
MAX_EVIDENCE = 10
HIDDEN_CHARACTERS = 8
"""Invisible characters from which on they count as a sign by themselves."""

_HIDDEN_WEIGHT = 0.4
_DISGUISE_WEIGHT = 0.6

Sign = tuple[str, float, int, int]


def find_injection(messages: Sequence[Message]) -> Verdict:
    """The screen over what came from outside: see `untrusted`. Flagged from 0.5 on; label: the pattern with most weight."""
    read = untrusted(messages)
    if all(is_blank(message.text) for _, message in read):
        return abstained("no-prompt")
    signs = [(index, message, sign) for index, message in read for sign in _signs(message.text)]
    weights = {sign[0]: sign[1] for _, _, sign in signs}
    score = _combined(weights.values())
    strongest = max(weights, key=lambda name: weights[name], default="")
    return Verdict(
        value=score,
        flagged=score >= THRESHOLD,
        label=strongest,
        explanation=f"found: {', '.join(sorted(weights))}" if weights else "",
        evidence=[_evidence(index, message, sign) for index, message, sign in signs[:MAX_EVIDENCE]],
    )


def untrusted(messages: Sequence[Message]) -> list[tuple[int, Message]]:
    """What came from outside since the model last spoke: the last user message, later tool results, and documents."""
    numbered = list(enumerate(messages))
    user = max((index for index, message in numbered if message.role == "user"), default=-1)
    spoken = max((index for index, message in numbered if message.role == "assistant"), default=-1)
    wanted = [
        (index, message)
        for index, message in numbered
        if index == user or message.role == "document" or (message.role == "tool" and index > spoken)
    ]
    return wanted[-MAX_MESSAGES:]


def _combined(weights: Iterable[float]) -> float:
    return 1 - math.prod(1 - weight for weight in weights)


def _signs(text: str) -> Iterator[Sign]:
    for start, piece in _pieces(text):
        plain = undisguised(piece)
        for name, weight, first, last in _matches(plain):
            yield name, weight, start + plain.origin(first), start + plain.origin(last - 1) + 1
        yield from _hidden(plain, start)
        yield from _encoded(piece, start)


def _pieces(text: str) -> list[tuple[int, str]]:
    if len(text) <= MAX_CHARS:
        return [(0, text)]
    tail = len(text) - MAX_CHARS // 3
    return [(0, text[: MAX_CHARS * 2 // 3]), (tail, text[tail:])]


def _matches(plain: Plain) -> Iterator[Sign]:
    seen: set[str] = set()
    for text in plain.readings:
        for pattern in PATTERNS:
            found = pattern.search(text) if pattern.name not in seen else None
            if found:
                seen.add(pattern.name)
                yield pattern.name, pattern.weight, found.start(), found.end()


def _hidden(plain: Plain, start: int) -> Iterator[Sign]:
    if plain.hidden >= HIDDEN_CHARACTERS:
        yield "hidden_characters", _HIDDEN_WEIGHT, start + plain.first_hidden, start + plain.first_hidden + 1


def _encoded(piece: str, start: int) -> Iterator[Sign]:
    for blob in (*decoded_blobs(piece), *spaced_words(piece)):
        for name, weight, _, _ in _matches(undisguised(blob.text)):
            yield name, weight, start + blob.start, start + blob.end
            yield "encoded", _DISGUISE_WEIGHT, start + blob.start, start + blob.end


def _evidence(index: int, message: Message, sign: Sign) -> dict[str, object]:
    name, weight, start, end = sign
    return {
        "pattern": name,
        "weight": weight,
        "message": index,
        "role": message.role,
        "start": start,
        "end": end,
        "text": message.text[start:end][:200],
    }
