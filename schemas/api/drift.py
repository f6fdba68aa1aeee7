"""Embedding drift: the state of each stream, references, comparisons."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.api.base import Answer, Body, Time
from schemas.api.queries import Parameters, RangeParameters, Text
from schemas.drift import DriftPart, Verdict
from schemas.instant import Instant
from schemas.patterns import REFERENCE_ID, TEXT

Label = Annotated[str, Field(max_length=1000, pattern=TEXT)]
ReferenceId = Annotated[str, Field(pattern=REFERENCE_ID)]


class StreamLabels(Answer):
    """What is watched. An empty release or model: all of them; an empty service or target: spans that name none."""

    part: DriftPart
    service: str
    target: str
    release: str
    model: str


class NearText(Answer):
    """A sampled text."""

    text: str = Field(description="Its beginning.")
    trace_id: str
    span_id: str
    time: Time
    release: str
    model: str


class NearestText(NearText):
    """The most similar text of the other side."""

    cosine: float


class Exemplar(NearText):
    """A text that is typical of the difference."""

    witness: float = Field(description="How much more common texts like it are on this side (the witness function).")
    nearest: NearestText | None


class NovelText(Exemplar):
    """A text that is little like anything in the reference."""

    likeness: float = Field(description="Cosine to the nearest topics of the reference; 1: the same.")


class Cluster(Answer):
    """Similar texts and their share of each side."""

    share_then: float
    share_now: float
    examples: list[NearText] = Field(description="Nearest to its centre.")


class Sampled(Answer):
    """Texts that exemplars and clusters were made from."""

    now: int
    then: int


class Differences(Answer):
    """What a difference consists of; empty lists where no texts are kept any more."""

    exemplars: list[Exemplar] = Field(description="Texts that are more common now.")
    novel: list[NovelText] = Field([], description="Texts of now that are least like anything in the reference.")
    faded: list[Exemplar] = Field(description="Texts of the reference that are rarer now.")
    clusters: list[Cluster] = Field(description="By how much their share changed.")
    sampled: Sampled


class DriftWindow(Answer):
    """One window of the latest look."""

    units: int = Field(description="Its length in units of the scale.")
    n: int
    score: float


class DriftNovelty(Answer):
    """The second scan of a look: how much texts are like anything in the reference. It alarms above its own threshold."""

    score: float = Field(description="Largest z over the windows.")
    threshold: float
    decisive: bool = Field(description="Whether window, effect and onset of the look are of its strongest window.")
    units: int = Field(description="Length of the strongest window.")
    n: int = Field(description="Its sampled texts.")
    likeness: float = Field(description="Their mean cosine to the nearest topics of the reference.")
    likeness_then: float = Field(description="The same of the reference's own texts.")


class DriftState(Answer):
    """The latest look at one stream. A decision is made once for each closed unit; asking again changes nothing."""

    stream: StreamLabels
    scale: str = Field(description="Length of a unit, as in 1d.")
    verdict: Verdict = Field(description="Only drift and no-drift are judgements.")
    reason: str
    time: Time = Field(description="End of the unit.")
    stale: bool = Field(description="Units have closed since that have no look yet.")
    n: int = Field(description="Texts of the unit.")
    effect: float | None = Field(
        description="MMD of the strongest window from the reference; 0: alike, 1.41: nothing in common."
    )
    interval: tuple[float, float] | None = Field(description="95 % interval of that window's effect.")
    score: float | None = Field(description="Largest z over the windows, of the scan of the means.")
    threshold: float | None
    novelty: DriftNovelty | None = Field(description="The scan of novelty; null: not judged.")
    window_units: int | None = Field(description="Length of the strongest window, of the scan that is surer of an alarm.")
    window_n: int | None
    windows: list[DriftWindow]
    onset: Time | None = Field(description="Where the stretch begins that differs most.")
    second_opinion: float | None = Field(description="An e-detector over its own threshold: it agrees from 1 on.")
    reference: str | None = Field(description="Id of the reference.")
    embedder: str
    differences: Differences | None = Field(description="Of a drift.")


class DriftAnswer(Answer):
    """Every stream with texts, drifting ones first."""

    streams: list[DriftState]
    coverage: float | None = Field(
        description="Share of the spans with text that was looked at in the past day; null: none had any."
    )
    false_alarm_rate: float = Field(
        description="Chance that a stream without drift alarms at all within 28 units of the longest scale, over all scales."
    )


class ReferenceAnswer(Answer):
    """What a stream is compared with."""

    id: str
    stream: StreamLabels
    scale: str
    mode: Literal["initial", "pinned", "rolling"]
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    n: int
    embedder: str
    created_by: str
    created_at: Time
    replaced_at: Time | None


class ReferenceList(Answer):
    """References, the newest first."""

    references: list[ReferenceAnswer]


class ReferenceRequest(Body):
    """Pin a range as reference, or let the latest units be it and roll on."""

    part: DriftPart
    service: Label = ""
    target: Label = ""
    release: Label = ""
    model: Label = ""
    scale: Annotated[str | None, Field(max_length=32)] = Field(
        None, description="One of analysis.drift.scales; unset: every one."
    )
    mode: Literal["pinned", "rolling"] = "pinned"
    start: Instant | None = Field(None, alias="from", description="Of a pinned one; rounded to whole units.")
    end: Instant | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _range_fits(self) -> ReferenceRequest:
        given = (self.start is not None, self.end is not None)
        if self.mode == "pinned" and given != (True, True):
            raise ValueError("a pinned reference needs `from` and `to`")
        if self.mode == "rolling" and any(given):
            raise ValueError("a rolling reference takes the latest units: leave `from` and `to` out")
        if self.release and self.model:
            raise ValueError("a slice is one release or one model, not both: leave one of them out")
        return self


class StreamParameters(Parameters):
    """Which streams. An empty value: a service or target that spans did not name; a release or model: all of them."""

    part: DriftPart | None = None
    service: Text | None = None
    target: Text | None = None
    release: Text | None = None
    model: Text | None = None
    scale: Text | None = None


class ReferenceParameters(Parameters):
    """Which references."""

    retired: bool = Field(False, description="Also those that are not in use any more.")


class DriftCompareParameters(RangeParameters):
    """A stretch of a stream against another one, or against a reference."""

    part: DriftPart
    service: Text = ""
    target: Text = ""
    release: Text = ""
    model: Text = ""
    reference: ReferenceId | None = Field(None, description="Id of a reference; else give the baseline's range.")
    baseline_from: Instant | None = None
    baseline_to: Instant | None = None
    baseline_release: Text | None = Field(None, description="Compare with another release; unset: the same slice.")


class DriftComparison(Answer):
    """One comparison, at the false-alarm rate `alpha`."""

    verdict: Literal["drift", "no-drift"]
    effect: float = Field(description="MMD.")
    interval: tuple[float, float]
    score: float
    threshold: float
    alpha: float
    n: int
    n_baseline: int
    embedder: str
    differences: Differences
