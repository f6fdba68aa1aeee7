"""The OpenAPI document: committed, complete, and kept by the API."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.openapi import FILE, OPERATIONS, committed
from schemas.api.queries import MetricParameters
from schemas.metrics import ALL_DIMENSIONS, METRICS
from tests.api.read_fixtures import Front
from tests.ingest.spans import ingest_spans, make_span

READ_PATHS = (
    "/v1/traces/{trace_id}",
    "/v1/spans",
    "/v1/spans/{trace_id}/{span_id}",
    "/v1/metrics",
    "/v1/metrics/{name}",
    "/v1/compare",
    "/v1/cost",
    "/v1/cost/change",
    "/v1/cost/waste",
    "/v1/cost/anomalies",
    "/v1/cost/budgets",
    "/v1/status",
    "/v1/feedback",
    "/v1/feedback/agreement",
    "/v1/reviews",
)


def test_the_committed_document_is_the_one_that_is_served() -> None:
    assert FILE.read_text() == committed(), "run `python -m api.openapi` and commit docs/openapi.json"


def test_every_route_documents_its_errors_and_its_key() -> None:
    document = json.loads(FILE.read_text())
    assert set(READ_PATHS) <= set(document["paths"])
    for path, methods in document["paths"].items():
        for method in set(methods) & set(OPERATIONS):
            operation = methods[method]
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], path
            assert operation["security"], path
            assert operation["summary"], path


@pytest.mark.parametrize("path", READ_PATHS)
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(data=st.data())
async def test_the_api_keeps_its_document(front: Front, path: str, data: Any) -> None:
    """Requests made from the document get answers that the document describes, and never a 500."""
    case = data.draw(_schema()[path]["GET"].as_strategy())
    await ingest_spans(front.services.store, "ours", [make_span()])
    answer = await front.client.get(case.formatted_path, params=case.query)
    assert answer.status_code < 500, answer.text
    _schema()[path]["GET"].validate_response(schemathesis.Response.from_any(answer))


def _schema() -> Any:
    return schemathesis.openapi.from_dict(json.loads(FILE.read_text()))


def test_every_read_route_and_metric_is_in_the_docs() -> None:
    text = (FILE.parent / "api.md").read_text()
    named = [*READ_PATHS, *(f"`{metric.name}`" for metric in METRICS)]
    assert [name for name in named if name not in text] == []


def test_every_dimension_is_a_parameter() -> None:
    assert set(ALL_DIMENSIONS) <= set(MetricParameters.model_fields)
