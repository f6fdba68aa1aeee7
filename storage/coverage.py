"""How much of the traffic each analyzer looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from storage.scope import Axis, ProjectReader, Range, coverage_of


@dataclass(frozen=True)
class Coverage:
    """Of the spans that an analyzer `wanted`, those it looked at; of these those given up, and those without a value.

    `share` is None where it wanted nothing: then nothing is known, not everything covered. `scorers` names whoever looked.
    """

    analyzer: str
    wanted: int
    looked_at: int
    failed: int
    abstained: dict[str, int] = field(default_factory=dict)
    scorers: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """Looked at and not given up, of what was wanted."""
        return (self.looked_at - self.failed) / self.wanted if self.wanted else None


@dataclass(frozen=True)
class SliceCoverage:
    """What one version of an analyzer (`scorer`) did with the spans of one service; counts as in `Coverage`."""

    analyzer: str
    scorer: str
    service: str
    wanted: int
    looked_at: int
    failed: int
    abstained: dict[str, int]


async def read_slice_coverage(reader: ProjectReader, span: Range) -> list[SliceCoverage]:
    """The coverage of each analyzer, scorer and service over a range.

    Raises:
        QueryError: the range is empty or too long.
        StoreError: the store refused, or a limit was reached.
    """
    sql = (
        "SELECT analyzer, scorer, service, sum(wanted) AS wanted, sum(looked_at) AS looked_at, sum(failed) AS failed, "
        f"sumMap(abstained) AS abstained {coverage_of(span.axis)} "
        "GROUP BY analyzer, scorer, service ORDER BY analyzer, scorer, wanted DESC, service"
    )
    return [SliceCoverage(**{**row, "abstained": dict(row["abstained"])}) for row in await reader.fetch(sql, span)]


async def read_coverage(reader: ProjectReader, span: Range) -> list[Coverage]:
    """The coverage of each analyzer over a range, in the order of their names.

    Raises:
        QueryError: the range is empty or too long.
        StoreError: the store refused, or a limit was reached.
    """
    rows = await reader.fetch(_statement(span.axis), span)
    return [_coverage(row) for row in rows]


def _statement(axis: Axis) -> str:
    return (
        "SELECT analyzer, sum(wanted) AS wanted, sum(looked_at) AS looked_at, sum(failed) AS failed, "
        f"sumMap(abstained) AS abstained, groupUniqArray(scorer) AS scorers {coverage_of(axis)} "
        "GROUP BY analyzer ORDER BY analyzer"
    )


def _coverage(row: dict[str, Any]) -> Coverage:
    return Coverage(
        analyzer=row["analyzer"],
        wanted=row["wanted"],
        looked_at=row["looked_at"],
        failed=row["failed"],
        abstained=dict(sorted(row["abstained"].items())),
        scorers=tuple(sorted(row["scorers"])),
    )
