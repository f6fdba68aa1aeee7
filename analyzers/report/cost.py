"""What cost was, and why it changed."""

from __future__ import annotations

from analyzers.report.data import Cost, CostGroup, Figure
from analyzers.report.figures import Figures
from analyzers.report.sources import Sources

TOP_GROUPS = 8


async def read_cost(sources: Sources, figures: Figures, total: Figure, unpriced: Figure) -> Cost:
    """Cost by model, with the change."""
    groups = await figures.grouped("cost.usd", ("model",))
    rows = [
        CostGroup(name=labels[0], before_usd=figure.before or 0.0, after_usd=figure.value or 0.0)
        for labels, figure in groups.items()
        if figure.value is not None or figure.before is not None
    ]
    ordered = sorted(rows, key=lambda row: (-abs(row.after_usd - row.before_usd), row.name))
    return Cost(
        before_usd=total.before,
        after_usd=total.value,
        groups=ordered[:TOP_GROUPS],
        unpriced=unpriced,
        missing=total.missing if total.value is None else "",
    )
