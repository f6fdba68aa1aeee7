"""GET /v1/spans: search, and single spans."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.cursor import decode, encode
from api.problem import Problem
from api.reading import Parts, Reader, range_of
from schemas.api.queries import SpanId, SpanParameters, TraceId
from schemas.api.spans import SpanDetail, SpanPage
from storage.scope import LATEST_EVENT
from storage.spans import SpanQuery, detail, read_span, search_spans, summary

router = APIRouter(tags=["traces"])


@router.get("/v1/spans")
async def search(reader: Reader, parts: Parts, asked: Annotated[SpanParameters, Query()]) -> SpanPage:
    """Spans newest first; unless `to` is given, also those of clients whose clock is ahead.

    `target`, `release` and `user` find every span of the requests that carry them.
    """
    filters = asked.filters()
    bound = {**filters, "text": asked.text}
    after = None if asked.cursor is None else decode(asked.cursor, bound)
    found = await search_spans(reader, SpanQuery(range_of(asked, parts, LATEST_EVENT), asked.limit, filters, asked.text, after))
    cursor = None if found.position is None else encode(found.position, bound)
    return SpanPage(spans=[summary(row) for row in found.rows], next_cursor=cursor)


@router.get("/v1/spans/{trace_id}/{span_id}")
async def read(reader: Reader, trace_id: TraceId, span_id: SpanId) -> SpanDetail:
    """One span with its messages, attributes, events and links."""
    row = await read_span(reader, trace_id, span_id)
    if row is None:
        raise Problem(
            404, "No such span", f"The project has no span {span_id} in a trace {trace_id}: check the ids.", type="unknown-span"
        )
    return detail(row)
