"""The language of a text, and answers in another one than the question.

py3langid (Lui & Baldwin's langid.py, its model in the package, offline) names it; its confidence is a softmax tempered by the
square root of the length, so that short texts are not overrated.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from analyzers.quality.text import is_binary, letters, prose
from analyzers.quality.verdict import Verdict, abstained, judged

SAMPLE_CHARS = 300
MIN_LETTERS = 15
MIN_PROSE = 0.6
"""Share of letters among the characters that are not spaces; code and figures have less."""

MIN_CONFIDENCE = 0.2
SURE = 0.4
SURE_LETTERS = 40
"""What both texts need before a mismatch is stated."""

_CLOSE = ("no nb nn da sv", "hr sr bs sl", "id ms jv", "cs sk", "gl pt es", "af nl", "hi mr ne", "ru uk be bg mk")
_NAMES: dict[str, tuple[str, ...]] = {
    "ar": ("arabic", "arabisch", "arabe", "árabe"),
    "de": ("german", "deutsch", "allemand", "alemán", "tedesco"),
    "en": ("english", "englisch", "anglais", "inglés", "inglese", "inglês"),
    "es": ("spanish", "spanisch", "espagnol", "español", "spagnolo", "espanhol"),
    "fr": ("french", "französisch", "français", "francés", "francese", "francês"),
    "it": ("italian", "italienisch", "italien", "italiano"),
    "ja": ("japanese", "japanisch", "japonais", "japonés", "日本語"),
    "ko": ("korean", "koreanisch", "coréen", "coreano", "한국어"),
    "nl": ("dutch", "niederländisch", "néerlandais", "nederlands"),
    "pl": ("polish", "polnisch", "polonais", "polski"),
    "pt": ("portuguese", "portugiesisch", "portugais", "portugués", "português"),
    "ru": ("russian", "russisch", "russe", "ruso", "русск"),
    "tr": ("turkish", "türkisch", "turc", "turco", "türkçe"),
    "zh": ("chinese", "chinesisch", "chinois", "chino", "mandarin", "中文"),
}
_TRANSLATION = re.compile(
    r"translat|übersetz|tradui|traduc|traduz|tradur|vertaal|перевед|перевод|翻译|翻譯|翻訳|번역|tłumacz|çevir|"
    r"\b(?:in|into|to|auf|ins|en|al|in het) (?:english|german|french|spanish|italian|portuguese|dutch|russian|japanese|"
    r"korean|"
    r"chinese|arabic|turkish|polish)\b"
)


# Of the library's 130 languages those that applications are written in: the rare ones are where short texts go astray.
LANGUAGES = (
    "af ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko la "
    "lb lo lt lv mk ml"
    " mn mr ms mt my nb ne nl nn no pa pl pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh zu"
)


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(set(LANGUAGES.split()) & set(identifier.labels))
    return identifier


@lru_cache(maxsize=4096)
def _classify(sample: str) -> tuple[str, float]:
    code, confidence = _identifier().classify(sample)
    return str(code), float(confidence)


def find_language(text: str) -> Verdict:
    """The language as an ISO 639 code in `label`, its confidence (0..1) as the value.

    Abstains: `too-short` (under 15 letters), `not-text`, `not-prose` (code, figures), `unsure`. In a text of several
    languages, the one that the first 300 characters show most.
    """
    if is_binary(text):
        return abstained("not-text")
    sample = prose(text, SAMPLE_CHARS)
    count = letters(sample)
    if count < MIN_LETTERS:
        return abstained("too-short")
    if count < MIN_PROSE * sum(len(word) for word in sample.split()):
        return abstained("not-prose")
    code, confidence = _classify(sample)
    if confidence < MIN_CONFIDENCE:
        return abstained("unsure")
    return Verdict(confidence, label=code)


def find_mismatch(asked: str, prompt: Verdict, answered: str, completion: Verdict, instructions: str = "") -> Verdict:
    """Whether the answer is in another language than the question. Label: `asked>answered`.

    Abstains where either language is not sure or either text has under 40 letters, and where the question or the
    `instructions` (the system's messages) ask for a translation or name the language of the answer. Languages that
    detectors confuse (Norwegian and Danish, Croatian and Serbian …) count as one.
    """
    for side, verdict in (("prompt", prompt), ("completion", completion)):
        if verdict.value is None:
            return abstained(f"{side}-{verdict.reason}")
        if verdict.value < SURE:
            return abstained(f"{side}-unsure")
    if min(letters(prose(text, SAMPLE_CHARS)) for text in (asked, answered)) < SURE_LETTERS:
        return abstained("too-short")
    label = f"{prompt.label}>{completion.label}"
    if prompt.label == completion.label or _are_close(prompt.label, completion.label):
        return judged(False, label)
    if _is_wanted(completion.label, asked) or _is_wanted(completion.label, instructions):
        return abstained("language-asked-for", label)
    return judged(True, label, f"asked in {prompt.label}, answered in {completion.label}")


def _are_close(one: str, other: str) -> bool:
    return any(one in group.split() and other in group.split() for group in _CLOSE)


def _is_wanted(code: str, text: str) -> bool:
    said = (text[:4_000] + " " + text[-1_000:]).lower()
    return any(name in said for name in _NAMES.get(code, ())) or bool(_TRANSLATION.search(said))
