"""The answer of /v1/status."""

from __future__ import annotations

from pydantic import Field

from schemas.api.base import Answer, Time


class Status(Answer):
    """How far ingest and evaluation are. The counts are of this process since its start, over all projects."""

    version: str
    now: Time
    accepted: int | None = Field(description="Spans acknowledged to their senders; null in a process that receives none.")
    written: int | None = Field(description="Spans in the trace store.")
    rejected: int | None = Field(description="Spans refused, for any reason.")
    bytes_in_flight: int | None = Field(description="Bytes received and not yet stored.")
    oldest_unwritten_s: float | None = Field(description="Age of the oldest span that is not yet stored; null when none waits.")
    watermark: Time | None = Field(description="Everything that arrived before it is stored; null while unknown.")
    lag_s: float | None = Field(description="Seconds from the watermark to now.")
