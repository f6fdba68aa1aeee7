"""The spans of one trace as a tree, whatever their parents look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from schemas.api.spans import SpanDetail, Trace, TraceSpan, TraceTotals
from schemas.metrics import USAGE_OPERATIONS
from storage.spans import Row, detail, rfc3339_ns, summary

# Deeper spans are listed beside their parent: readers of JSON limit its depth, and clients choose the depth of traces.
MAX_DEPTH = 50

MISSING_PARENT = "its parent is not in the store"
CYCLE = "its parents form a circle"
TOO_DEEP = f"below {MAX_DEPTH} levels spans are listed flat: parent_span_id says whose child it is"


@dataclass
class Node:
    """A span on its way into the tree."""

    row: Row
    depth: int = 0
    note: str | None = None
    children: list[Node] = field(default_factory=list)


def trace_of(rows: Sequence[Row], *, complete: bool, detailed: bool) -> Trace:
    """The trace of `rows` (each span once, in the order of their start; at least one)."""
    top = min(rows, key=lambda row: (any(row["parent_span_id"]), row["started_ns"]))
    carrier = next((row for row in sorted(rows, key=_by_rank) if row["release"]), top)
    return Trace(
        trace_id=top["trace_id"].hex(),
        start=rfc3339_ns(top["started_ns"]),
        duration_ms=top["duration_ms"],
        service=top["service"] or None,
        status="error" if any(row["is_error"] for row in rows) else "ok",
        target=carrier["target"] or None,
        release=carrier["release"] or None,
        totals=totals_of(rows),
        complete=complete,
        detail=detailed,
        spans=[_shown(root, detailed) for root in roots_of(rows)],
    )


def _by_rank(row: Row) -> tuple[bool, int]:
    return any(row["parent_span_id"]), row["started_ns"]


def roots_of(rows: Iterable[Row]) -> list[Node]:
    """The roots of the tree; spans without a parent in it are roots with a note."""
    nodes = {row["span_id"]: Node(row) for row in rows}
    below: dict[bytes, list[Node]] = {}
    roots = []
    for node in nodes.values():
        parent = node.row["parent_span_id"]
        if parent in nodes:
            below.setdefault(parent, []).append(node)
        else:
            node.note = MISSING_PARENT if any(parent) else None
            roots.append(node)
    seen: set[bytes] = set()
    _attach(roots, below, seen)
    for node in nodes.values():
        if node.row["span_id"] not in seen:
            node.note = CYCLE
            roots.append(node)
            _attach([node], below, seen)
    return roots


def _attach(roots: Iterable[Node], below: Mapping[bytes, list[Node]], seen: set[bytes]) -> None:
    """Hang every span below `roots` on its parent, or on its ancestor at the greatest depth."""
    waiting = [(root, root) for root in roots]
    seen.update(root.row["span_id"] for root in roots)
    while waiting:
        node, holder = waiting.pop()
        for child in below.get(node.row["span_id"], ()):
            if child.row["span_id"] in seen:
                continue
            seen.add(child.row["span_id"])
            holder.children.append(child)
            child.depth = holder.depth + 1
            child.note = TOO_DEEP if holder is not node else None
            waiting.append((child, child if child.depth < MAX_DEPTH else holder))


def _shown(node: Node, detailed: bool) -> TraceSpan:
    found: SpanDetail | Any = detail(node.row) if detailed else summary(node.row)
    children = sorted(node.children, key=lambda child: (child.row["started_ns"], child.row["span_key"]))
    return TraceSpan(**dict(found), note=node.note, children=[_shown(child, detailed) for child in children])


def totals_of(rows: Sequence[Row]) -> TraceTotals:
    """Sums in which every model response counts once."""
    responses: dict[int, list[Row]] = {}
    for row in rows:
        if row["operation"] in USAGE_OPERATIONS:
            responses.setdefault(row["usage_key"], []).append(row)
    sums = {name: _sum(_most(found, name) for found in responses.values()) for name in _SUMMED}
    cost = _sum(_most(found, "cost_usd") for found in responses.values())
    return TraceTotals(
        spans=len(rows),
        errors=sum(1 for row in rows if row["is_error"]),
        responses=len(responses),
        unpriced=sum(1 for found in responses.values() if _unpriced(found)),
        cost_usd=None if cost is None else float(cost),
        **{name: None if value is None else int(value) for name, value in sums.items()},
    )


_SUMMED = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")


def _unpriced(found: Sequence[Row]) -> bool:
    used = _most(found, "input_tokens") is not None or _most(found, "output_tokens") is not None
    return used and _most(found, "cost_usd") is None


def _most(rows: Iterable[Row], name: str) -> Decimal | int | None:
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _sum(values: Iterable[Decimal | int | None] | Iterator[Decimal | int | None]) -> Decimal | int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
