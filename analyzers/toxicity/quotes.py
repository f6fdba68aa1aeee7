"""What a text says in its own words: quotes are left out where the text declines them, reports them or asks about them. Pure.

Quotation marks alone prove nothing, because attacks have them too. A quote is somebody else's where the text begins by
declining, or where the words around it, themselves outside of any quote, say so: "you wrote", "the comment", "… is an insult".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from analyzers.quality.refusal import find_refusal

_LONGEST = 1_000
_MOST = 200
"""Quotes of a text that are looked at; further ones count as its own words."""
_AROUND = 120
"""Characters before a quote, and after it, that may say whose it is."""


def _marked(opening: str, closing: str) -> str:
    """Within a paragraph. An opening mark inside ends the search: no text takes more than linear time."""
    return rf"{opening}(?:[^{opening}{closing}\n]|\n(?!\s*\n)){{1,{_LONGEST}}}[{closing}]"


def _single(opening: str, closing: str) -> str:
    """The same for marks that are apostrophes too."""
    inside = rf"[^{opening}{closing}\n]|(?<=\w){closing}(?=\w)"
    return rf"(?<!\w){opening}(?=\S)(?:{inside}){{1,{_LONGEST}}}(?<=\S){closing}(?!\w)"


_BLOCK = r"^[ \t]*>[^\n]*(?:\n[ \t]*>[^\n]*)*"
_DOUBLE = (('"', '"'), ("“", "”"), ("„", "“”"), ("«", "»"), ("»", "«"), ("‹", "›"), ("「", "」"), ("`", "`"), ("‚", "‘’"))
_QUOTE = re.compile(
    "|".join([f"(?P<block>{_BLOCK})", *(_marked(*marks) for marks in _DOUBLE), _single("'", "'"), _single("‘", "’")]), re.M
)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n\s*\n")

_SAID = (
    r"(?:said|says?|saying|wrote|writes?|writing|written|called|calls?|calling|shout(?:s|ed|ing)?|yell(?:s|ed|ing)?|told|"
    r"tells?|telling|post(?:s|ed|ing)?|comment(?:s|ed|ing)?|tweet(?:s|ed|ing)?|text(?:s|ed|ing)?|asked|typed|claim(?:s|ed|ing)?|"
    r"sent|sends?|sending|repl(?:ied|ies)|scream(?:s|ed|ing)?|whisper(?:s|ed)?|insult(?:s|ed|ing)?|threaten(?:s|ed|ing)?|reads?)"
)
_NAMED = (
    r"(?:words?|phrases?|sentences?|terms?|slurs?|insults?|expressions?|comments?|messages?|posts?|tweets?|text|titles?|quotes?|"
    r"statements?|slogans?|chants?|signs?|banners?|graffiti|headlines?|lyrics?|reviews?|e-?mails?|repl(?:y|ies)|threats?|notes?)"
)
_NOT = (
    r"(?:can't|cannot|can not|won't|will not|wouldn't|would not|shouldn't|should not|mustn't|must not|don't|do not|never|"
    r"not going to|refuse to|unable to|not able to|not allowed to|decline to|rather than|instead of)"
)
_OTHERS = re.compile(
    rf"\b(?:{_SAID}|{_NAMED})\b|\b{_NOT}\b|\b(?:classify|translate|moderate|rephrase|explain|flagged|reported)\b|"
    r"\b(?:offensive|insulting|rude|hateful|toxic|racist|sexist|hurtful|abusive|bullying|harassment|dehumani[sz]\w+|"
    r"unacceptable|inappropriate|not (?:okay|ok|acceptable|appropriate)|means?)\b",
    re.I,
)
_OWN = re.compile(
    r"\b(?:i|we)(?:'ve|'d|'ll|'m| have| had| will| am)? "
    rf"(?:(?!was|were|got|been|am|are|get|can|will|never|not|do)\w+ ){{0,2}}{_SAID}\b|"
    rf"\b(?:my|our) (?:\w+ )?{_NAMED}\b|"
    rf"\b{_NAMED} (?:for|to) (?:you|all|every\w*|the|those|these)\b|"
    r"\b(?:is|are|was|were|'s|'re) (?:\w+ly )?(?:right|correct)\b(?! to)|\bi (?:\w+ )?agree\b|"
    r"\byou(?:'re| are)(?! (?:saying|asking|quoting|welcome|not))\b",
    re.I,
)
"""What makes it the speaker's: said in the first person, addressed, agreed with, or held against the reader."""
_OFFERED = re.compile(
    r"\bhere(?:'s| is| are) (?:what|how|one|some|another)\b|\byou (?:could|can|might|should) (?:say|write|tell|send|try)\b",
    re.I,
)
"""What makes it an answer to a request for insults, however that begins."""


def own_words(text: str) -> str:
    """`text` with blanks for quotes that are somebody else's: every offset stays. All of it where nothing would be left."""
    quotes = list(islice(_QUOTE.finditer(text), _MOST))
    if not quotes:
        return text
    frame = _blanked(text, quotes).replace("’", "'")
    declines = bool(find_refusal(text).flagged)
    own = _blanked(text, (quote for quote in quotes if _is_others(quote, frame, declines)))
    return own if any(map(str.isalpha, own)) else text


def _is_others(quote: re.Match[str], frame: str, declines: bool) -> bool:
    before, after = _before(frame, quote.start()), _after(frame, quote.end())
    if _OWN.search(before) or _OFFERED.search(before):
        return False
    return bool(quote["block"] or declines or _OTHERS.search(before) or _OTHERS.search(after))


def _before(frame: str, end: int) -> str:
    """The sentence before, as far as it is near."""
    near = " ".join(frame[max(0, end - _LONGEST) : end].split())[-_AROUND:]
    return list(_pieces(near))[-1]


def _after(frame: str, start: int) -> str:
    """The rest of the sentence."""
    near = frame[start : start + _AROUND]
    return next(_pieces(near))


def _pieces(near: str) -> Iterator[str]:
    position = 0
    for stop in _SENTENCE_END.finditer(near):
        yield near[position : stop.end()]
        position = stop.end()
    yield near[position:]


def _blanked(text: str, quotes: Iterable[re.Match[str]]) -> str:
    """The marks stay, what is between them goes."""
    kept: list[str] = []
    position = 0
    for quote in quotes:
        closing = "" if quote["block"] else text[quote.end() - 1]
        kept += [text[position : quote.start() + 1], " " * (len(quote[0]) - 1 - len(closing)), closing]
        position = quote.end()
    return "".join([*kept, text[position:]])
