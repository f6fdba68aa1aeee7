"""Monthly budgets of cost, with where the month will end."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection

from analyzers.cost.budget import BudgetState
from analyzers.cost.spending import read_budget
from api.auth import authorise
from api.conditions import caller_of
from api.problem import Problem
from api.reading import Parts, Reader
from schemas.api.cost import BudgetAnswer, BudgetKey, BudgetList, BudgetRequest, MonthEndAnswer
from schemas.api.metrics import Window
from storage.audit import record
from storage.budgets import MAX_BUDGETS, Budget, list_budgets, put_budget, remove_budget
from storage.keys import Principal
from storage.scope import ProjectReader

router = APIRouter(tags=["cost"])

Controller = Annotated[Principal, Depends(authorise("control"))]


@router.get("/v1/cost/budgets")
async def read_budgets(reader: Reader, parts: Parts) -> BudgetList:
    """Every budget of the project with what is spent and where the month will end."""
    found = await parts.control.read(lambda connection: list_budgets(connection, reader.project))
    now = parts.clock()
    return BudgetList(budgets=list(await asyncio.gather(*(_judged(reader, budget, now) for budget in found))))


@router.put("/v1/cost/budgets")
async def write_budget(
    body: BudgetRequest, principal: Controller, reader: Reader, parts: Parts, request: Request
) -> BudgetAnswer:
    """Set the budget of the project, or of one value of a dimension."""
    now, caller = parts.clock(), caller_of(principal, request)
    budget = Budget(principal.project, body.dimension, body.value, body.usd_per_month, caller.actor, now)

    def work(connection: Connection) -> None:
        before = put_budget(connection, budget)
        if before is None and len(list_budgets(connection, principal.project)) > MAX_BUDGETS:
            detail = f"A project has at most {MAX_BUDGETS} budgets: delete one with DELETE /v1/cost/budgets."
            raise Problem(409, "There are too many budgets", detail, type="too-many-budgets")
        _audit(connection, "budget.set", before, budget, caller.actor, caller.source, now)

    await parts.control.write(work)
    return await _judged(reader, budget, now)


@router.delete("/v1/cost/budgets", status_code=204)
async def delete_budget(asked: Annotated[BudgetKey, Query()], principal: Controller, parts: Parts, request: Request) -> None:
    """Remove a budget."""
    now, caller = parts.clock(), caller_of(principal, request)

    def work(connection: Connection) -> None:
        before = remove_budget(connection, principal.project, asked.dimension, asked.value)
        if before is None:
            detail = "There is no budget of this dimension and value: GET /v1/cost/budgets lists them."
            raise Problem(404, "No such budget", detail, type="unknown-budget")
        _audit(connection, "budget.delete", before, None, caller.actor, caller.source, now)

    await parts.control.write(work)


async def _judged(reader: ProjectReader, budget: Budget, now: datetime) -> BudgetAnswer:
    """The budget with its state; all figures are those of the metrics for the same range."""
    filters = {budget.dimension: budget.value} if budget.dimension else {}
    return _shown(budget, *await read_budget(reader, budget.usd_per_month, filters, now))


def _shown(budget: Budget, state: BudgetState, unpriced: int) -> BudgetAnswer:
    return BudgetAnswer(
        dimension=budget.dimension,
        value=budget.value,
        usd_per_month=budget.usd_per_month,
        updated_by=budget.updated_by,
        updated_at=budget.updated_at,
        month=Window(start=state.start, end=state.end),
        spent_usd=state.spent_usd,
        unpriced=unpriced,
        month_end=None if state.month_end is None else MonthEndAnswer(**vars(state.month_end)),
        basis=state.basis,
        verdict=state.verdict,
        reason=state.reason,
    )


def _audit(
    connection: Connection, action: str, before: Budget | None, after: Budget | None, actor: str, source: str, now: datetime
) -> None:
    budget = after or before
    assert budget is not None
    record(
        connection,
        project=budget.project,
        actor=actor,
        action=action,
        subject=f"budget:{budget.dimension}={budget.value}" if budget.dimension else "budget:project",
        before=_snapshot(before),
        after=_snapshot(after),
        source=source,
        now=now,
    )


def _snapshot(budget: Budget | None) -> dict[str, Any] | None:
    if budget is None:
        return None
    return {"dimension": budget.dimension, "value": budget.value, "usd_per_month": budget.usd_per_month}
