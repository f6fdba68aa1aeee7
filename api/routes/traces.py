"""GET /v1/traces/{trace_id}: one request as a tree."""

from __future__ import annotations

from fastapi import APIRouter

from api.problem import Problem
from api.reading import Reader
from api.tree import trace_of
from schemas.api.queries import TraceId
from schemas.api.spans import Trace
from storage.spans import read_trace

router = APIRouter(tags=["traces"])

# Traces up to this many spans come with messages and attributes.
DETAILED_SPANS = 500


@router.get("/v1/traces/{trace_id}")
async def read(reader: Reader, trace_id: TraceId) -> Trace:
    """The spans of a trace below their parents, with totals in which every model response counts once."""
    rows = await read_trace(reader, trace_id, DETAILED_SPANS + 1, bodies=True)
    detailed = len(rows) <= DETAILED_SPANS
    if not detailed:
        rows = await read_trace(reader, trace_id, reader.bounds.max_rows + 1, bodies=False)
    if not rows:
        detail = f"The project has no trace {trace_id}: check the id, and the key's project."
        raise Problem(404, "No such trace", detail, type="unknown-trace")
    limit = reader.bounds.max_rows
    return trace_of(rows[:limit], complete=len(rows) <= limit, detailed=detailed)
