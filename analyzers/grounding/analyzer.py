"""Grounding of answers, as an analyzer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import structlog

from analyzers.contract import Batch, Findings, Part, Score, SpanText
from analyzers.grounding.assessment import Assessed, Verdict, assess, score_of
from analyzers.grounding.cross_encoder import SupportCrossEncoder
from analyzers.grounding.feedback import NAME, weights_of
from analyzers.grounding.support import DEFAULT, FEATURES_VERSION
from analyzers.hosting import Hosted, ModelUnavailableError
from analyzers.resources import Resources
from storage.calibrations import Calibration, read_holding

_log = structlog.get_logger("analyzers.grounding")


def create(resources: Resources) -> GroundingAnalyzer:
    """The analyzer; models are loaded with the first batch."""
    return GroundingAnalyzer(resources)


class GroundingAnalyzer:
    """Scores answers that have a context. Without a model its measures are words alone, and every row's scorer says so.

    Scorers: `grounding@2+<embedder>` (2: the version of the measures), `grounding@2-lexical` without an embedder, either with
    `+<cross-encoder>` where one is loaded, and with `+cal_…` where a calibration of the service holds.
    """

    name = NAME
    parts: tuple[Part, ...] = ("completion",)
    needs_context = True

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._settings = resources.settings.grounding
        self._cross: Hosted[SupportCrossEncoder] | None = None
        self._embeds = False
        self._models: tuple[str, ...] | None = None

    @property
    def version(self) -> str:
        """Measures and models; the models are known once the first batch has tried them."""
        return FEATURES_VERSION if self._models is None else "+".join((self._kind, *self._models))

    @property
    def base(self) -> str:
        """The scorer without a calibration."""
        return f"{NAME}@{self.version}"

    @property
    def _kind(self) -> str:
        return FEATURES_VERSION if self._embeds else f"{FEATURES_VERSION}-lexical"

    async def analyze(self, batch: Batch) -> Findings:
        """A score for each answer: a value, or the reason why there is none."""
        await self._prepare()
        answered = [(span, batch.context_of(span)) for span in batch.spans if span.generates]
        loop, longest = asyncio.get_running_loop(), self._settings.max_context_chars
        assessed = [await loop.run_in_executor(self._resources.texts, assess, *each, longest) for each in answered]
        assessed = await self._with_models(assessed)
        held = await self._calibrations(batch.spans)
        return Findings(scores=tuple(self._score(each, held) for each in assessed))

    async def _prepare(self) -> None:
        """Load the models once. What cannot be loaded is said once and done without until the next start."""
        if self._models is not None:
            return
        embedder = await self._loaded(self._embedder_version(), "words alone are compared")
        cross = await self._loaded(self._cross_version(), "answers are scored without it")
        self._embeds = embedder is not None
        self._models = tuple(version for version in (embedder, cross) if version)

    async def _loaded(self, version: Awaitable[str | None], instead: str) -> str | None:
        try:
            return await version
        except ModelUnavailableError as error:
            _log.error("grounding.model_unavailable", error=str(error), instead=instead)
            return None

    async def _embedder_version(self) -> str:
        await self._resources.embedder.prepare()
        return self._resources.embedder.version

    async def _cross_version(self) -> str | None:
        if self._settings.cross_encoder is None:
            return None
        cross = Hosted(self._resources.models, SupportCrossEncoder, self._settings.cross_encoder)
        version = await cross.loaded()
        self._cross = cross
        return version

    async def _with_models(self, assessed: Sequence[Assessed]) -> list[Assessed]:
        sentences = [each for answer in assessed for each in answer.measured]
        if not sentences or not self._models:
            return list(assessed)
        pairs = [(each.best.text, each.sentence.text) for each in sentences]
        similar = await self._similarities(pairs)
        crossed = await self._crossed(pairs)
        known = iter(
            replace(each, similarity=similarity, cross=cross)
            for each, similarity, cross in zip(sentences, similar, crossed, strict=True)
        )
        return [replace(answer, measured=tuple(next(known) for _ in answer.measured)) for answer in assessed]

    async def _similarities(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float | None]:
        """Cosine of each pair's embeddings; None where there is no finite one, or no embedder."""
        if not self._embeds:
            return [None] * len(pairs)
        rows = await self._resources.embedder.embed([text for pair in pairs for text in pair])
        cosines = np.einsum("ij,ij->i", rows[0::2].astype(np.float64), rows[1::2].astype(np.float64))
        return [float(cosine) if np.isfinite(cosine) else None for cosine in cosines]

    async def _crossed(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float | None]:
        if self._cross is None:
            return [None] * len(pairs)
        found = await self._cross.call(SupportCrossEncoder.support, pairs)
        return [float(chance) if np.isfinite(chance) else None for chance in found]

    async def _calibrations(self, spans: Sequence[SpanText]) -> Mapping[tuple[str, str], Calibration]:
        services = {(span.project, span.service) for span in spans}
        return await self._resources.control.read(lambda connection: read_holding(connection, NAME, services))

    def _score(self, assessed: Assessed, held: Mapping[tuple[str, str], Calibration]) -> Score:
        return score_of(assessed, self._verdict(held.get((assessed.span.project, assessed.span.service))))

    def _verdict(self, calibration: Calibration | None) -> Verdict:
        found = None if calibration is None else weights_of(calibration, self.base)
        if calibration is None or found is None:
            return Verdict(DEFAULT, self._settings.threshold, self.base)
        return Verdict(*found, scorer=f"{self.base}+{calibration.id}")
