"""Which parts of an answer state something that a context could support."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from analyzers.grounding.numerals import numbers_of
from analyzers.grounding.sentences import Sentence, piece_of
from analyzers.grounding.terms import Analysed

Claim = tuple[Sentence, Analysed]

_NO_STATEMENT = re.compile(r"[?？؟:：][\"'”’»)\]*_\s]*$")
# What an answer says about itself or its source, or offers: nothing that a document supports or not.
_CANNOT = r"(?:do not|don['’]?t|cannot|can['’]?t|could not|couldn['’]?t)"
_SOURCE = r"(?:context|documents?|passages?|text|sources?|information)"
_REFUSALS = (
    r"i(?:['’]m| am)?\s+(?:am\s+)?(?:sorry|afraid|unable to|not able to|not sure)",
    rf"i\s+{_CANNOT}\s+(?:have|find|know|see|answer|help|provide|assist|access|determine)",
    r"(?:no|any) (?:information|mention|details?|data) (?:(?:is|are|was) )?(?:available|provided|found|given|about|on|in the)",
    rf"{_SOURCE}(?: \w+){{0,3}} (?:does not|do not|doesn['’]?t|don['’]?t)"
    r" (?:contain|mention|provide|include|say|specify|state|cover|give)",
    rf"not (?:mentioned|specified|provided|stated|available|included) in the (?:\w+ )?{_SOURCE}",
    r"there(?:['’]s| is) (?:no|not enough|insufficient) (?:information|context|data)",
    r"(?:es )?tut mir leid|ich (?:kann|weiß|habe) (?:\w+ ){0,3}(?:nicht|keine)",
    r"je (?:suis désolé|ne (?:peux|sais|trouve))|désolé|lo siento|no (?:puedo|tengo|encuentro|sé)",
    r"mi dispiace|non (?:posso|so|ho|trovo)|desculpe|não (?:posso|sei|tenho)",
)
_REFUSAL = re.compile(rf"\b(?:{'|'.join(_REFUSALS)})\b", re.IGNORECASE)
_OFFERS = (
    r"(?:please )?let me know\b|feel free\b|i hope (?:this|that|it)\b|hope (?:this|that)\b",
    r"(?:is|if) there(?:'s| is)? anything else|i(?:'d| would) be happy to|i can help|happy to help",
    r"you(?:'re| are) welcome|thanks?\b|(?:i|we)(?:['’]m| am| are)? (?:sincerely |truly )?apologi[sz]e",
    r"(?:hello|hi|hey|dear|good (?:morning|afternoon|evening)|hallo|guten tag|sehr geehrte\w?|liebe[rs]?|bonjour|cher|chère"
    r"|hola|buenos días|estimad[oa]|ciao|buongiorno|gentile|olá|bom dia|beste|geachte)\b"
    r"(?:[ ,]+(?:(?-i:[A-ZÀ-Þ])[\w.'’-]*|there|all|everyone|team|again|customer|sir|madam|or|and|zusammen|à|tous|todos))*"
    r"[,!.]?$",
    r"here (?:is|are|'s)\b[^.:]{0,60}[:.]?$|ich hoffe|gerne helfe|n['’]hésitez pas|espero que|spero che",
)
_OFFER = re.compile(rf"^\W*(?:{'|'.join(_OFFERS)})", re.IGNORECASE)
_CLOSING = re.compile(
    r"^\W*(?:(?:with )?(?:(?:best|kind|warm)(?:est)? )?(?:regards|wishes)|sincerely|yours (?:sincerely|truly|faithfully)|cheers"
    r"|(?:mit )?(?:freundlichen?|viele|beste|herzliche) grüßen?|cordialement|bien à vous|(?:un )?saludos?(?: cordiales)?"
    r"|atentamente|cordiali saluti|atenciosamente|met vriendelijke groet)\W*$",
    re.IGNORECASE,
)
_SIGNATURE_TERMS = 6

# A sentence of nothing else is part of the conversation ("Great question!", "That's not accurate.") and claims nothing.
_CONVERSATIONAL = (
    "question questions point catch choice apologize apologise apologies confusion inconvenience misunderstanding mistake"
    " regards best kind warm wishes sincerely cheers glad happy pleased pleasure understand understood problem accurate"
    " inaccurate incorrect mistaken makes make sense appreciate asking reaching contacting excellent interesting summary"
    " conclusion short frage fragen verstanden entschuldigung entschuldigen grüße richtig falsch excuse excusez raison"
    " pregunta disculpa disculpe razón correcto domanda scusa ragione corretto pergunta desculpa razão correto vraag"
)
_CONVERSATION = frozenset(_CONVERSATIONAL.split())

# Where a sentence turns from what it does not know to something else. A comma alone is none: it parts what is listed.
_TURN = re.compile(
    r"[;:—–]\s+|[,(]?\s++(?=(?:but|however|though|although|aber|jedoch|allerdings|obwohl|mais|cependant|toutefois|pero|aunque|ma"
    r"|però|mas|porém|maar)\b)",
    re.IGNORECASE,
)
_CONCEDES = re.compile(
    r"^\W*(?:although|though|while|even though|obwohl|bien que|aunque|sebbene|embora|hoewel)\b", re.IGNORECASE
)
_COMMA = re.compile(r",\s+")
# What a person might do next. Without a figure it is an offer rather than a claim.
_ADVICE = re.compile(
    r"^\W*(?:(?:but|however|though|aber|jedoch|mais|pero|ma|mas|maar)\b\W*)?(?:you|please|i|we|let|feel|if|try|contact|check|perhaps"
    r"|maybe|sie|ich|bitte|wir|vous|je|nous|puede|puedo|può|posso|você)\b",
    re.IGNORECASE,
)


def claims_of(sentences: Sequence[Sentence]) -> list[Claim]:
    """The parts of an answer's sentences that state something, in order. What follows "Best regards," is a signature."""
    found: list[Claim] = []
    signing = False
    for sentence in sentences:
        signing = signing and len(sentence.text.split()) <= _SIGNATURE_TERMS
        if not signing:
            found += _claims(sentence)
        signing = signing or bool(_CLOSING.match(sentence.text))
    return found


