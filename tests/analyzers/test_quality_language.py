"""Languages, answers in another one, reading ease."""

from __future__ import annotations

import pytest

from analyzers.quality.language import find_language, find_mismatch
from analyzers.quality.readability import count_syllables, reading_ease
from analyzers.quality.verdict import Verdict

TEXTS = {
    "en": "The invoice that you sent me last week is wrong, could you please send it again?",
    "de": "Die Rechnung, die Sie mir letzte Woche geschickt haben, ist falsch, bitte schicken Sie sie noch einmal.",
    "fr": "La facture que vous m'avez envoyée la semaine dernière est fausse, pouvez-vous la renvoyer ?",
    "es": "La factura que me envió la semana pasada está mal, ¿podría enviarla otra vez, por favor?",
    "it": "La fattura che mi ha mandato la settimana scorsa è sbagliata, può inviarla di nuovo?",
    "pt": "A fatura que você me enviou na semana passada está errada, poderia enviá-la novamente?",
    "nl": "De factuur die u mij vorige week hebt gestuurd klopt niet, kunt u hem nog eens sturen?",
    "ru": "Счёт, который вы прислали мне на прошлой неделе, неверный, пришлите его ещё раз, пожалуйста.",
    "zh": "您上周寄给我的发票有误，请您再寄一次给我好吗？谢谢您的帮助。",
    "ja": "先週送っていただいた請求書が間違っていますので、もう一度送っていただけますか。",
    "ar": "الفاتورة التي أرسلتها لي الأسبوع الماضي خاطئة، هل يمكنك إرسالها مرة أخرى؟",
}


@pytest.mark.parametrize("code", TEXTS)
def test_languages_are_named(code: str) -> None:
    verdict = find_language(TEXTS[code])
    assert verdict.label == code
    assert verdict.value is not None
    assert 0.2 <= verdict.value <= 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "too-short"),
        ("ok thanks", "too-short"),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "too-short"),
        ("```python\ndef f(x):\n    return x\n```", "too-short"),
        ("x = {'a': [1, 2, (3, 4)], 'b': {5: 6, 7: [8]}, 'c_d': f(g(1)), 'e': -1, 'long': [None]}", "not-prose"),
        ("\x00\x01\x02\ufffd" * 100, "not-text"),
    ],
)
def test_what_is_no_prose_has_no_language(text: str, reason: str) -> None:
    assert find_language(text).reason == reason


def test_code_within_prose_does_not_count() -> None:
    code = "```\nfor (int i = 0; i < n; i++) { total += values[i]; }\nreturn total;\n```"
    assert find_language(TEXTS["de"] + "\n" + code).label == "de"
    assert find_language(code + "\n" + TEXTS["fr"]).label == "fr"


def mismatch(asked: str, answered: str, instructions: str = "") -> Verdict:
    return find_mismatch(asked, find_language(asked), answered, find_language(answered), instructions)


def test_an_answer_in_another_language_is_flagged() -> None:
    verdict = mismatch(TEXTS["de"], TEXTS["en"])
    assert (verdict.flagged, verdict.label) == (True, "de>en")
    assert mismatch(TEXTS["fr"], TEXTS["fr"]).flagged is False
    assert mismatch(TEXTS["en"], TEXTS["zh"]).flagged is True


def test_languages_that_detectors_confuse_count_as_one() -> None:
    norwegian = "Fakturaen du sendte meg i forrige uke er feil, kan du være så snill å sende den på nytt?"
    danish = "Den faktura, du sendte mig i sidste uge, er forkert. Vil du være så venlig at sende den igen?"
    assert mismatch(norwegian, danish).flagged is False


@pytest.mark.parametrize(
    "asked",
    [
        "Translate this into German: ",
        "Please answer in German. ",
        "Write a poem in German about: ",
    ],
)
def test_an_answer_in_the_language_that_was_asked_for_abstains(asked: str) -> None:
    assert mismatch(asked + TEXTS["en"], TEXTS["de"]).reason == "language-asked-for"


def test_the_system_may_choose_the_language() -> None:
    assert mismatch(TEXTS["en"], TEXTS["de"], "Antworte immer auf Deutsch.").reason == "language-asked-for"
    assert mismatch(TEXTS["en"], TEXTS["de"], "Be brief.").flagged is True


def test_short_texts_and_code_abstain() -> None:
    assert mismatch("Wie geht es Ihnen heute?", TEXTS["en"]).flagged is None
    assert mismatch(TEXTS["de"], "```\nprint(1)\n```").reason == "completion-too-short"
    assert mismatch("", TEXTS["de"]).reason == "prompt-too-short"


def ease(text: str) -> Verdict:
    return reading_ease(text, find_language(text))


def test_reading_ease_is_the_formula_of_flesch() -> None:
    text = "The cat sat on the mat. The dog ran to the red barn and the cat slept in the sun."
    # 20 words, 2 sentences, 20 syllables.
    assert ease(text).value == pytest.approx(206.835 - 1.015 * 20 / 2 - 84.6)


def test_long_words_and_sentences_read_harder() -> None:
    easy = ease("How do I get my money back? I paid for the blue shoes, but they are too small. Can you help?").value
    hard = ease(
        "Notwithstanding previously communicated contractual considerations, our organisation respectfully requests "
        "comprehensive documentation regarding the retroactive administrative reimbursement procedures."
    ).value
    assert easy is not None
    assert hard is not None
    assert easy > 80
    assert hard < 0


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("cat", 1),
        ("money", 2),
        ("make", 1),
        ("table", 2),
        ("walked", 1),
        ("wanted", 2),
        ("boxes", 2),
        ("the", 1),
        ("banana", 3),
        ("shh", 1),
    ],
)
def test_syllables(word: str, count: int) -> None:
    assert count_syllables(word) == count


def test_other_languages_and_short_prompts_have_no_reading_ease() -> None:
    assert ease(TEXTS["de"]).reason == "not-english"
    assert ease("How do I reset my password?").reason == "too-short"
    assert ease("").reason == "too-short"
