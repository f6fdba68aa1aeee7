"""Words that carry little by themselves, by language; they also tell languages apart."""

from __future__ import annotations

from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS: dict[str, frozenset[str]] = {
    "en": _words(
        "a about above after again all also am an and any are as at be because been before being below between both "
        "but by can could did do does doing down during each few for from further had has have having he her here "
        "hers him his how i if in into is it its itself just may me might more most must my no nor not now of off on "
        "once only or other our out over own same shall she should so some such than that the their them then there "
        "these they this those through to too under until up us very was we were what when where which while who whom "
        "why will with would you your yes well"
    ),
    "de": _words(
        "der die das den dem des ein eine einer eines einem einen und oder aber nicht kein keine ist sind war waren "
        "wird werden wurde wurden hat haben hatte hatten sein zu zum zur im in an am auf aus bei mit nach von vom vor "
        "für über unter durch um als auch noch nur schon sich sie er es wir ihr ich du man dass wenn weil wie was wer "
        "wo so dann denn doch sehr mehr kann können muss soll bis beim diese dieser dieses"
    ),
    "fr": _words(
        "le la les l un une des du de d et ou mais ne pas plus est sont était étaient sera a ont avait être avoir à "
        "au aux en dans par pour sur sous avec sans ce cet cette ces qui que qu quoi dont où il elle ils elles on "
        "nous vous je tu se s son sa ses leur leurs y comme si aussi très peut doit entre"
    ),
    "es": _words(
        "el la los las un una unos unas de del y o pero no es son era eran fue fueron ser ha han había a al en por "
        "para con sin sobre entre que qué quien cual como cómo cuando donde se su sus lo le les me te nos yo tú él "
        "ella ellos más muy también este esta estos estas ese esa puede debe si sí"
    ),
    "it": _words(
        "il lo la i gli le un uno una di del della dei delle da dal dalla in nel nella a al alla con su sul sulla per "
        "tra fra e o ma non è sono era erano fu ha hanno essere che chi cui come quando dove si suo sua suoi loro ci "
        "più molto anche questo questa può deve se"
    ),
    "pt": _words(
        "o a os as um uma de do da dos das em no na nos nas por pelo pela para com sem sobre entre e ou mas não é são "
        "era eram foi foram ser tem têm que quem qual como quando onde se seu sua seus suas ele ela eles mais muito "
        "também este esta isso pode deve ao à"
    ),
    "nl": _words(
        "de het een en of maar niet geen is zijn was waren wordt worden werd heeft hebben had te in op aan van voor "
        "met bij naar uit over onder door om als ook nog maar zich hij zij ze wij we ik je jullie dat die dit deze "
        "wat wie waar hoe zo dan er meer zeer kan moet"
    ),
}

_CONNECTIVES = _words(
    "however additionally furthermore moreover therefore thus hence indeed absolutely certainly definitely exactly correct "
    "wrong right true sure yeah yea yep nope ok okay generally typically usually overall finally lastly interestingly actually "
    "basically really maybe perhaps instead meanwhile please note thanks thank sorry hi hello great good welcome wow oh ah hmm "
    "haha lol help let know hope "
    "ja nein jedoch außerdem zudem daher deshalb also genau natürlich gerne danke bitte hallo allerdings tatsächlich "
    "oui cependant toutefois donc ainsi bien sûr merci bonjour exactement "
    "embargo además por tanto claro gracias hola exacto certo grazie ciao inoltre quindi sim obrigado olá portanto nee dank "
)

EVERY_FUNCTION_WORD = _CONNECTIVES.union(*FUNCTION_WORDS.values())

MIN_HITS = 4
"""Function words that a text needs before its language is named."""


def language_of(words: Iterable[str]) -> str | None:
    """The language whose function words are clearly the most frequent; None where that is not clear."""
    counts = dict.fromkeys(FUNCTION_WORDS, 0)
    for word in words:
        if word in EVERY_FUNCTION_WORD:
            for language, known in FUNCTION_WORDS.items():
                counts[language] += word in known
    (first, hits), (_, second), *_ = sorted(counts.items(), key=lambda item: -item[1])
    return first if hits >= MIN_HITS and hits >= 2 * second else None
