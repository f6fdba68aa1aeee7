"""Monthly budgets of cost: of a project, or of one value of a dimension in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, insert, select

from schemas.control.analysis import budgets

MAX_BUDGETS = 100


@dataclass(frozen=True)
class Budget:
    """At most `usd_per_month` for what has `value` in `dimension`; both empty: for all of the project."""

    project: str
    dimension: str
    value: str
    usd_per_month: float
    updated_by: str
    updated_at: datetime


def list_budgets(connection: Connection, project: str) -> list[Budget]:
    """The budgets of a project, its own first."""
    query = select(budgets).where(budgets.c.project == project).order_by(budgets.c.dimension, budgets.c.value)
    return [Budget(**row) for row in connection.execute(query).mappings()]


def put_budget(connection: Connection, budget: Budget) -> Budget | None:
    """Store a budget; returns the one it replaces."""
    before = remove_budget(connection, budget.project, budget.dimension, budget.value)
    connection.execute(insert(budgets).values(vars(budget)))
    return before


def remove_budget(connection: Connection, project: str, dimension: str, value: str) -> Budget | None:
    """Remove a budget; returns it, None when there was none."""
    is_it = and_(budgets.c.project == project, budgets.c.dimension == dimension, budgets.c.value == value)
    row = connection.execute(select(budgets).where(is_it)).mappings().first()
    if row is None:
        return None
    connection.execute(delete(budgets).where(is_it))
    return Budget(**row)
