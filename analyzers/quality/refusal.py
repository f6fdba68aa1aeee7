"""Refusals: an answer whose first sentences decline, or which the provider withheld.

Only the first three sentences count, each cut into its clauses, and a clause must itself begin with the refusal: an answer
that mentions "I cannot" on its way, or quotes it, is an answer. What stands in quotes is left out before looking, so a
refusal that quotes the request stays one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from analyzers.quality.text import is_binary, is_blank, sentences
from analyzers.quality.verdict import Verdict, abstained, judged

FILTERED = frozenset(
    (
        "content_filter",
        "content_filtered",
        "refusal",
        "safety",
        "prohibited_content",
        "blocklist",
        "spii",
        "recitation",
        "guardrail_intervened",
        "image_safety",
        "error_toxic",
        "content_policy_violation",
    )
)
"""Finish reasons, as `finish_reason` writes them, with which a provider says that it withheld the answer."""

_HEAD = 700
_SENTENCES = 3
_CLAUSES = 4
_QUOTED = re.compile('"[^"\n]{0,300}"|“[^”\n]{0,300}”|„[^“”\n]{0,300}[“”]|«[^»\n]{0,300}»|「[^」\n]{0,300}」|`[^`\n]{0,300}`')
_CLAUSE = re.compile(
    r"[,;:–—()\n]| - |\b(?:but|however|so|and|because|aber|jedoch|daher|mais|cependant|donc|pero|sin embargo|ma|però|"
    r"mas|porém|maar)\b"
)
_CONDITION = re.compile(r"(?:if|when|once|unless|should|wenn|falls|sobald|si|cuando|lorsque|quand|se|quando|als|wanneer)\b")

_AI = r"(?:(?:as|being|since i am|since i'm|because i am) an? [\w' -]{2,60}? (?=i\b|it\b|we\b))?"
_ADVERB = r"(?:\w{2,12}ly |also |just |really |actually |therefore |in good conscience |ever |even |currently |directly ){0,2}"
_VERBS = (
    r"(?:help|assist|support|provid|fulfil|comply|complet|satisfy|answer|respond|discuss|shar|giv|offer|creat|generat|"
    r"writ|produc|"
    r"engag|participat|advis|promot|encourag|condon|recommend(?!.{0,40}(?:enough|highly))|suggest|endors|do (?:that|"
    r"this|so|it|what)|tell you|talk about|"
    r"continue|proceed|process|perform|carry out|access|browse|search|accept|grant|be (?:able to|used|involved)|"
    r"facilitat|speculat|explain how|go into|role ?play|pretend|reveal|disclos|teach|instruct|guid|describ|translat|"
    r"entertain|"
    r"express|address|play along)"
)
ENGLISH = (
    rf"{_AI}(?:i|we) (?:can't|cannot|can not|could not|couldn't|won't|will not|would not|wouldn't|must not|mustn't|may not|"
    rf"am not going to|'m not going to|do not|don't) {_ADVERB}{_VERBS}",
    rf"{_AI}(?:i am|i'm|we are|we're) {_ADVERB}(?:unable|not able|not allowed|not permitted|not authorized|not authorised|"
    rf"not programmed|not designed|not equipped|not comfortable|not willing|not in a position|prohibited|"
    rf"forbidden) ?(?:to|from|with)?\b",
    rf"{_AI}(?:i|we)(?:'m| am|'re| are|'ll| will)? ?(?:must|have to|need to|should|going to have to|going to|"
    rf"afraid i must)? ?"
    r"(?:respectfully |politely |kindly )?(?:decline|refuse)\b",
    rf"{_AI}i (?:do not|don't) (?:feel comfortable|have the ability|have access|have the capability|have permission)",
    r"(?:that|this|it)(?:'s not| is not| isn't) (?:really )?something (?:that )?(?:i|we)(?: can| could| will| am| feel|"
    r"'m|'ll)\b",
    r"(?:that|this|it)(?:'s| is) something (?:that )?(?:i|we) (?:can't|cannot|won't|will not)\b",
    rf"{_AI}(?:it|this|that|doing so|your request|the request)(?:'s| is| goes| would be| would go|"
    rf" violates)? (?:not within my|"
    r"against my|against our|outside (?:of )?my|beyond my|my (?:guidelines|programming)|against (?:the )?(?:content )?polic)",
    r"it (?:is not|isn't|would not be|wouldn't be|is in|is un|is im|would be in|would be un) ?(?:appropriate|ethical|"
    r"right|possible)"
    r"(?: or [\w ]{2,20})? for me to",
    r"(?:it is|it's) (?:not|never) (?:appropriate|ethical|acceptable|okay|right)(?: (?:or|and|"
    r"nor) [\w ]{2,20})?(?: for me)? to "
    r"(?:discuss|provide|answer|respond|assist|help|engage|promote|encourage|share|speculate|make (?:jokes|fun|"
    r"generali[sz]ations))",
    r"my (?:guidelines|programming|policies|instructions|rules|training) (?:do not|don't|prevents?|prohibits?|forbids?|"
    r"won't)",
    r"(?:no|sorry)[.,]? (?:i|we) (?:can't|cannot|won't|will not)\b",
    r"(?:i'm |i am )?(?:sorry|afraid)[,.]? (?:that )?(?:i|we) (?:can't|cannot|won't|will not|am unable|am not able)\b",
)
OTHERS = (
    # German
    r"(?:als [\w -]{2,40} )?(?:ich (?:kann|darf|werde|möchte) |kann ich |darf ich |werde ich |dabei kann ich |"
    r"das kann ich |hierbei kann ich "
    r"|damit kann ich |diese anfrage kann ich |darauf kann ich )(?:[\wäöüß]{2,20} ){0,6}?(?:nicht|keine|kein|keinen)\b"
    r"(?: [\wäöüß]{1,25}){0,8}? ?(?:helfen|weiterhelfen|unterstützen|beantworten|geben|bereitstellen|anbieten|"
    r"erstellen|schreiben|"
    r"erfüllen|nachkommen|teilen|behilflich sein|machen|tun|unterstützung|eingehen|ausführen|liefern)",
    r"(?:ich bin|bin ich) (?:leider )?(?:nicht in der lage|nicht befugt|nicht berechtigt)",
    r"(?:ich muss|leider muss ich) (?:diese |die |ihre |deine )?(?:anfrage |bitte )?(?:[\wäöü]{2,20} )?ablehnen",
    r"es ist mir (?:leider )?nicht (?:möglich|erlaubt|gestattet)",
    # French
    r"(?:en tant qu[e'’] ?[\w éèàâê'-]{2,50} )?je ne (?:peux|puis|pourrai|suis|saurais|veux|"
    r"vais)(?: malheureusement)?(?: pas)? "
    r"(?:pas |vous |t'|en mesure|capable|autorisé|habilité|répondre|fournir|aider|donner|accéder|satisfaire|discuter|"
    r"partager|écrire|faire|générer|créer)",
    r"je (?:dois|me vois (?:contraint|obligé) de) (?:décliner|refuser)|je refuse|il m'est impossible|cela m'est impossible",
    # Spanish
    r"(?:como [\wáéíóúñ -]{2,50} )?(?:yo )?no (?:te |le |les |os )?(?:puedo|podré|podría|voy a|me es posible|"
    r"estoy (?:autorizad|capacitad|en condiciones))"
    r"(?:[oa])? ?(?:a )?(?:ayudar|asistir|proporcionar|cumplir|responder|dar|ofrecer|crear|generar|escribir|compartir|"
    r"hacer|realizar|"
    r"atender|acceder|hablar|participar|brindar|contestar|facilitar|para|de)",
    r"(?:debo|tengo que|me veo obligad[oa] a) (?:rechazar|negarme|declinar)|me niego a",
    # Italian
    r"(?:come [\wàèéìòù -]{2,50} )?non (?:posso|sono in grado di|mi è possibile|"
    r"sono autorizzat[oa] a)(?: \w{1,6})? ?(?:aiutar|fornir|rispond|"
    r"assist|soddisf|dar|offrir|crear|gener|scriv|condivid|far|esegu|tratt)",
    # Portuguese
    r"(?:como [\wáâãéêíóôõúç -]{2,50} )?(?:eu )?não (?:posso|consigo|estou autorizad[oa] a|sou capaz de|vou|"
    r"poderei)(?: (?:te|lhe|o|a))? ?(?:ajud|auxili|"
    r"fornec|respond|atend|dar|oferec|cri|ger|escrev|compartilh|faz|realiz|discut|particip)",
    # Dutch
    r"(?:als [\w -]{2,40} )?(?:ik kan|kan ik|ik mag|mag ik|daar kan ik)(?: [\w]{1,20}){0,5}? (?:niet|"
    r"geen)(?: [\w]{1,20}){0,6}? "
    r"?(?:helpen|meehelpen|geven|beantwoorden|verstrekken|bieden|voldoen|schrijven|maken|doen|delen)",
)
WITHOUT_SPACES = re.compile(
    "(?:抱歉|对不起|很遗憾|對不起|我)[^。！？]{0,12}?(?:无法|不能|無法|没办法|拒绝)[^。！？]{0,8}?(?:提供|帮助|協助|协助|回答|满足|滿足|讨论|生成|完成|处理)"
    "|(?:申し訳|すみません|恐れ入り)[^。！？]{0,40}?(?:できません|できかねます|お答えできない|いたしかねます)"
    "|(?:죄송|유감)[^.!?]{0,40}?(?:할 수 없|드릴 수 없|도와드릴 수)"
)
_CORE = re.compile("|".join(f"(?:{pattern})" for pattern in (*ENGLISH, *OTHERS)))
_LEAD = re.compile(
    r"(?:(?:oh|well|hello|hi|hey|unfortunately|regrettably|leider|malheureusement|désolé|lamentablemente|desafortunadamente|"
    r"purtroppo|infelizmente|helaas|i must inform you that|i have to inform you that|i regret to inform you that|"
    r"please note that|"
    r"i(?:'m| am) (?:just|only) an? [\w' -]{2,40}? (?=i\b)|(?:i'm |i am )?(?:very |so |really |terribly )?(?:sorry|"
    r"afraid)(?: that)?|"
    r"es tut mir leid|je suis désolée?|lo siento|mi dispiace|sinto muito|het spijt me|que|dass)[!.]? )"
)
# A plain "in" is a hundred times faster than a pattern; a head without any of these cannot refuse.
_HINTS = (
    "n't",
    "not ",
    "nnot",
    "unable",
    "declin",
    "refus",
    "my ",
    "nicht",
    "kein",
    "ablehn",
    "ne peux",
    "ne puis",
    "ne s",
    "ne p",
    "ne v",
    "imposs",
    "no ",
    "niego",
    "rechazar",
    "non ",
    "não",
    "niet",
    "geen",
    "prohibited",
    "forbidden",
)


def find_refusal(answer: str, finish_reasons: Sequence[str] = ()) -> Verdict:
    """Whether the answer declines. Label `declined`, or `filtered` where the finish reason says so.

    Args:
        finish_reasons: as `analyzers.quality.truncation.finish_reason` writes them.
    """
    withheld = next((reason for reason in finish_reasons if reason in FILTERED), "")
    if withheld:
        return judged(True, "filtered", f"the provider withheld the answer ({withheld})")
    if is_blank(answer):
        return abstained("no-answer")
    if is_binary(answer):
        return abstained("not-text")
    piece = _declining(_plain(answer))
    return (
        judged(False) if piece is None else judged(True, "declined", "the answer begins by declining", [_shown(answer, piece)])
    )


def _plain(answer: str) -> str:
    head = answer.lstrip()[:_HEAD].lower().replace("’", "'").replace("*", "")
    return _QUOTED.sub(" … ", head)


def _declining(head: str) -> str | None:
    if not head.isascii():
        found = WITHOUT_SPACES.search(head[:200])
        if found:
            return found.group()
    if not any(hint in head for hint in _HINTS):
        return None
    return next((clause for clause in _clauses(head) if _CORE.match(clause)), None)


def _clauses(head: str) -> Iterator[str]:
    for sentence in sentences(head, _SENTENCES):
        if _CONDITION.match(sentence):
            continue
        for clause in [sentence, *_CLAUSE.split(sentence, maxsplit=_CLAUSES)]:
            yield from _led(" ".join(clause.split()))


def _led(clause: str) -> Iterator[str]:
    """The clause, and what is left of it after words that lead in."""
    yield clause
    for _ in range(4):
        lead = _LEAD.match(clause)
        if lead is None:
            return
        clause = clause[lead.end() :]
        yield clause


def _shown(answer: str, clause: str) -> dict[str, object]:
    """Where it stands: the sentence that holds the clause, found by its first words."""
    start = answer.lower().replace("’", "'").find(clause.split("…")[0].strip()[:30])
    start = max(start, 0)
    end = min(len(answer), start + max(len(clause), 40))
    return {"text": answer[start:end], "start": start, "end": end}
