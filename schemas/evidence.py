"""What a decision about a release rests on; stored with alerts and rollbacks, sent with messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Evidence(BaseModel):
    """One metric of a candidate release against a baseline release.

    `effect`, `interval_low` and `interval_high` are relative changes (0.58 = 58 % higher) for costs, tokens and
    latencies, differences of shares (0.02 = two percentage points) for rates, differences in `unit` for mean scores; None
    where the data cannot say. The interval holds the true effect with probability `confidence`, at all looks together.
    `allowed` is the change that is let pass, the tolerance for drift in time included; both are None in evidence older than
    they are. `generation` is that of the target's desired state when the evidence was collected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    unit: str
    target: str
    candidate: str
    baseline: str
    effect: float | None
    interval_low: float | None
    interval_high: float | None
    confidence: float
    n_candidate: int
    n_baseline: int
    window_start: datetime
    window_end: datetime
    generation: int
    example_traces: list[str]
    reason: str
    verdict: Literal["worse", "better", "same", "not_yet"] | None = None
    allowed: float | None = None