def is_refusal(sentence: str) -> bool:
    """Whether it says that the answer is unknown, or declines to give one."""
    return bool(_REFUSAL.search(sentence))


def all_refused(sentences: Sequence[Sentence]) -> bool:
    """Whether an answer without claims is a refusal."""
    return any(is_refusal(sentence.text) for sentence in sentences)


def _claims(sentence: Sentence) -> Iterator[Claim]:
    """A sentence that states something; of one that declines or offers, the parts that do."""
    if sentence.silent or _NO_STATEMENT.search(sentence.text) or _CLOSING.match(sentence.text):
        return
    if not (is_refusal(sentence.text) or _OFFER.search(sentence.text)):
        analysed = Analysed(sentence.text)
        if _says_something(analysed):
            yield sentence, analysed
        return
    for part in _parts(sentence):
        analysed = Analysed(part.text)
        if _says_something(analysed) and not _idle(part.text, analysed):
            yield part, analysed


def _says_something(analysed: Analysed) -> bool:
    return any(term.content and term.text.casefold() not in _CONVERSATION for term in analysed.terms)


def _idle(part: str, analysed: Analysed) -> bool:
    """Whether a part declines; or only offers or advises, with no figure in it."""
    if is_refusal(part):
        return True
    return bool(_OFFER.search(part) or _ADVICE.search(part)) and not numbers_of(analysed.plain)


def _parts(sentence: Sentence) -> Iterator[Sentence]:
    """The pieces of a sentence between its turns, and after the concession that it begins with."""
    cuts = [turn.end() for turn in _TURN.finditer(sentence.text)]
    after = _COMMA.search(sentence.text) if _CONCEDES.search(sentence.text) else None
    cuts = sorted({0, len(sentence.text), *cuts, *([after.end()] if after else [])})
    for start, end in pairwise(cuts):
        part = piece_of(sentence, start, end)
        if part is not None:
            yield part
