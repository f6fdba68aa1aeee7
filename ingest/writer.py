"""The one insert: records of the trace log through the Null table and its view into `spans`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from ingest.envelope import Envelope, frame_records
from storage.clickhouse import ClickHouseStore

MIN_FREE_DISK_BYTES = 256 * 1024 * 1024
"""Below it nothing is inserted. chDB 26.9 takes a file cut short by a full disk for whole, in inserts and in merges of what
was stored long before; so the last bytes of a disk are never touched."""

LogRecord = tuple[int, int, Envelope]
"""(log partition, log offset, envelope)"""


async def insert_records(store: ClickHouseStore, records: Sequence[LogRecord], *, token: str) -> None:
    """Insert `records` as one batch; repeating it under the same token stores nothing twice.

    Raises:
        StoreError: nothing, or for batches that span several days a part of it, was stored; repeat the same batch.
    """
    await store.insert_raw("otlp_requests", frame_records(records), "Protobuf", _settings(token))


def _settings(token: str) -> dict[str, object]:
    return {
        "format_schema_source": "string",
        "format_schema_message_name": "Record",
        "format_schema": (files("schemas") / "envelope.proto").read_text(),
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "async_insert": 0,
        "min_free_disk_bytes_to_perform_insert": MIN_FREE_DISK_BYTES,
        # The stages of the view are written as they should run; rewriting them takes longer than a small insert.
        "query_plan_enable_optimizations": 0,
        "optimize_and_compare_chain": 0,
    }
