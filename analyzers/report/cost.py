"""What cost was, and why it changed: the parts of /v1/cost/change, and its waste."""

from __future__ import annotations

from analyzers.cost.decomposition import FACTORS, Decomposition, Model, by_model, decompose
from analyzers.report import wording
from analyzers.report.data import Cost, CostGroup, CostPart, Figure
from analyzers.report.figures import Figures
from storage.cost_analytics import CostQuery, WasteFound, read_cache_misses, read_model_usage, read_repeated_prompts
from storage.scope import ProjectReader, Range

TOP_GROUPS = 8

MEANINGS = {
    "volume": "more or fewer responses",
    "mix": "other models",
    "tokens": "longer or shorter prompts and answers",
    "cache": "more or less of the input read from a cache",
    "price": "other prices, and what rounding leaves",
}


async def read_cost(figures: Figures, total: Figure, unpriced: Figure) -> Cost:
    """Cost of the range, and the parts of its change where there is one to explain."""
    ranges = figures.ranges
    reader = ProjectReader(figures.store, figures.project, figures.bounds)
    now, then = Range(ranges.start, ranges.end), Range(ranges.before_start, ranges.before_end)
    async with figures.gate:
        before, after = await read_model_usage(reader, CostQuery(then)), await read_model_usage(reader, CostQuery(now))
        waste = await read_repeated_prompts(reader, CostQuery(now)), await read_cache_misses(reader, CostQuery(now))
    found = decompose(by_model(before), by_model(after))
    explained = total.value is not None and total.before is not None
    return Cost(
        before_usd=total.before,
        after_usd=total.value,
        parts=_parts(found) if explained else [],
        groups=[_group(model, found) for model, _ in found.models[:TOP_GROUPS]],
        unpriced=unpriced,
        waste=_waste(*waste),
        missing=total.missing if total.value is None else "",
    )


def _parts(found: Decomposition) -> list[CostPart]:
    return [CostPart(name=factor, meaning=MEANINGS[factor], usd=found.whole.parts_usd[factor]) for factor in FACTORS]


def _group(model: Model, found: Decomposition) -> CostGroup:
    change = dict(found.models)[model]
    return CostGroup(name=model[1], before_usd=change.before_usd, after_usd=change.after_usd)


def _waste(repeated: WasteFound, misses: WasteFound) -> list[str]:
    told = []
    if repeated.prompts:
        told.append(
            f"{wording.dollars(repeated.wasted_usd)} went to answering the same again: "
            f"{repeated.responses:,} responses to {repeated.prompts:,} prompts that are equal to the letter."
        )
    if misses.prompts:
        told.append(
            f"At least {wording.dollars(misses.wasted_usd)} could have come from a cache: "
            f"{misses.responses:,} responses to prompts that begin alike read none."
        )
    return told
