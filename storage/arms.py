"""One arm of a release comparison: the requests of one release of a target, as sufficient statistics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from schemas.metrics import ScoreMetric, find_comparable
from schemas.settings import QuerySettings
from storage.arm_data import EXAMPLES, ArmData, ArmQuery, Block, combine
from storage.clickhouse import ClickHouseStore
from storage.dimensions import TOP_DURATION, USAGE, check_dimensions, filter_parameters, requests
from storage.readings import FAILED, USAGE_COLUMNS
from storage.scope import DEFAULT_BOUNDS, ProjectReader, QueryError, Range
from storage.score_arms import read_score_arm

__all__ = ["ArmData", "ArmQuery", "Block", "combine", "read_arm"]


async def read_arm(
    store: ClickHouseStore, query: ArmQuery, *, block: timedelta, bounds: QuerySettings = DEFAULT_BOUNDS
) -> ArmData:
    """The arm of `query`, and the same for each `block` of time (multiples of it since 1970).

    Raises:
        UnknownMetricError: the metric is unknown or cannot be compared.
        QueryError: a dimension, the range or the block; the message names the bound and the fix.
        StoreError: the store refused, or a limit was reached.
    """
    metric = find_comparable(query.metric)
    check_dimensions(metric, query.filters)
    if block < timedelta(seconds=1):
        raise QueryError("bad-step", "the block is shorter than a second: ask for 1s or more")
    reader = ProjectReader(store, query.project, bounds)
    if isinstance(metric, ScoreMetric):
        return await read_score_arm(reader, metric, query, block)
    filters = {**query.filters, "target": query.target, "release": query.release}
    parameters = {**filter_parameters(filters), "block": block // timedelta(milliseconds=1)}
    sql = _statement(query.metric, requests(query.axis, _columns(query.metric), (), filters))
    return _arm(await reader.fetch(sql, Range(query.start, query.end, query.axis), parameters), query.metric)


def _statement(metric: str, observed: str) -> str:
    shown = "y = 1" if metric == "errors.rate" else "y IS NOT NULL"
    return (
        "SELECT intDiv(toUnixTimestamp64Milli(at), {block:Int64}) AS b, count(y) AS n, avg(y) AS mean, "
        "if(count(y) > 1, ifNull(varSampStable(y), 0), 0) AS variance, count() - count(y) AS missing, countIf(y = 1) AS ones, "
        f"groupArraySortedIf({EXAMPLES})((-assumeNotNull(y), id), {shown}) AS examples "
        f"FROM (SELECT at, id, {_scale(metric)} AS y FROM ({observed})) GROUP BY b ORDER BY b"
    )


def _columns(metric: str) -> dict[str, str]:
    return {"x": _VALUES[metric], "id": "any(hex(trace_id))"}


def _of_responses(column: str) -> str:
    """The sum over the responses of a trace, each counted once; NULL where none has it."""
    sums = f"maxMapIf([usage_key], [toFloat64(assumeNotNull({column}))], {USAGE} AND {column} IS NOT NULL)"
    return f"if(empty(({sums} AS by_response).1), NULL, arraySum(by_response.2))"


_VALUES: Mapping[str, str] = {
    "errors.rate": FAILED,
    "latency": TOP_DURATION,
    "time_to_first_token": f"argMinIf(time_to_first_token_ms, started_at, {USAGE})",
    **{name: _of_responses(USAGE_COLUMNS[name]) for name in ("cost.usd", "tokens.input", "tokens.output")},
}


def _scale(metric: str) -> str:
    return "toNullable(toFloat64(x))" if metric == "errors.rate" else "if(x > 0, log(x), NULL)"


def _arm(rows: list[dict[str, Any]], metric: str) -> ArmData:
    blocks = tuple(Block(row["n"], row["mean"], row["variance"]) for row in rows if row["n"])
    whole = combine(blocks)
    examples = sorted(example for row in rows for example in row["examples"])
    return ArmData(
        n=whole.n,
        mean=whole.mean,
        variance=whole.variance,
        events=sum(row["ones"] for row in rows) if metric == "errors.rate" else None,
        blocks=blocks,
        examples=tuple(trace_id.lower() for _, trace_id in examples[:EXAMPLES]),
        missing=sum(row["missing"] for row in rows),
    )
