"""One arm of a release comparison by a metric of scores.

One observation is a request: flagged when any of its scores is, its value the mean of its scores. Scores of a sample stand
for `weight` requests each, so that means and shares are Hájek's, Σwx/Σw, and the arm counts as many requests as would tell
as much with equal weights, n = (Σw)²/Σw² (Kish 1965, §11.7: the effect of unequal weights on the variance of a mean). With
equal weights, the usual case, that is the number of requests itself and nothing is approximate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from schemas.metrics import ScoreMetric
from storage.arm_data import EXAMPLES, ArmData, ArmQuery, Block
from storage.scope import ProjectReader, Range
from storage.score_series import at_column, observed, score_known, score_parameters, scored

# A sum of squares carries this relative rounding error; a variance below it is indistinguishable from zero.
_ROUNDING = 2.0**-49
# Of equal weights the count comes out whole, but for rounding.
_WHOLE = 1e-6


async def read_score_arm(reader: ProjectReader, metric: ScoreMetric, query: ArmQuery, block: timedelta) -> ArmData:
    """The arm of `query`, of one scorer: the filter's, or the one with the newest scores.

    Raises:
        QueryError: the range.
        StoreError: the store refused, or a limit was reached.
    """
    filters = {**query.filters, "target": query.target, "release": query.release}
    parameters = {**score_parameters(metric, filters), "block": block // timedelta(milliseconds=1)}
    source = scored(metric, query.axis, filters, chosen=True, judged=False)
    rows = await reader.fetch(_statement(metric, query, source), Range(query.start, query.end, query.axis), parameters)
    return _arm(rows, metric)


def _statement(metric: ScoreMetric, query: ArmQuery, source: str) -> str:
    of_request = "maxIf" if metric.kind == "rate" else "avgIf"
    known = score_known(metric)
    worst = "-y" if metric.worse != "down" else "y"
    shown = "y = 1" if metric.kind == "rate" else "y IS NOT NULL"
    scaled = "if(x > 0, log(x), NULL)" if metric.scale == "log" else "x"
    requests = (
        f"SELECT min({at_column(query.axis)}) AS at, lower(hex(trace_id)) AS id, any(scorer) AS by, max(weight) AS w, "
        f"if(countIf({known}) = 0, NULL, {of_request}({observed(metric)}, {known})) AS x {source} GROUP BY trace_id"
    )
    return (
        "SELECT intDiv(toUnixTimestamp64Milli(at), {block:Int64}) AS b, any(by) AS scorer, countIf(y IS NULL) AS missing, "
        "sumIf(w, y IS NOT NULL) AS weights, sumIf(w * w, y IS NOT NULL) AS squared_weights, ifNull(sum(w * y), 0) AS total, "
        "ifNull(sum(w * y * y), 0) AS squares, "
        f"groupArraySortedIf({EXAMPLES})((assumeNotNull({worst}), id), {shown}) AS examples "
        f"FROM (SELECT at, id, by, w, {scaled} AS y FROM ({requests})) GROUP BY b ORDER BY b"
    )


@dataclass(frozen=True)
class Sums:
    """Σw, Σw², Σwy and Σwy² of some requests."""

    weights: float
    squared_weights: float
    total: float
    squares: float

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> Sums:
        """Of all rows together."""
        return cls(*(sum(row[name] for row in rows) for name in ("weights", "squared_weights", "total", "squares")))

    @property
    def block(self) -> Block:
        """As if they were `n` requests of equal weight."""
        if self.weights <= 0:
            return Block(0, 0.0, 0.0)
        n = int(self.weights**2 / self.squared_weights + _WHOLE)
        mean = self.total / self.weights
        spread = self.squares / self.weights - mean**2
        if spread <= _ROUNDING * n * self.squares / self.weights:
            spread = 0.0
        return Block(n, mean, spread * n / (n - 1) if n > 1 else 0.0)


def _arm(rows: list[dict[str, Any]], metric: ScoreMetric) -> ArmData:
    whole = Sums.of(rows).block
    examples = sorted(example for row in rows for example in row["examples"])
    blocks = [Sums.of([row]).block for row in rows]
    return ArmData(
        n=whole.n,
        mean=whole.mean,
        variance=whole.variance,
        events=round(whole.n * whole.mean) if metric.kind == "rate" else None,
        blocks=tuple(block for block in blocks if block.n),
        examples=tuple(trace_id for _, trace_id in examples[:EXAMPLES]),
        missing=sum(row["missing"] for row in rows),
        scorer=next((row["scorer"] for row in rows), ""),
    )
