"""Feedback of people on spans: what they send, what is listed, what to review next, and how well scorers agree."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, RootModel, model_validator

from schemas.api.base import Answer, Body, Time
from schemas.api.queries import RangeParameters, SpanId, Text, TraceId, set_of
from schemas.patterns import FEEDBACK_ID, JUDGED_NAME

MAX_ITEMS = 100
MAX_CUT = 20_000

Name = Annotated[str, Field(pattern=JUDGED_NAME, description="What is judged: toxicity, grounding, thumbs, …")]
Part = Literal["prompt", "completion", "query", ""]
Id = Annotated[str, Field(pattern=FEEDBACK_ID, description="Yours; the same id again replaces what it said.")]


class FeedbackBody(Body):
    """One judgement. Say at least one of thumbs, flagged, value, label, correction and comment."""

    trace_id: TraceId
    span_id: SpanId | None = Field(None, description="Unset: the answer of the trace, its last model response.")
    id: Id | None = None
    name: Name | None = Field(None, description="What is judged. Unset: thumbs.")
    part: Part = Field("completion", description="What of the span is judged.")
    thumbs: Literal["up", "down"] | None = None
    flagged: bool | None = Field(None, description="The verdict: true is bad (toxic, unsupported, a refusal, …).")
    value: Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)] | None = None
    label: Annotated[str, Field(max_length=200)] = ""
    correction: Annotated[str, Field(max_length=100_000)] = Field("", description="What the answer should have been.")
    comment: Annotated[str, Field(max_length=10_000)] = ""
    user: Annotated[str, Field(max_length=256)] = Field("", description="Who judges; one judgement a user, span and name.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.thumbs is None and self.flagged is None and self.value is None:
            if not (self.label or self.correction or self.comment):
                raise ValueError("nothing is said: send thumbs, flagged, value, label, correction or comment")
        elif self.thumbs is not None and not (self.flagged is None and self.value is None):
            raise ValueError("thumbs say flagged and value already: send either thumbs, or flagged and value")
        if self.name is None and self.thumbs is None and not (self.correction or self.comment):
            raise ValueError("a flagged, value or label needs a name: what is judged, such as toxicity")
        return self


class FeedbackRequest(RootModel[Annotated[list[FeedbackBody], Field(min_length=1, max_length=MAX_ITEMS)]]):
    """One judgement, or a list of them: all are stored, or none."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, dict) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        many = handler(core_schema)
        return {"anyOf": [many["items"], many], "title": cls.__name__, "description": cls.__doc__}


class FeedbackAnswer(Answer):
    """A stored judgement."""

    id: str
    trace_id: str
    span_id: str
    name: str
    part: Part
    value: float | None = Field(description="Of thumbs 1 is up, 0 down.")
    flagged: bool | None
    label: str
    correction: str
    comment: str
    user: str = Field(description="Who judged.")
    received_at: Time
    updated_at: Time
    time: Time = Field(description="Of the span.")
    service: str
    model: str
    target: str
    release: str


class FeedbackList(Answer):
    """Judgements, in a list newest first; `next_cursor` continues it, null at its end."""

    feedback: list[FeedbackAnswer]
    next_cursor: str | None = None


class FeedbackParameters(RangeParameters):
    """Which judgements, by the time they were sent."""

    name: Text | None = None
    part: Part | None = None
    user: Text | None = Field(None, description="Who judged.")
    trace_id: TraceId | None = None
    service: Text | None = None
    model: Text | None = None
    target: Text | None = None
    release: Text | None = None

    def filters(self) -> dict[str, str]:
        """The dimensions of the span that are set."""
        return set_of(self, ("service", "model", "target", "release"))

    def equal(self) -> dict[str, str]:
        """What of the judgement itself is set."""
        given = {"name": self.name, "part": self.part, "author": self.user}
        return {name: value for name, value in given.items() if value is not None}


class FeedbackListParameters(FeedbackParameters):
    """Which judgements, and how many."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Text | None = Field(None, description="`next_cursor` of the page before.")


class ExportParameters(FeedbackParameters):
    """Which judgements, and in which format."""

    format: Literal["jsonl", "parquet"] = "jsonl"


class JudgedParameters(RangeParameters):
    """The scores of a name and part, by the time of their spans."""

    name: Name
    part: Part = "completion"
    scorer: Text | None = Field(None, description="`name@version`; unset: the one with the newest scores of the range.")
    service: Text | None = None
    model: Text | None = None
    target: Text | None = None
    release: Text | None = None

    def filters(self) -> dict[str, str]:
        """The dimensions that are set."""
        return set_of(self, ("scorer", "service", "model", "target", "release"))


class ReviewParameters(JudgedParameters):
    """What to review, and how many."""

    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="Where the verdict turns. Unset: the analyzer's setting, else 0.5."
    )
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class ReviewItem(Answer):
    """A span that somebody should judge. Texts longer than 20,000 characters are cut."""

    trace_id: str
    span_id: str
    time: Time
    service: str
    model: str
    target: str
    release: str
    scorer: str
    value: float
    flagged: bool | None
    label: str
    explanation: str
    evidence: list[Any] = Field(description="What the scorer points at, with offsets into the text.")
    drawn: Literal["doubt", "random"] = Field(
        description="doubt: the value is near the threshold. random: from the pool that is reviewed whatever the value."
    )
    prompt: str
    completion: str
    context: list[str] = Field(description="What retrievers and tools of the trace had found before.")


class ReviewQueue(Answer):
    """What to judge next; judge with POST /v1/feedback, naming `name` and `part`."""

    name: str
    part: Part
    threshold: float
    reviews: list[ReviewItem]


class EstimateAnswer(Answer):
    """A figure with its 95 % interval; null where the data cannot say."""

    value: float
    interval: tuple[float, float] | None


class ConfusionAnswer(Answer):
    """Spans by what the scorer and what most people said; positive is flagged."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class PeopleAnswer(Answer):
    """Those who gave a `user`, on spans that several judged."""

    spans: int
    pairs: int
    agreement: float = Field(description="Share of pairs that said the same.")
    alpha: float | None = Field(description="Krippendorff's α; null where everybody always said the same.")


class AgreementFigures(Answer):
    """The scorer against people on `n` spans; null where a figure is not defined."""

    n: int
    ties: int = Field(description="Further spans on which people were evenly split; they are left out.")
    confusion: ConfusionAnswer
    kappa: EstimateAnswer | None = Field(description="Cohen's κ: agreement beyond chance.")
    auroc: EstimateAnswer | None = Field(description="Chance that a bad span has a worse value than a good one.")
    precision: EstimateAnswer | None = Field(description="Of what the scorer flagged, the share that people flagged.")
    recall: EstimateAnswer | None = Field(description="Of what people flagged, the share that the scorer flagged.")


class AgreementAnswer(Answer):
    """How well a scorer agrees with people, and people with each other."""

    name: str
    part: Part
    scorer: str | None
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    judged: AgreementFigures = Field(description="On every span that somebody judged: doubtful ones are judged more often.")
    random: AgreementFigures = Field(description="On those of the random pool: what holds for the traffic.")
    people: PeopleAnswer | None
