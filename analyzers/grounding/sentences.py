"""Text cut into sentences that keep their place: `sentence.text == text[sentence.start:sentence.end]`, always.

Rules, not a model: they have to be right about lists, code, headings, abbreviations and numbers in any language that ends
sentences with a sign. A wrong cut costs little here, because a sentence is compared with two adjacent ones of the context.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 600
"""Characters of one sentence at most; what runs on without an end is cut at white space."""

_BLOCK = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_MARK = r"(?:[-*+•·–—▪]\s+|\d{1,3}[.)]\s+|\(?[a-z]\)\s+|#{1,6}\s+|>\s*|\|)"
# A run is tried from its beginning alone and not given back, so that a long one is read once.
_LINE_END = re.compile(r"(?<![^\S\n])[^\S\n]*+\n\s*+")
_BLANK_LINE = re.compile(r"\n\s*\n")
_LIST_MARK = re.compile(_MARK)
_HASHES = re.compile(r"#{1,6}[ \t]")
_TABLE_RULE = re.compile(r"[ \t]*+\n[ \t]*+\|?[ \t]*+:?-{3,}+:?[ \t]*+(?:\|[ \t|:-]*+)?(?:\n|\Z)")
_STOP = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s)|[。！？｡]++[」』”’）]*+|(?<![।۔؟])[।۔؟]++(?=\s)")
_LAST_WORD = re.compile(r"(?:[^\W\d_]\.)*[^\W_]+$")

_SHORTENED = (
    "mr mrs ms dr prof st sr jr vs etc e.g i.e eg ie cf al fig figs no nos vol pp ed eds approx dept est inc ltd co corp"
    " gen col lt sgt capt sen rep gov rev hon mt ft jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k u.n a.m p.m ph.d"
    " z.b d.h u.a o.ä bzw usw ca nr bd hr fr str abs evtl ggf inkl vgl sog zzgl mio mrd tel"
    " m mme mlle env av p.ex c.-à-d ud uds sra srta ej pág núm sig dott ecc es pag dhr mevr bijv enz"
)
_ABBREVIATIONS = frozenset(_SHORTENED.split())


class Sentence(NamedTuple):
    """A sentence and its place in the text; `code` where it is a fenced block, `heading` where it names what follows."""

    start: int
    end: int
    text: str
    code: bool = False
    heading: bool = False

    @property
    def silent(self) -> bool:
        """Whether it states nothing by its form alone."""
        return self.code or self.heading


def split(text: str) -> list[Sentence]:
    """The sentences of `text` in order, without the white space and list marks around them."""
    found: list[Sentence] = []
    position = 0
    for block in _BLOCK.finditer(text):
        found.extend(_prose(text, position, block.start()))
        found.append(Sentence(block.start(), block.end(), block.group(), code=True))
        position = block.end()
    found.extend(_prose(text, position, len(text)))
    return found


def _prose(text: str, start: int, end: int) -> Iterator[Sentence]:
    for line_start, line_end in _lines(text, start, end):
        heading = _is_heading(text[line_start:line_end].strip()) or bool(_TABLE_RULE.match(text, line_end, end))
        for piece_start, piece_end in _pieces(text, line_start, line_end):
            for low, high in _bounded(text, piece_start, piece_end):
                trimmed = _trimmed(text, low, high, heading)
                if trimmed is not None:
                    yield trimmed


def _is_heading(line: str) -> bool:
    """A heading of Markdown, or a line in bold, that does not end as a sentence does. (The head of a table: `_TABLE_RULE`.)"""
    if _HASHES.match(line):
        return line[-1] not in ".!?;"
    bold = line.removesuffix(":")
    inner = bold[2:-2]
    return (
        len(bold) > 4
        and bold[:2] == bold[-2:]
        and bold[:2] in ("**", "__")
        and bold[:2] not in inner
        and inner[-1] not in ".!?;"
    )


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Lines, joined where the next one goes on in lower case: hard-wrapped text."""
    position = start
    for found in _LINE_END.finditer(text, start, end):
        goes_on = text[found.end() : found.end() + 1].islower() and not _LIST_MARK.match(text, found.end(), end)
        if not goes_on or _BLANK_LINE.search(found.group()):
            yield position, found.start()
            position = found.end()
    yield position, end


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    mark = _LIST_MARK.match(text, start, end)
    position = body = mark.end() if mark else start
    for stop in _STOP.finditer(text, body, end):
        if _ends_here(text, position, stop):
            yield position, stop.end()
            position = stop.end()
    yield position, end


def _ends_here(text: str, start: int, stop: re.Match[str]) -> bool:
    """Whether a stop ends the sentence: not after an abbreviation, an initial or an ordinal."""
    if stop.group()[0] != "." or stop.group().startswith(".."):
        return True
    word = _LAST_WORD.search(text, max(start, stop.start() - 24), stop.start())
    if word is None:
        return True
    last = word.group()
    if last.isdigit():
        return len(last) > 2
    return last.casefold() not in _ABBREVIATIONS and not (len(last) == 1 and last.isupper())


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """What is longer than `LONGEST` in pieces, cut after white space where there is some in the later half."""
    while end - start > LONGEST:
        cut = max(text.rfind(white, start + LONGEST // 2, start + LONGEST) for white in " \n\t")
        cut = cut + 1 if cut > 0 else start + LONGEST
        yield start, cut
        start = cut
    yield start, end


def piece_of(sentence: Sentence, start: int, end: int) -> Sentence | None:
    """What stands between two places of a sentence; None where that is no text."""
    found = _trimmed(sentence.text, start, end)
    return None if found is None else found._replace(start=sentence.start + found.start, end=sentence.start + found.end)


def _trimmed(text: str, start: int, end: int, heading: bool = False) -> Sentence | None:
    piece = text[start:end]
    stripped = piece.strip()
    if not any(character.isalnum() for character in stripped):
        return None
    low = start + piece.index(stripped)
    return Sentence(low, low + len(stripped), stripped, heading=heading)
