"""Budgets as rows, on both control databases."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, insert

from schemas.control.core import projects
from storage.budgets import Budget, list_budgets, put_budget, remove_budget
from storage.control import ControlDatabase

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def budget(usd: float, dimension: str = "", value: str = "", project: str = "ours") -> Budget:
    return Budget(project, dimension, value, usd, "ann", NOW)


async def test_one_budget_for_each_project_dimension_and_value(control: ControlDatabase) -> None:
    def work(connection: Connection) -> None:
        connection.execute(insert(projects).values([{"name": name, "created_at": NOW} for name in ("ours", "theirs")]))
        assert put_budget(connection, budget(5, "model", "gpt-4o")) is None
        assert put_budget(connection, budget(7, "model", "gpt-4o")) == budget(5, "model", "gpt-4o")
        assert put_budget(connection, budget(100)) is None
        assert put_budget(connection, budget(9, project="theirs")) is None

    await control.write(work)
    assert await control.read(lambda connection: list_budgets(connection, "ours")) == [
        budget(100),
        budget(7, "model", "gpt-4o"),
    ]
    removed = await control.write(lambda connection: remove_budget(connection, "ours", "model", "gpt-4o"))
    assert removed == budget(7, "model", "gpt-4o")
    assert await control.write(lambda connection: remove_budget(connection, "ours", "model", "gpt-4o")) is None
    assert await control.read(lambda connection: list_budgets(connection, "theirs")) == [budget(9, project="theirs")]
