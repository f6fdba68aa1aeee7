"""Feedback of people on spans: send, correct, withdraw, list, review, export, and compare with scorers."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse

from api.agreement import figures_of, people_of
from api.auth import authorise
from api.cursor import decode, encode
from api.export import JSONL, PARQUET, Page, jsonl, labelled_pages, parquet
from api.problem import Problem
from api.reading import Parts, Reader, range_of
from schemas.api.feedback import (
    MAX_CUT,
    AgreementAnswer,
    ExportParameters,
    FeedbackAnswer,
    FeedbackBody,
    FeedbackList,
    FeedbackListParameters,
    FeedbackRequest,
    Id,
    JudgedParameters,
    ReviewItem,
    ReviewParameters,
    ReviewQueue,
)
from schemas.metrics import catalogue
from schemas.patterns import IDEMPOTENCY_KEY
from schemas.score_metrics import THUMBS, is_bad
from schemas.settings import Settings
from storage.feedback import (
    Feedback,
    FeedbackQuery,
    ForeignFeedbackError,
    Judgement,
    UnknownSpanError,
    list_feedback,
    withdraw_feedback,
    write_feedback,
)
from storage.keys import Principal
from storage.labelled import Review, ScoreQuery, SpanWords, next_reviews, read_agreed, read_words
from storage.scope import LATEST_EVENT, ProjectReader

router = APIRouter(tags=["feedback"])

Sender = Annotated[Principal, Depends(authorise("feedback"))]
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=IDEMPOTENCY_KEY, description="The same key and body again store nothing twice."),
]


@router.post("/v1/feedback", status_code=201)
async def send(body: FeedbackRequest, sender: Sender, parts: Parts, idempotency_key: IdempotencyKey = None) -> FeedbackList:
    """Store what people say about spans. The answer comes when it is on disk.

    An id that is known replaces what it said, when it is about the same and by the same user.
    """
    reader = ProjectReader(parts.store, sender.project, parts.settings.query)
    judgements = [judgement_of(item, index, idempotency_key) for index, item in enumerate(body.root)]
    if len({judgement.id for judgement in judgements}) < len(judgements):
        detail = "Two of the judgements have one id, or one user, span and name: send each once."
        raise Problem(422, "A judgement is there twice", detail, type="invalid-request")
    with _refusals():
        return FeedbackList(feedback=[answer_of(each) for each in await write_feedback(reader, judgements, parts.clock())])


@router.get("/v1/feedback")
async def listed(reader: Reader, parts: Parts, asked: Annotated[FeedbackListParameters, Query()]) -> FeedbackList:
    """Judgements newest first, by the time they were sent."""
    filters, equal = asked.filters(), asked.equal()
    bound = {**filters, **equal, "trace": asked.trace_id or "", "what": "feedback"}
    after = None if asked.cursor is None else decode(asked.cursor, bound)
    span = range_of(asked, parts, LATEST_EVENT)
    query = FeedbackQuery(span, asked.limit, filters, equal, _lower(asked.trace_id), after)
    found, position = await list_feedback(reader, query)
    cursor = None if position is None else encode(position, bound)
    return FeedbackList(feedback=[answer_of(each) for each in found], next_cursor=cursor)


@router.delete("/v1/feedback/{feedback_id}", status_code=204)
async def withdraw(feedback_id: Id, sender: Sender, parts: Parts) -> None:
    """Take a judgement back."""
    reader = ProjectReader(parts.store, sender.project, parts.settings.query)
    if not await withdraw_feedback(reader, feedback_id, parts.clock()):
        detail = f"The project has no feedback {feedback_id!r}: GET /v1/feedback lists it."
        raise Problem(404, "No such feedback", detail, type="unknown-feedback")


@router.get("/v1/feedback/export", response_class=Response, responses={200: {"content": {JSONL: {}, PARQUET: {}}}})
async def export(reader: Reader, parts: Parts, asked: Annotated[ExportParameters, Query()]) -> Response:
    """Judgements with the texts they are about and what scorers said, oldest first, as JSON lines or Parquet."""
    span = range_of(asked, parts, LATEST_EVENT)
    query = FeedbackQuery(span, 0, asked.filters(), asked.equal(), _lower(asked.trace_id), oldest_first=True)
    pages = labelled_pages(reader, query)
    if asked.format == "jsonl":
        first: Page = await anext(pages, [])  # what is wrong with the request is told before the answer begins
        return StreamingResponse(jsonl(first, pages), media_type=JSONL, headers=_attachment("jsonl"))
    return Response(await parquet(pages, reader.bounds), media_type=PARQUET, headers=_attachment("parquet"))


@router.get("/v1/feedback/agreement")
async def agreement(reader: Reader, parts: Parts, asked: Annotated[JudgedParameters, Query()]) -> AgreementAnswer:
    """How well a scorer agrees with people, and people with each other, on spans of a range."""
    query = _scores(asked, parts)
    scorer, spans = await read_agreed(reader, query)
    return AgreementAnswer(
        name=asked.name,
        part=asked.part,
        scorer=scorer or None,
        start=query.span.start,
        end=query.span.end,
        judged=figures_of(spans, falls=_falls(asked)),
        random=figures_of([span for span in spans if span.pooled], falls=_falls(asked)),
        people=people_of(spans),
    )


@router.get("/v1/reviews")
async def reviews(reader: Reader, parts: Parts, asked: Annotated[ReviewParameters, Query()]) -> ReviewQueue:
    """What to judge next: spans nobody judged whose value is nearest to the threshold, and every fifth one at random."""
    threshold = asked.threshold if asked.threshold is not None else _threshold(asked.name, parts.settings)
    found = await next_reviews(reader, _scores(asked, parts), threshold, asked.limit)
    words = await read_words(reader, [(each.verdict.trace_id, each.verdict.span_id) for each in found])
    shown = [_review(each, words.get((each.verdict.trace_id, each.verdict.span_id), SpanWords())) for each in found]
    return ReviewQueue(name=asked.name, part=asked.part, threshold=threshold, reviews=shown)


def judgement_of(body: FeedbackBody, index: int, key: str | None) -> Judgement:
    """What a body says. Thumbs are a verdict too; a value is one where a metric counts the score."""
    unnamed = THUMBS if body.thumbs is not None else "correction" if body.correction else "comment"
    name = body.name or unnamed
    value, flagged = body.value, body.flagged
    if body.thumbs is not None:
        value, flagged = float(body.thumbs == "up"), body.thumbs == "down"
    elif flagged is None and value is not None:
        flagged = is_bad(catalogue(), name, body.part, value)
    return Judgement(
        id=body.id or _id(body, name, index, key),
        trace_id=body.trace_id.lower(),
        span_id=_lower(body.span_id),
        name=name,
        part=body.part,
        author=body.user,
        value=value,
        flagged=flagged,
        label=body.label or body.thumbs or "",
        correction=body.correction,
        comment=body.comment,
    )


def _id(body: FeedbackBody, name: str, index: int, key: str | None) -> str:
    """By the request's key, else one for each user, span, name and part; else a new one."""
    if key is not None:
        made_of = ["key", key, str(index)]
    elif body.user:
        made_of = ["user", body.user, body.trace_id.lower(), _lower(body.span_id) or "", name, body.part]
    else:
        return "fb_" + uuid.uuid4().hex
    return "fb_" + hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:32]


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UnknownSpanError as error:
        raise Problem(404, "No such span", f"Feedback {error.index}: {error}.", type="unknown-span") from error
    except ForeignFeedbackError as error:
        raise Problem(409, "The id is taken", f"Feedback {error.index}: {error}.", type="feedback-exists") from error


