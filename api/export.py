"""Labelled rows as files: read a page at a time, so that neither format holds more than its bound."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import polars

from schemas.settings import QuerySettings
from storage.feedback import Feedback, FeedbackQuery, list_feedback
from storage.labelled import SpanWords, read_verdicts, read_words
from storage.scope import ProjectReader, QueryError

JSONL = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"

PAGE = 100
MAX_PARQUET_BYTES = 256 * 1024 * 1024

_TIME = polars.Datetime("ms", "UTC")
_SCORE = polars.Struct(
    {
        "name": polars.String,
        "part": polars.String,
        "scorer": polars.String,
        "value": polars.Float64,
        "flagged": polars.Boolean,
        "label": polars.String,
        "reason": polars.String,
    }
)
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("id", "trace_id", "span_id", "name", "part"), polars.String),
    "value": polars.Float64,
    "flagged": polars.Boolean,
    **dict.fromkeys(("label", "correction", "comment", "user"), polars.String),
    **dict.fromkeys(("received_at", "updated_at", "time"), _TIME),
    **dict.fromkeys(("service", "model", "target", "release"), polars.String),
    **dict.fromkeys(("prompt", "completion"), polars.String),
    "context": polars.List(polars.String),
    "scores": polars.List(_SCORE),
}

Page = list[dict[str, Any]]


async def labelled_pages(reader: ProjectReader, query: FeedbackQuery) -> AsyncIterator[Page]:
    """Every judgement of a query with its span's texts and scores, in pages.

    Raises:
        QueryError: the range.
        StoreError: the store refused, or a limit was reached.
    """
    query = replace(query, limit=PAGE)
    while True:
        found, position = await list_feedback(reader, query)
        if found:
            yield await _joined(reader, found)
        if position is None:
            return
        query = replace(query, after=position)


async def _joined(reader: ProjectReader, found: Sequence[Feedback]) -> Page:
    keys = [(each.judgement.trace_id, each.judgement.span_id or "") for each in found]
    words, verdicts = await read_words(reader, keys), await read_verdicts(reader, keys)
    return [_row(each, words.get(key, SpanWords()), verdicts.get(key, [])) for each, key in zip(found, keys, strict=True)]


def _row(feedback: Feedback, words: SpanWords, scores: list[dict[str, Any]]) -> dict[str, Any]:
    given = {**vars(feedback.judgement), **vars(feedback), "user": feedback.judgement.author}
    given |= {"prompt": words.prompt, "completion": words.completion, "context": list(words.context), "scores": scores}
    return {name: given[name] for name in SCHEMA}


async def jsonl(first: Page, rest: AsyncIterator[Page]) -> AsyncIterator[bytes]:
    """One JSON object a line."""
    yield _lines(first)
    async for page in rest:
        yield _lines(page)


def _lines(page: Page) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for row in page)


async def parquet(pages: AsyncIterator[Page], bounds: QuerySettings) -> bytes:
    """One Parquet file.

    Raises:
        QueryError: too-many-rows, when it would hold more than `bounds` allow, or texts of more than 256 MiB.
    """
    frames: list[polars.DataFrame] = []
    rows = size = 0
    async for page in pages:
        frame = await asyncio.to_thread(polars.DataFrame, page, SCHEMA)
        frames.append(frame)
        rows, size = rows + frame.height, size + int(frame.estimated_size())
        if rows > bounds.max_rows or size > MAX_PARQUET_BYTES:
            raise QueryError(
                "too-many-rows",
                f"more than {bounds.max_rows} rows, or {MAX_PARQUET_BYTES >> 20} MiB of texts: ask for a shorter range or a "
                "filter, or take format=jsonl, which has no bound",
            )
    return await asyncio.to_thread(_written, frames)


def _written(frames: list[polars.DataFrame]) -> bytes:
    whole = polars.concat(frames) if frames else polars.DataFrame(schema=SCHEMA)
    file = io.BytesIO()
    whole.write_parquet(file)
    return file.getvalue()
