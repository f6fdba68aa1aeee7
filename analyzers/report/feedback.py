"""How far people and scorers agree."""

from __future__ import annotations

from analyzers.report.figures import Ranges
from analyzers.report.sources import Sources


async def read_feedback(sources: Sources, project: str, ranges: Ranges) -> list[str]:
    """One sentence for each scorer that people judged as well."""
    return []