def answer_of(found: Feedback) -> FeedbackAnswer:
    """A stored judgement as the API shows it."""
    said = found.judgement
    return FeedbackAnswer.model_validate(
        {
            **{name: getattr(said, name) for name in ("id", "trace_id", "span_id", "name", "part", "value", "flagged")},
            **{name: getattr(said, name) for name in ("label", "correction", "comment")},
            **{name: getattr(found, name) for name in ("received_at", "updated_at", "time")},
            **{name: getattr(found, name) for name in ("service", "model", "target", "release")},
            "user": said.author,
        }
    )


def _scores(asked: JudgedParameters, parts: Parts) -> ScoreQuery:
    return ScoreQuery(asked.name, asked.part, range_of(asked, parts, LATEST_EVENT), asked.filters())


def _threshold(name: str, settings: Settings) -> float:
    analysis = settings.analysis
    return {"toxicity": analysis.toxicity.threshold, "grounding": analysis.grounding.threshold}.get(name, 0.5)


def _falls(asked: JudgedParameters) -> bool:
    """Whether low values are the bad ones."""
    return is_bad(catalogue(), asked.name, asked.part, 0.0) is True


def _review(review: Review, words: SpanWords) -> ReviewItem:
    verdict = review.verdict
    return ReviewItem(
        **vars(verdict),
        drawn="random" if review.drawn else "doubt",
        prompt=words.prompt[:MAX_CUT],
        completion=words.completion[:MAX_CUT],
        context=[text[:MAX_CUT] for text in words.context],
    )


def _attachment(ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="feedback.{ending}"'}
