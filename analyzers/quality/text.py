"""Texts cut to what is worth reading, so that no text takes long: every check is linear in a bounded length."""

from __future__ import annotations

import re

INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
"""Characters that show nothing: zero-width, joiners, direction marks."""

_UNSEEN = "".join(sorted(INVISIBLE)) + (
    " \t\n\r\f\v\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f"
    "\u3000"
)
_SAMPLE = 2_000
_CODE = re.compile(
    r"```.{0,20000}?(?:```|\Z)|`[^`\n]{1,500}`|https?://\S{1,2000}|\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}", re.S
)
_ODD = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff\ue000-\uf8ff]")
_WIDE = re.compile(r"[\u0e00-\u0e7f\u2e80-\u9fff\uac00-\ud7af]")
_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?。！？]+|\n|\Z)")


def is_blank(text: str) -> bool:
    """Whether a person would see nothing."""
    return not text.strip() or not text.lstrip(_UNSEEN)


def is_binary(text: str) -> bool:
    """Whether it looks like bytes that were taken for text: over a tenth of a sample are control or replacement characters."""
    sample = text[:_SAMPLE]
    return not sample.isprintable() and len(_ODD.findall(sample)) * 10 > len(sample)


def prose(text: str, limit: int) -> str:
    """The first `limit` characters or so without code, addresses and mail addresses."""
    head = text[: 2 * limit]
    return (_CODE.sub(" ", head) if "`" in head or "://" in head or "@" in head else head)[:limit]


def letters(text: str) -> int:
    """How many letters it has; one of Chinese, Japanese, Korean or Thai, which say more, counts three."""
    return sum(map(str.isalpha, text)) + (0 if text.isascii() else 2 * len(_WIDE.findall(text)))


def sentences(text: str, count: int) -> list[str]:
    """The first `count` sentences (lines end them too), without blank ones."""
    found: list[str] = []
    for match in _SENTENCE.finditer(text):
        if match.group().strip():
            found.append(match.group().strip())
        if len(found) == count:
            break
    return found
