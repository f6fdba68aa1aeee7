"""The one insert: records of the trace log, decoded by the view's SELECT, into `spans`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from ingest.envelope import LogRecord, frame_batch, frame_records, pieces, spans_of
from schemas.view import SOURCE, TARGET, view_select
from storage.clickhouse import ClickHouseStore
from storage.open_query import Pipeline

MIN_FREE_DISK_BYTES = 256 * 1024 * 1024
"""Below it nothing is inserted. chDB 26.9 takes a file cut short by a full disk for whole, in inserts and in merges of what
was stored long before; so the last bytes of a disk are never touched."""

_PIECE_BYTES = 7 * 1024 * 1024
"""Of a batch, decoded at a time. chDB's allocator keeps no buffer of 8 MiB or more, whose every page then is new each time."""

# The stages of the view are written as they should run; rewriting them takes longer than a small insert.
_AS_WRITTEN = {"query_plan_enable_optimizations": 0, "optimize_and_compare_chain": 0}


async def insert_records(store: ClickHouseStore, records: Sequence[LogRecord], *, token: str) -> None:
    """Insert `records` as one batch; repeating it under the same token stores nothing twice.

    A server decodes through the Null table and its view. Inside this process the same SELECT stays open.

    Raises:
        StoreError: nothing, or for batches that span several days a part of it, was stored; repeat the same batch.
        MalformedEnvelopeError: nothing was stored; a record's request cannot be unpacked.
    """
    settings = {
        "insert_deduplication_token": token,
        "async_insert": 0,
        "min_free_disk_bytes_to_perform_insert": MIN_FREE_DISK_BYTES,
    }
    if store.embedded:
        messages = ((frame_batch(piece), spans_of(piece)) for piece in pieces(records, _PIECE_BYTES))
        await store.insert_through(_pipeline(), messages, settings)
    else:
        settings |= {"deduplicate_blocks_in_dependent_materialized_views": 1, **_AS_WRITTEN, **_format("Record")}
        data = await asyncio.to_thread(frame_records, records)
        await store.insert_raw(SOURCE, data, "Protobuf", settings)


@cache
def _pipeline() -> Pipeline:
    return Pipeline(SOURCE, view_select("{source}"), TARGET, tuple({**_AS_WRITTEN, **_format("Batch")}.items()))


@cache
def _format(message: str) -> dict[str, str]:
    return {
        "format_schema_source": "string",
        "format_schema_message_name": message,
        "format_schema": (files("schemas") / "envelope.proto").read_text(),
    }
