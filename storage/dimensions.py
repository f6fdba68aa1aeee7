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

# Found on any span of a trace, these hold for all its spans.
INHERITED = ("target", "release", "user", "conversation")
# Of a request, these are those of its top span; the others, of its first span that has one.
OF_TOP_SPAN = ("service", "service_version", "environment")

TRACE = "cityHash64(trace_id)"

# Orders the spans of a trace: roots first, then by start. Its minimum is the top span.
RANK = "(toUInt64(toUnixTimestamp64Nano(started_at)) + if(parent_span_id = toFixedString('', 8), 0, 9223372036854775808))"

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


def filter_parameters(filters: Mapping[str, str]) -> dict[str, Any]:
    """Bound parameters of `filter_clauses`."""
    return {f"is_{COLUMNS[name]}": value for name, value in filters.items()}


def filter_clauses(filters: Iterable[str]) -> list[str]:
    """Conditions on the aliases of dimensions."""
    return [f"{alias(name)} = {{is_{COLUMNS[name]}:String}}" for name in filters]


def where(clauses: Iterable[str], keyword: str = "WHERE") -> str:
    """The clauses joined, or nothing."""
    joined = " AND ".join(clauses)
    return f" {keyword} {joined}" if joined else ""


def of_request(dimension: str) -> str:
    """What a request's dimension is, as an aggregate over the spans of its trace."""
    column = COLUMNS[dimension]
    if dimension == "status":
        return "if(max(is_error) = 1, 'error', 'ok')"
    if dimension in INHERITED:
        return f"max({column})"
    if dimension in OF_TOP_SPAN:
        return f"argMin({column}, {RANK})"
    return f"argMinIf({column}, started_at, {column} != '')"


def requests(axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], filters: Iterable[str]) -> str:
    """One row for each request of the range: `at` (when its top span started or arrived), `columns` (name → aggregate over
    its spans), dimensions."""
    filters = tuple(filters)
    labels = [f"{of_request(name)} AS {alias(name)}" for name in dict.fromkeys((*dimensions, *filters))]
    chosen = ", ".join([f"argMin({TIME_COLUMNS[axis]}, {RANK}) AS at", *_named(columns), *labels])
    kept = where([*_within("at"), *filter_clauses(filters)], "HAVING")
    return f"SELECT {chosen} {spans_of(axis, REQUEST_SLACK)} GROUP BY {TRACE}{kept}"


def _named(columns: Mapping[str, str]) -> list[str]:
    return [f"{expression} AS {name}" for name, expression in columns.items()]


def _within(column: str) -> list[str]:
    start, end = (f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')" for name in ("start", "end"))
    return [f"{column} >= {start}", f"{column} < {end}"]


def responses(axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], filters: Iterable[str]) -> str:
    """One row for each model response of the range, however many spans repeat it: `at`, `columns` (name → aggregate over the
    spans that repeat it), dimensions."""
    filters = tuple(filters)
    inherited = _inherited((*dimensions, *filters))
    labels = [f"{_of_response(name)} AS {_own(name)}" for name in dict.fromkeys((*dimensions, *inherited))]
    chosen = [f"argMin({TIME_COLUMNS[axis]}, started_at) AS at", *_named(columns), *labels]
    if inherited:
        chosen.append(f"any({TRACE}) AS trace")
    kept = [f"{COLUMNS[name]} = {{is_{COLUMNS[name]}:String}}" for name in filters if name not in INHERITED]
    rows = f"SELECT {', '.join(chosen)} {spans_of(axis)} AND {USAGE}{where(kept)} GROUP BY usage_key"
    return _with_inherited(rows, axis, inherited, filters)


def _of_response(dimension: str) -> str:
    column = COLUMNS[dimension]
    return f"max({column})" if dimension in INHERITED else f"argMinIf({column}, started_at, {column} != '')"


def single_spans(
    axis: Axis, columns: Mapping[str, str], dimensions: Iterable[str], filters: Iterable[str], *, once: bool
) -> str:
    """One row for each span of the range: `span_key`, `at`, `columns` (name → column), dimensions.

    A span that was sent twice can be there twice, unless `once` (which costs a hash table of the range's spans).
    """
    filters = tuple(filters)
    inherited = _inherited((*dimensions, *filters))
    chosen = {"at": TIME_COLUMNS[axis], **columns}
    chosen |= {_own(name): COLUMNS[name] for name in (*dimensions, *inherited)}
    if inherited:
        chosen["trace"] = TRACE
    form = "any({column}) AS {name}" if once else "{column} AS {name}"
    selected = ", ".join(form.format(column=column, name=name) for name, column in chosen.items())
    kept = where(f"{COLUMNS[name]} = {{is_{COLUMNS[name]}:String}}" for name in filters if name not in INHERITED)
    rows = f"SELECT span_key, {selected} {spans_of(axis)}{kept}" + (" GROUP BY span_key" if once else "")
    return _with_inherited(rows, axis, inherited, filters)


def _inherited(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name in INHERITED]


def _own(dimension: str) -> str:
    return f"own_{COLUMNS[dimension]}" if dimension in INHERITED else alias(dimension)


def _with_inherited(rows: str, axis: Axis, inherited: list[str], filters: tuple[str, ...]) -> str:
    """`rows` with what they inherit from their traces, where they have none of their own."""
    if not inherited:
        return rows
    found = ", ".join(f"max({COLUMNS[name]}) AS trace_{COLUMNS[name]}" for name in inherited)
    some = " OR ".join(f"{COLUMNS[name]} != ''" for name in inherited)
    traces = f"SELECT {TRACE} AS trace, {found} {spans_of(axis, REQUEST_SLACK)} AND ({some}) GROUP BY trace"
    labels = ", ".join(f"if({_own(name)} != '', {_own(name)}, trace_{COLUMNS[name]}) AS {alias(name)}" for name in inherited)
    kept = where(filter_clauses(name for name in filters if name in INHERITED))
    return f"SELECT *, {labels} FROM ({rows}) AS s ANY LEFT JOIN ({traces}) AS t USING (trace){kept}"  # noqa: S608 - fixed text
