"""What the applications of one project evaluate."""

from __future__ import annotations

from storage.scope import ProjectReader, Range, evaluations_of


async def read_evaluation_names(reader: ProjectReader, span: Range) -> list[str]:
    """What the project's applications evaluated within a range of arrival.

    Raises:
        QueryError: the range.
        StoreError: the store refused, or a limit was reached.
    """
    return [row["name"] for row in await reader.fetch(f"SELECT DISTINCT name {evaluations_of()} ORDER BY name", span)]
