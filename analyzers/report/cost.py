"""What cost was, and why it changed: the parts of /v1/cost/change, with its waste, its unusual hours and its budgets."""

from __future__ import annotations

from analyzers.cost.budget import BudgetState
from analyzers.cost.decomposition import FACTORS, Decomposition, Model, by_model, decompose
from analyzers.cost.spending import read_anomalies, read_budget
from analyzers.report import wording
from analyzers.report.data import Cost, CostBudget, CostGroup, CostHour, CostPart, CostStep, Figure
from analyzers.report.figures import Figures
from analyzers.report.silence import Silences
from analyzers.report.sources import Sources
from storage.budgets import Budget, list_budgets
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


async def read_cost(sources: Sources, figures: Figures, total: Figure, unpriced: Figure, silences: Silences) -> Cost:
    """Cost of the range, the parts of its change where there is one to explain, what stands out, and the budgets."""
    ranges = figures.ranges
    reader = ProjectReader(figures.store, figures.project, figures.bounds)
    now, then = Range(ranges.start, ranges.end), Range(ranges.before_start, ranges.before_end)
    complete = await sources.watermark() or sources.clock()
    async with figures.gate:
        before, after = await read_model_usage(reader, CostQuery(then)), await read_model_usage(reader, CostQuery(now))
        waste = await read_repeated_prompts(reader, CostQuery(now)), await read_cache_misses(reader, CostQuery(now))
        unusual = await read_anomalies(reader, now, {}, complete)
    found = decompose(by_model(before), by_model(after))
    explained = total.value is not None and total.before is not None
    hours = sorted(unusual.anomalies, key=lambda hour: -abs(hour.cost_usd - hour.expected_usd))
    return Cost(
        before_usd=total.before,
        after_usd=total.value,
        parts=_parts(found) if explained else [],
        groups=[_group(model, found) for model, _ in found.models[:TOP_GROUPS]],
        unpriced=unpriced,
        waste=_waste(total.value, *waste),
        hours=[CostHour(**vars(hour)) for hour in hours],
        steps=[CostStep(**vars(step), silent=silences.within(step.onset, step.detected)) for step in unusual.steps],
        unusual=unusual.reason,
        budgets=await _budgets(sources, figures, reader),
        missing=total.missing if total.value is None else "",
    )


async def _budgets(sources: Sources, figures: Figures, reader: ProjectReader) -> list[CostBudget]:
    """The budgets as they stand now: what GET /v1/cost/budgets says at this moment."""
    found = await sources.control.read(lambda connection: list_budgets(connection, figures.project))
    now, told = sources.clock(), []
    for budget in found:
        filters = {budget.dimension: budget.value} if budget.dimension else {}
        async with figures.gate:
            state, _ = await read_budget(reader, budget.usd_per_month, filters, now)
        told.append(_budget(budget, state))
    return told


def _budget(budget: Budget, state: BudgetState) -> CostBudget:
    end = state.month_end
    return CostBudget(
        dimension=budget.dimension,
        value=budget.value,
        usd_per_month=budget.usd_per_month,
        start=state.start,
        end=state.end,
        spent_usd=state.spent_usd,
        expected_usd=end.expected_usd if end else None,
        low_usd=end.low_usd if end else None,
        high_usd=end.high_usd if end else None,
        verdict=state.verdict,
        reason=state.reason,
    )


def _parts(found: Decomposition) -> list[CostPart]:
    return [CostPart(name=factor, meaning=MEANINGS[factor], usd=found.whole.parts_usd[factor]) for factor in FACTORS]


def _group(model: Model, found: Decomposition) -> CostGroup:
    change = dict(found.models)[model]
    return CostGroup(name=model[1], before_usd=change.before_usd, after_usd=change.after_usd)


def _waste(total_usd: float | None, repeated: WasteFound, misses: WasteFound) -> list[str]:
    told = []
    if repeated.prompts:
        told.append(
            f"{_of(repeated.wasted_usd, total_usd)} went to answering the same again: "
            f"{repeated.responses:,} responses to {repeated.prompts:,} prompts that are equal to the letter."
        )
    if misses.prompts:
        told.append(
            f"At least {_of(misses.wasted_usd, total_usd)} would have been saved by the provider’s cache: "
            f"{misses.responses:,} responses to prompts that begin alike read nothing from it."
        )
    return told


def _of(usd: float, total_usd: float | None) -> str:
    """$2.80 (17 % of the cost)."""
    return wording.dollars(usd) + (f" ({wording.percent(usd / total_usd)} of the cost)" if total_usd else "")
