"""Which sentences of an answer state something that a context could support."""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzers.grounding.sentences import Sentence
from analyzers.grounding.terms import Analysed

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
    r"(?:please )?let me know|feel free|i hope (?:this|that|it)|hope (?:this|that)",
    r"(?:is|if) there(?:'s| is)? anything else|i(?:'d| would) be happy to|i can help|happy to help",
    r"you(?:'re| are) welcome|thank",
    r"here (?:is|are|'s)\b[^.]{0,60}[:.]?$|ich hoffe|gerne helfe|n['’]hésitez pas|espero que|spero che",
)
_OFFER = re.compile(rf"^\W*(?:{'|'.join(_OFFERS)})", re.IGNORECASE)


def is_refusal(sentence: str) -> bool:
    """Whether it says that the answer is unknown, or declines to give one."""
    return bool(_REFUSAL.search(sentence))


def states_something(sentence: Sentence, analysed: Analysed) -> bool:
    """Whether there is anything to support: no code, question, introduction of a list, courtesy or refusal."""
    if sentence.code or not any(term.content for term in analysed.terms):
        return False
    return not (_NO_STATEMENT.search(sentence.text) or _OFFER.search(sentence.text) or is_refusal(sentence.text))


def all_refused(sentences: Sequence[Sentence]) -> bool:
    """Whether an answer without claims is a refusal."""
    return any(is_refusal(sentence.text) for sentence in sentences)
