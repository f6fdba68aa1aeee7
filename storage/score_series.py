"""Metrics of scores over time, of one scorer at a time, and the latest looks at drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.metric import SCORE_DIMENSIONS
from schemas.metrics import LookMetric, ScoreMetric
from storage.dimensions import COLUMNS, filter_conditions, filter_parameters
from storage.scope import Axis, ProjectReader, Range, looks_of, scores_of
from storage.series import MetricQuery, Series, Steps, gathered

# A score carries what its span is called, under the same names, and its scorer.
SCORE_COLUMNS: Mapping[str, str] = {name: COLUMNS.get(name, name) for name in SCORE_DIMENSIONS}

LOOK_COLUMNS: Mapping[str, str] = {
    "service": "slice_service",
    "target": "slice_target",
    "release": "slice_release",
    "model": "slice_model",
    "part": "part",
    "scale": "scale",
}

# An abstention is no value, and neither is what is not a number.
JUDGED = "value IS NOT NULL AND isFinite(value)"


async def read_scores(reader: ProjectReader, metric: ScoreMetric, query: MetricQuery, steps: Steps) -> list[Series]:
    """The series of a metric of scores; every one has the label `scorer`.

    Each value is weighted by the spans that a score stands for (Hájek's estimate); `n` counts scores. Unless the query
    filters or groups by scorer, the one with the newest scores of the range is read and no other. Without any score there
    is one series of nothing, with an empty scorer, unless the query groups.

    Raises:
        QueryError: too-many-points.
        StoreError: the store refused, or a limit was reached.
    """
    labels = {name: f"by_{SCORE_COLUMNS[name]}" for name in dict.fromkeys((*query.group_by, "scorer"))}
    source = scored(metric, query.axis, query.filters, chosen="scorer" not in query.group_by, by=query.group_by)
    keys = ", ".join([*labels.values(), "t"])
    columns = ", ".join(f"{SCORE_COLUMNS[name]} AS {column}" for name, column in labels.items())
    sql = (
        f"SELECT {keys}, sum(weight * x) / sum(weight) AS value, count() AS n FROM (SELECT {columns}, "
        f"{steps.grid(at_column(query.axis))} AS t, weight, {observed(metric)} AS x {source}) "
        f"GROUP BY {keys} ORDER BY {keys} LIMIT {{limit:UInt32}}"
    )
    parameters = {**score_parameters(metric, query.filters), "step": steps.step_ms or 1, "limit": reader.bounds.max_rows + 1}
    rows = await reader.fetch(sql, Range(query.start, query.end, query.axis), parameters)
    always = [] if query.group_by or rows else [(query.filters.get("scorer", ""),)]
    return gathered(rows, labels, steps, reader.bounds, nothing=None, always=always)


def scored(
    metric: ScoreMetric,
    axis: Axis,
    filters: Mapping[str, str],
    *,
    chosen: bool,
    judged: bool = True,
    by: Sequence[str] = (),
) -> str:
    """`FROM scores` of a metric and filters; `chosen`: of the scorer with the newest ones. `judged`: without abstentions.

    Where one groups `by` service, each service has its own newest scorer: a calibrated service has one that no other has.
    """
    conditions = [
        "name = {score:String}",
        "part = {part:String}",
        "source = {source:String}",
        *filter_conditions(filters, SCORE_COLUMNS),
    ]
    if judged:
        conditions.append(score_known(metric))
    source = f"{scores_of(axis, late=metric.source == 'human')} AND {' AND '.join(conditions)}"
    if not chosen or filters.get("scorer"):
        return source
    newest = f"argMax(scorer, ({at_column(axis)}, scored_at, scorer))"
    if "service" in by:
        return f"{source} AND (service, scorer) IN (SELECT service, {newest} {source} GROUP BY service)"
    return f"{source} AND scorer = (SELECT {newest} {source})"


def score_known(metric: ScoreMetric) -> str:
    """Whether a score has a value; without one it abstained."""
    return f"{JUDGED} AND flagged IS NOT NULL" if metric.kind == "rate" else JUDGED


def observed(metric: ScoreMetric) -> str:
    """What is averaged: the verdict as 0 or 1, or the value."""
    return "toFloat64(assumeNotNull(flagged) != 0)" if metric.kind == "rate" else "assumeNotNull(value)"


def at_column(axis: Axis) -> str:
    """The time by which a score belongs to a range."""
    return "time" if axis == "event" else "received_at"


def score_parameters(metric: ScoreMetric, filters: Mapping[str, str]) -> dict[str, str]:
    """Bound parameters of `scored`."""
    own = {"score": metric.score, "part": metric.part, "source": metric.source}
    return {**own, **filter_parameters(filters, SCORE_COLUMNS)}


async def read_looks(reader: ProjectReader, metric: LookMetric, query: MetricQuery, steps: Steps) -> list[Series]:
    """The series of a figure of drift: of each step the latest look at every stream, and of the streams the largest.

    `n` counts streams. A stream is a part, a scale and a slice; whoever wants one alone filters or groups by them.

    Raises:
        QueryError: too-many-points.
        StoreError: the store refused, or a limit was reached.
    """
    labels = {name: f"by_{LOOK_COLUMNS[name]}" for name in query.group_by}
    stream = ", ".join(LOOK_COLUMNS.values())
    keys = ", ".join([*labels.values(), "t"])
    columns = "".join(f"{LOOK_COLUMNS[name]} AS {column}, " for name, column in labels.items())
    source = " AND ".join([looks_of(), *filter_conditions(query.filters, LOOK_COLUMNS)])
    latest = (
        f"SELECT {stream}, {steps.grid('time')} AS t, "
        f"argMax(tuple(toFloat64({metric.column})), (time, looked_at)).1 AS x {source} GROUP BY {stream}, t"
    )
    sql = (
        f"SELECT {keys}, max(x) AS value, count(x) AS n FROM (SELECT {columns}t, x FROM ({latest})) "
        f"GROUP BY {keys} ORDER BY {keys} LIMIT {{limit:UInt32}}"
    )
    own = filter_parameters(query.filters, LOOK_COLUMNS)
    parameters = {**own, "step": steps.step_ms or 1, "limit": reader.bounds.max_rows + 1}
    rows = await reader.fetch(sql, Range(query.start, query.end, query.axis), parameters)
    return gathered(rows, labels, steps, reader.bounds, nothing=None, always=[] if labels else [()])
