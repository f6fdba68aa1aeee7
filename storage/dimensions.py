"""How each dimension is read from spans, and how spans become observations: fixed tables, so that no name a user sends
becomes SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from schemas.metrics import USAGE_OPERATIONS, Metric
from storage.scope import TIME_COLUMNS, Axis, QueryError, spans_of

# Spans of one request are looked for this long before and after the range; a longer request may count on both sides.
REQUEST_SLACK = timedelta(minutes=10)

COLUMNS: Mapping[str, str] = {
    "service": "service",
    "service_version": "service_version",
    "environment": "environment",
    "model": "model",
    "provider": "provider",
    "operation": "operation",
    "target": "target",
    "release": "release",
    "user": "user_id",
    "conversation": "conversation_id",
    "prompt": "prompt_name",
    "prompt_version": "prompt_version",
    "agent": "agent_name",
    "tool": "tool_name",
    "status": "status",
    "error_type": "error_type",
}

# These belong to the request as a whole: found on any of its spans, they hold for all of them. Where several spans have
# one, the topmost counts. Target and release go together: a trace can pass several services, each with its own.
OF_TRACE = ("target", "release", "user", "conversation")
# Of a request, these are those of its top span; the others, of its first span that has one.
OF_TOP_SPAN = ("service", "service_version", "environment")

TRACE = "cityHash64(trace_id)"

# Orders the spans of a trace: roots first, then by start. Its minimum is the top span.
RANK = "(toUInt64(toUnixTimestamp64Nano(started_at)) + if(parent_span_id = toFixedString('', 8), 0, 9223372036854775808))"

# An argMin over a nullable column skips NULLs: a child's duration would stand in for the missing one of its top span.
TOP_DURATION = f"nullIf(argMin(ifNull(duration_ms, -1), {RANK}), -1)"
# What these aggregates over a request are on its top span.
ON_TOP_SPAN: Mapping[str, str] = {TOP_DURATION: "duration_ms"}

USAGE = "operation IN (" + ", ".join(f"'{name}'" for name in USAGE_OPERATIONS) + ")"


def check_dimensions(metric: Metric, names: Iterable[str]) -> None:
    """Refuse dimensions that the metric does not have.

    Raises:
        QueryError: unknown-dimension, with those it has.
    """
    unknown = [name for name in names if name not in metric.dimensions]
    if unknown:
        raise QueryError(
            "unknown-dimension",
            f"{metric.name} has no dimension {unknown[0][:100]!r}: use {', '.join(metric.dimensions)}",
        )


def alias(dimension: str) -> str:
    """The name of a dimension's column in a result."""
    return f"by_{COLUMNS[dimension]}"


def filter_parameters(filters: Mapping[str, str], columns: Mapping[str, str] = COLUMNS) -> dict[str, Any]:
    """Bound parameters of the conditions that `filters` become."""
    return {f"is_{columns[name]}": value for name, value in filters.items()}


def filter_conditions(filters: Iterable[str], columns: Mapping[str, str]) -> list[str]:
    """That each of `columns` is what its filter says; the values are `filter_parameters` of the same columns."""
    return [f"{columns[name]} = {{is_{columns[name]}:String}}" for name in filters]


def requests(axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], filters: Mapping[str, str]) -> str:
    """One row for each request of the range: `at` (when its top span started or arrived), `columns` (name → aggregate over
    its spans), dimensions."""
    own = [name for name in filters if name not in OF_TRACE]
    named = tuple(dict.fromkeys((*dimensions, *own)))
    kept = [*_within("at"), *(f"{alias(name)} = {_bound(name)}" for name in own)]
    source = spans_of(axis, REQUEST_SLACK) + _joined("WHERE", _trace_conditions(axis, filters))
    if named and all(name in OF_TOP_SPAN for name in named) and all(column in ON_TOP_SPAN for column in columns.values()):
        return _top_spans(axis, columns, named, source, kept)
    labels = [f"{_of_request(name, filters)} AS {alias(name)}" for name in named]
    chosen = ", ".join([f"argMin({TIME_COLUMNS[axis]}, {RANK}) AS at", *_named(columns), *labels])
    return f"SELECT {chosen} {source} GROUP BY {TRACE}{_joined('HAVING', kept)}"


def _top_spans(axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], source: str, kept: Iterable[str]) -> str:
    """The same rows where the top span alone has it all: an argMin of texts takes half as long again."""
    chosen = {"at": TIME_COLUMNS[axis]} | {name: ON_TOP_SPAN[column] for name, column in columns.items()}
    chosen |= {alias(name): COLUMNS[name] for name in dimensions}
    spans = f"SELECT {', '.join(_named(chosen))} {source} ORDER BY {RANK} LIMIT 1 BY {TRACE}"
    return f"SELECT * FROM ({spans}){_joined('WHERE', kept)}"


