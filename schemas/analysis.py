"""The settings of the analyzers and of the weekly report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from schemas.duration import parse_duration
from schemas.sections import Section

Share = Annotated[float, Field(gt=0, lt=1)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Device = Literal["auto", "cpu", "cuda", "mps"]

BUILT_IN = ("drift", "toxicity", "grounding", "quality")


class EmbedderSettings(Section):
    """The sentence embeddings that drift, the toxicity screen and grounding share."""

    model: str = "all-MiniLM-L6-v2"
    """A name that sentence-transformers loads, or a folder; the default comes with the installation and needs no network."""
    device: Device = "auto"
    """Where it runs."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the CPU computes it natively."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    """Texts of similar length at once."""
    cache_texts: Annotated[int, Field(ge=0)] = 20_000
    """Embeddings of recent texts kept in memory, so that analyzers share them."""


class DriftSettings(Section):
    """Embedding drift."""

    false_alarm_rate: Share = 0.05
    """Chance that a stream without drift alarms at all within 28 units of the longest scale; split over the scales."""
    windows: tuple[int, ...] = (1, 2, 4, 7, 14, 28)
    """Lengths of the windows that are compared with the reference, in units of a scale."""
    scales: tuple[str, ...] = ("1h", "1d")
    """Units of the windows, as durations; at each there is one decision a unit."""
    reference_units: Annotated[int, Field(ge=2)] = 14
    """Length of the reference in units, where none is pinned; at least a week of units from 5 minutes up to a day."""
    min_reference: Annotated[int, Field(ge=50)] = 500
    """Texts that a reference needs at least; below it the verdict is `reference-too-small`."""
    min_window: Annotated[int, Field(ge=10)] = 50
    """Texts that a window needs at least."""
    samples_per_hour: Annotated[int, Field(ge=10)] = 200
    """Embeddings kept for each service, target and hour: of them references, exemplars and clusters are made."""

    @field_validator("scales")
    @classmethod
    def _are_durations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            parse_duration(each)
        return value


class ToxicitySettings(Section):
    """Toxicity of prompts and completions."""

    model: Literal["original", "unbiased", "multilingual", "none"] = "unbiased"
    """Detoxify's model for texts that the screen doubts; none: the screen alone."""
    checkpoint: Path | None = None
    """A local checkpoint of it. Unset: it is looked for in torch's cache, and never downloaded unless `download` is set."""
    checkpoint_sha256: str | None = None
    """What the checkpoint must hash to; needed with `checkpoint`, because loading a checkpoint runs code in it."""
    base_model: Path | None = None
    """A folder with config.json and tokenizer files of its base model; unset: the one it names, or Hugging Face's cache."""
    download: bool = False
    """Whether Detoxify's weights, and config and tokenizer files of their base model, may be fetched."""
    device: Device = "auto"
    """Where it runs."""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    """Texts of similar length at once."""
    threshold: Share = 0.5
    """Probability from which on a text counts as toxic."""
    doubt: tuple[float, float] = (0.05, 0.95)
    """Screen probabilities between which the big model is asked; 0.0 and 1.0: always."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.checkpoint is not None and not re.fullmatch("[0-9a-fA-F]{64}", self.checkpoint_sha256 or ""):
            raise ValueError("checkpoint needs checkpoint_sha256, 64 hex digits: loading a checkpoint runs code in it")
        if not 0 <= self.doubt[0] <= self.doubt[1] <= 1:
            raise ValueError("doubt is two probabilities, the lower one first")
        return self


class GroundingSettings(Section):
    """Whether answers are supported by the context they were given."""

    threshold: Share = 0.5
    """Support below which a sentence is unsupported, allowing for their number, where a service has no calibration."""
    cross_encoder: str | None = None
    """A cross-encoder that sentence-transformers loads (a name or a folder), asked beside the lexical measures."""
    max_context_chars: Annotated[int, Field(ge=1_000)] = 200_000
    """Longest context that is looked at; a longer one is cut and the score says so."""


def known_zone(name: str) -> str:
    """The name of a time zone.

    Raises:
        ValueError: the tz database has none of that name.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"the time zone {name[:100]!r} is not in the tz database: use a name such as Europe/Berlin") from error
    return name


class ReportSettings(Section):
    """The weekly drift report."""

    enabled: bool = True
    """Whether it goes out by itself."""
    weekday: Weekday = "monday"
    """Day on which the past week is reported."""
    hour: Annotated[int, Field(ge=0, le=23)] = 8
    """Hour of that day."""
    time_zone: str = "UTC"
    """Time zone of the day and hour, as in the tz database."""
    channels: tuple[str, ...] = ()
    """Channels of alerting.channels that are told; none: the report is only stored."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        return known_zone(value)


class AnalysisSettings(Section):
    """The analyzers."""

    analyzers: tuple[str, ...] = BUILT_IN
    """Which run: built-in ones, or names that installed packages register."""
    texts_per_s: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: {"drift": 20.0, "toxicity": 20.0, "grounding": 5.0, "quality": 200.0}
    )
    """Budget of each analyzer in texts a second; what exceeds it is sampled. An analyzer without one looks at every text."""
    poll_s: Annotated[float, Field(gt=0, le=10)] = 5.0
    """How often an analyzer looks for new spans; at most every 10 s, for which it is given texts and well within a lease."""
    threads: Annotated[int, Field(ge=1, le=64)] | None = None
    """Threads of the process in which models run; unset: one less than there are cores."""
    embedder: EmbedderSettings = EmbedderSettings()
    """Sentence embeddings."""
    drift: DriftSettings = DriftSettings()
    """Embedding drift."""
    toxicity: ToxicitySettings = ToxicitySettings()
    """Toxicity."""
    grounding: GroundingSettings = GroundingSettings()
    """Grounding."""
    report: ReportSettings = ReportSettings()
    """The weekly drift report."""
