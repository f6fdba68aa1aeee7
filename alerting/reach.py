"""Up to when a metric is known: scores come after the spans they judge, by as much as their analyzer lags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from schemas.metrics import Metric

Watermark = Callable[[], Awaitable[datetime | None]]
"""The arrival time up to which every span is stored; None while that is unknown."""

Analyzed = Callable[[str], Awaitable[datetime | None]]
"""The arrival time up to which an analyzer has read everything; None while it never finished anything."""


async def reach(metric: Metric, at: datetime, analyzed: Analyzed | None) -> datetime | None:
    """Up to when `metric` is known, given that spans are stored up to `at`.

    An evaluation of scores ends at its analyzer's own watermark: what is not analyzed yet is neither zero nor recovery.
    Without `analyzed` every analyzer counts as being up to date.
    """
    if not metric.analyzer or analyzed is None:
        return at
    own = await analyzed(metric.analyzer)
    return None if own is None else min(own, at)
