"""The answer of /v1/status."""

from __future__ import annotations

from pydantic import Field

from schemas.api.base import Answer, Time


class AnalyzerCoverage(Answer):
    """What an analyzer did with the caller's spans that arrived in the last hour."""

    wanted: int = Field(description="Spans that have something to look at.")
    looked_at: int = Field(description="Of them, those within its budget.")
    failed: int = Field(description="Of those looked at, those given up after repeated errors.")
    share: float | None = Field(description="Looked at and not given up, of what was wanted; null where nothing was.")
    abstained: dict[str, int] = Field(description="Judgements without a value, by what was judged and why.")
    scorers: list[str] = Field(description="Whoever looked, as name@version; a fallback has a name of its own.")


class AnalyzerStatus(Answer):
    """How far an analyzer is, over all projects, and what it covers of the caller's."""

    name: str
    behind: int = Field(description="Records of the log that it has not read yet.")
    watermark: Time | None = Field(description="Everything that arrived before it is analyzed; null while unknown.")
    lag_s: float | None = Field(description="Seconds from the watermark to now.")
    failures: int = Field(description="Attempts that failed at the stretch it is at.")
    last_error: str | None = Field(description="What it met there, and the fix.")
    coverage: AnalyzerCoverage | None = Field(description="Null where it looked at nothing of the caller's in the last hour.")


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
    analyzers: list[AnalyzerStatus] = Field(
        description="Each analyzer that is switched on, and `evaluations`, which collects reported ones."
    )