def responses(axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], filters: Mapping[str, str]) -> str:
    """One row for each model response of the range, however many spans repeat it: `at`, `columns` (name → aggregate over the
    spans that repeat it), dimensions."""
    dimensions = tuple(dimensions)
    inherited = [name for name in dimensions if name in OF_TRACE]
    chosen = {"at": f"argMin({TIME_COLUMNS[axis]}, started_at)", **columns}
    chosen |= {alias(name): _first(COLUMNS[name], "started_at") for name in dimensions if name not in OF_TRACE}
    chosen |= {"trace": f"any({TRACE})"} if inherited else {}
    source = f"{spans_of(axis)} AND {USAGE}{_joined('WHERE', span_conditions(axis, filters))}"
    return _with_inherited(f"SELECT {', '.join(_named(chosen))} {source} GROUP BY usage_key", axis, inherited, filters)


def single_spans(
    axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], filters: Mapping[str, str], *, once: bool
) -> str:
    """One row for each span of the range: `span_key`, `at`, `columns` (name → column), dimensions.

    A span that was sent twice can be there twice, unless `once` (which costs a hash table of the range's spans).
    """
    dimensions = tuple(dimensions)
    inherited = [name for name in dimensions if name in OF_TRACE]
    chosen = {"at": TIME_COLUMNS[axis], **columns}
    chosen |= {alias(name): _of_span(name) for name in dimensions if name not in OF_TRACE}
    chosen |= {"trace": TRACE} if inherited else {}
    if once:
        chosen = {name: f"any({column})" for name, column in chosen.items()}
    source = spans_of(axis) + _joined("WHERE", span_conditions(axis, filters)) + (" GROUP BY span_key" if once else "")
    return _with_inherited(f"SELECT span_key, {', '.join(_named(chosen))} {source}", axis, inherited, filters)


def _with_inherited(rows: str, axis: Axis, inherited: list[str], filters: Mapping[str, str]) -> str:
    """`rows` beside what they inherit from their traces."""
    if not inherited:
        return rows
    labels = ", ".join(f"{_of_request(name, filters)} AS {alias(name)}" for name in inherited)
    some = " OR ".join(f"{COLUMNS[name]} != ''" for name in inherited)
    traces = f"SELECT {TRACE} AS trace, {labels} {spans_of(axis, REQUEST_SLACK)} AND ({some}) GROUP BY trace"
    return f"SELECT * FROM ({rows}) AS s ANY LEFT JOIN ({traces}) AS t USING (trace)"


def _of_span(dimension: str) -> str:
    return "if(is_error = 1, 'error', status)" if dimension == "status" else COLUMNS[dimension]


def _of_request(dimension: str, filters: Mapping[str, str]) -> str:
    """What a request's dimension is, as an aggregate over the spans of its trace."""
    column = COLUMNS[dimension]
    if dimension == "status":
        return "if(max(is_error) = 1, 'error', 'ok')"
    if dimension in OF_TOP_SPAN:
        return f"argMin({column}, {RANK})"
    if dimension not in OF_TRACE:
        return _first(column, "started_at")
    partner = {"target": "release", "release": "target"}.get(dimension, "")
    return _first(column, RANK, [f"{COLUMNS[partner]} = {_bound(partner)}"] if filters.get(partner) else [])


def _first(column: str, order: str, conditions: Iterable[str] = ()) -> str:
    wanted = " AND ".join([f"{column} != ''", *conditions])
    return f"argMinIf({column}, {order}, {wanted})"


def span_conditions(axis: Axis, filters: Mapping[str, str]) -> list[str]:
    """What spans must be like to pass `filters`."""
    own = [f"{_of_span(name)} = {_bound(name)}" for name in filters if name not in OF_TRACE]
    return own + _trace_conditions(axis, filters)


def _trace_conditions(axis: Axis, filters: Mapping[str, str]) -> list[str]:
    """Traces with the wanted target and release on one span, the wanted user, conversation; an empty value means none."""
    together = [name for name in ("target", "release") if filters.get(name)]
    wanted = [together] + [[name] for name in ("user", "conversation") if filters.get(name)]
    found = [_traces(axis, [f"{COLUMNS[name]} = {_bound(name)}" for name in names]) for names in wanted if names]
    without = [_traces(axis, [f"{COLUMNS[name]} != ''"]) for name in OF_TRACE if filters.get(name) == ""]
    return [f"{TRACE} IN {traces}" for traces in found] + [f"{TRACE} NOT IN {traces}" for traces in without]


def _traces(axis: Axis, conditions: Iterable[str]) -> str:
    return f"(SELECT {TRACE} {spans_of(axis, REQUEST_SLACK)} AND {' AND '.join(conditions)})"


def _within(column: str) -> list[str]:
    start, end = (f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')" for name in ("start", "end"))
    return [f"{column} >= {start}", f"{column} < {end}"]


def _named(columns: Mapping[str, str]) -> list[str]:
    return [f"{expression} AS {name}" for name, expression in columns.items()]


def _joined(keyword: str, conditions: Iterable[str]) -> str:
    joined = " AND ".join(conditions)
    return f" {keyword} {joined}" if joined else ""


def _bound(dimension: str) -> str:
    return f"{{is_{COLUMNS[dimension]}:String}}"
