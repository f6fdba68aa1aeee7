"""Text as a model may read it although a person does not: invisible characters, look-alikes, tags, base64."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from analyzers.quality.text import INVISIBLE, is_binary

_TAGS = range(0xE0020, 0xE007F)
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_][ \t.*_-]{1,4}){7,2000}[^\W\d_](?![^\W_])")
_DIGIT_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[0134579]{1,2}(?=[^\W\d_])")
_WORD_WITH_DIGITS = re.compile(r"\b\w{0,20}?[0134579]\w{0,20}")
DIGITS_AS_LETTERS = str.maketrans("0134579", "oieastg")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,8000}={0,2}")
_MAX_BLOBS = 20
LOOK_ALIKES = str.maketrans("асеорхуіјѕԁһӏАВСЕНІЈКМОРЅТХУαορτνικ", "aceopxyijsdhlabcehijkmopstxyaoptvik")


@dataclass(frozen=True)
class Plain:
    """A text in lower case without disguise; `origins[i]` is where character i stood (None: where i says)."""

    text: str
    origins: Sequence[int] | None = None
    hidden: int = 0
    first_hidden: int = 0

    @property
    def readings(self) -> tuple[str, ...]:
        """The text, and as it reads where letters of other scripts, or digits, stand for Latin ones; all of one length."""
        plain = self.text if self.text.isascii() else self.text.translate(LOOK_ALIKES)
        if _DIGIT_BETWEEN_LETTERS.search(plain):
            letters = _WORD_WITH_DIGITS.sub(lambda word: word.group().translate(DIGITS_AS_LETTERS), plain)
            return tuple(dict.fromkeys((self.text, plain, letters)))
        return tuple(dict.fromkeys((self.text, plain)))

    def origin(self, index: int) -> int:
        """Where the character at `index` stood in the original."""
        if self.origins is None:
            return index
        return self.origins[index] if index < len(self.origins) else (self.origins[-1] + 1 if self.origins else 0)


def undisguised(text: str) -> Plain:
    """The text folded: compatibility forms and tag characters become plain letters, invisible ones go."""
    if text.isascii():
        return Plain(text.lower())
    pieces: list[str] = []
    origins: list[int] = []
    hidden: list[int] = []
    for index, character in enumerate(text):
        folded, is_hidden = _folded(character)
        if is_hidden and not _joins(text, index):
            hidden.append(index)
        pieces.append(folded)
        origins.extend([index] * len(folded))
    return Plain("".join(pieces), origins, len(hidden), hidden[0] if hidden else 0)


@lru_cache(maxsize=65536)
def _folded(character: str) -> tuple[str, bool]:
    if ord(character) in _TAGS:
        return chr(ord(character) - 0xE0000).lower(), True
    if character in INVISIBLE:
        return "", True
    return unicodedata.normalize("NFKC", character).casefold(), False


def _joins(text: str, index: int) -> bool:
    """Whether an invisible character belongs to the script or emoji around it: a joiner, a mark of direction, a flag."""
    if text[index] == "\ufeff":
        return index == 0
    around = text[max(0, index - 2) : index] + text[index + 1 : index + 2]
    return text[index] in "\u200c\u200d\u200e\u200f\u00ad\u061c" and not around.isascii()


@dataclass(frozen=True)
class Decoded:
    """Text that stood in another form between `start` and `end`."""

    text: str
    start: int
    end: int


def spaced_words(text: str) -> Iterator[Decoded]:
    """Words whose letters stand apart ("i g n o r e  a l l"), put together; at most twenty runs. More space parts words."""
    for count, match in enumerate(_SPACED.finditer(text)):
        if count == _MAX_BLOBS:
            return
        run = match.group()
        words = re.split(r"[ \t]+" if re.search(r"[^\W\d_][.*_-][^\W\d_]", run) else r"[ \t]{2,}", run)
        yield Decoded(" ".join(re.sub(r"[\W_]", "", word) for word in words), match.start(), match.end())


def decoded_blobs(text: str) -> Iterator[Decoded]:
    """Texts that are hidden as base64, at most twenty."""
    for count, match in enumerate(_BASE64.finditer(text)):
        if count == _MAX_BLOBS:
            return
        found = _decode(match.group())
        if found:
            yield Decoded(found, match.start(), match.end())


def _decode(blob: str) -> str:
    raw = blob.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(raw[: len(raw) - (len(raw) % 4 == 1)] + "=" * (-len(raw) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return "" if is_binary(decoded) or " " not in decoded else decoded
