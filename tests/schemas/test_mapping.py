"""The mapping as golden cases: attributes in, columns out, through the real view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from storage.clickhouse import ClickHouseStore
from tests.ingest.spans import ingest_spans, key_values, make_span

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = ("otel_genai", "otel_deprecated", "openinference", "others", "edges")

_KEYS = ("event_attributes", "present_attributes", "absent_attributes")


def load_cases(dialect: str) -> list[dict[str, Any]]:
    """The cases of one file: name, span, and the columns expected."""
    cases: list[dict[str, Any]] = json.loads((GOLDEN / f"{dialect}.json").read_text())
    return cases


def golden_span(case: dict[str, Any], number: int) -> ResourceSpans:
    """The span of a case; its id is its number."""
    given = dict(case["span"])
    if given.pop("parent", False):
        given["parent_span_id"] = b"parents!"
    events = [Span.Event(name=event["name"], attributes=key_values(event["attributes"])) for event in given.pop("events", [])]
    return make_span(span_id=number.to_bytes(8, "big"), events=events, **given)


def found_columns(row: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What a row says of the columns in `wanted`, in the same form."""
    found = {name: _plain(row[name]) for name in wanted if name not in _KEYS}
    if "event_attributes" in wanted:
        found["event_attributes"] = [_plain(event["attributes"]) for event in row["events"]]
    if "present_attributes" in wanted:
        found["present_attributes"] = [key for key in wanted["present_attributes"] if key in row["attributes"]]
    if "absent_attributes" in wanted:
        found["absent_attributes"] = [key for key in wanted["absent_attributes"] if key not in row["attributes"]]
    return found


def _plain(value: Any) -> Any:
    """Messages as [role, text]; everything else as it is."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [list(item.values()) for item in value]
    return value


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_golden_cases(store: ClickHouseStore, dialect: str) -> None:
    cases = load_cases(dialect)
    await ingest_spans(store, "p", [golden_span(case, number) for number, case in enumerate(cases, 1)])
    rows = await store.query("SELECT * FROM spans ORDER BY span_id")
    assert len(rows) == len(cases)
    expected = {case["name"]: case["expect"] for case in cases}
    found = {case["name"]: found_columns(row, case["expect"]) for case, row in zip(cases, rows, strict=True)}
    for name, columns in expected.items():
        assert found[name] == columns, f"{dialect}: {name}"
