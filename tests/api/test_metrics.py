"""Metrics over HTTP, against figures computed from the same spans in Python."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from api.services import Services
from schemas.metrics import METRICS
from tests.api.read_fixtures import NOW, Front, client_of, narrowed, new_key
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.scores import insert_scores, score

START = NOW - timedelta(hours=2)
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o", "gen_ai.provider.name": "openai"}


def at(minutes: float) -> datetime:
    """A time within the tests' range."""
    return START + timedelta(minutes=minutes)


def chat(minutes: float, output: int | None = 10, **more: Any) -> ResourceSpans:
    """A model call of one second."""
    attributes: dict[str, Any] = {**CHAT, **more.pop("attributes", {})}
    if output is not None:
        attributes |= {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": output}
    return make_span(start=at(minutes), attributes=attributes, **more)


async def store_spans(front: Front, *spans: ResourceSpans, project: str = "ours", received: datetime = NOW) -> None:
    await ingest_spans(front.services.store, project, spans, received_at=received)


async def values(front: Front, name: str, **parameters: Any) -> dict[tuple[str, ...], list[float | None]]:
    """The values of each series, by the values of its labels."""
    asked = {"from_": START.isoformat(), "to": NOW.isoformat(), **parameters}
    body = await front.get(f"/v1/metrics/{name}", **asked)
    return {tuple(series["labels"].values()): [value for _, value in series["points"]] for series in body["series"]}


async def total(front: Front, name: str, **parameters: Any) -> float | None:
    """The value over the whole range."""
    [[value]] = (await values(front, name, **parameters)).values()
    return value


async def test_catalogue_describes_every_metric(front: Front) -> None:
    listed = {entry["name"]: entry for entry in (await front.get("/v1/metrics"))["metrics"]}
    assert list(listed) == [metric.name for metric in METRICS]
    assert listed["cost.usd"]["unit"] == "USD"
    assert listed["cost.usd"]["comparable"]
    assert "release" in listed["latency.p95"]["dimensions"]


async def test_catalogue_ends_with_the_evaluations_that_the_project_reported(front: Front) -> None:
    own = score(
        name="Answer relevance", source="evaluation", scorer="judge", value=0.5, flagged=1, time=at(1), received_at=at(1)
    )
    theirs = score(name="Secret", source="evaluation", project="theirs", time=at(1), received_at=at(1))
    await insert_scores(front.services.store, [own, theirs])
    listed = [entry["name"] for entry in (await front.get("/v1/metrics"))["metrics"]]
    evaluations = ["evaluations.Answer relevance", "evaluations.Answer relevance.bad_share"]
    assert listed == [*(metric.name for metric in METRICS), *evaluations]
    assert [await values(front, name) for name in evaluations] == [{("judge",): [0.5]}, {("judge",): [1.0]}]


async def test_every_metric_answers_without_data_with_every_dimension(front: Front) -> None:
    for metric in METRICS:
        value = await total(front, metric.name)
        assert value == (0 if metric.kind == "count" else None), metric.name
        assert await values(front, metric.name, group_by=",".join(metric.dimensions)) == {}


async def test_every_metric_answers_for_every_dimension_and_filter(front: Front) -> None:
    await store_spans(front, chat(1), chat(2, status=2, resource={"service.name": "billing", "service.version": "2"}))
    for metric in METRICS:
        for dimension in metric.dimensions:
            grouped = await values(front, metric.name, group_by=dimension, step="1h")
            assert all(len(points) == 2 for points in grouped.values()), (metric.name, dimension)
            for (label,) in grouped:
                filtered = await values(front, metric.name, step="1h", **{dimension: label})
                if metric.name != "spans.without_release":
                    assert filtered[()] == grouped[(label,)], (metric.name, dimension, label)


async def test_spans_that_arrive_twice_count_once(front: Front) -> None:
    twice = chat(1, trace_id=b"t" * 16, span_id=b"s" * 8, status=2, output=7)
    other = chat(2, output=5)
    await store_spans(front, twice)
    await store_spans(front, other, twice)
    expected = {
        "spans.count": 2,
        "requests.count": 2,
        "errors.count": 1,
        "errors.rate": 0.5,
        "spans.errors.rate": 0.5,
        "spans.errors.count": 1,
        "tokens.output": 12,
        "tokens.input": 200,
        "cost.unpriced": 2,
    }
    assert {name: await total(front, name) for name in expected} == expected
    assert await total(front, "spans.latency.avg") == 1000


async def test_usage_that_nested_spans_repeat_counts_once(front: Front) -> None:
    response = {"gen_ai.response.id": "r1"}
    gateway = chat(1, output=30, trace_id=b"t" * 16, attributes=response, resource={"service.name": "gateway"})
    client = chat(1.01, output=30, trace_id=b"t" * 16, attributes=response)
    agent = chat(0.9, output=30, trace_id=b"t" * 16, attributes={**response, "gen_ai.operation.name": "invoke_agent"})
    other = chat(1.02, output=4, trace_id=b"t" * 16, attributes={"gen_ai.response.id": "r2"})
    await store_spans(front, gateway, client, agent, other)
    assert await total(front, "tokens.output") == 34
    assert await values(front, "tokens.output", group_by="service") == {("assistant",): [4], ("gateway",): [30]}
    assert await total(front, "tokens.output", service="assistant") == 34
    assert await total(front, "cost.unpriced") == 2


async def test_missing_usage_is_null_and_not_zero(front: Front) -> None:
    await store_spans(front, chat(1, output=None), chat(61, output=0))
    assert await values(front, "tokens.output", step="1h") == {(): [None, 0]}
    assert await values(front, "tokens.reasoning", step="1h") == {(): [None, None]}
    assert await values(front, "cost.usd", step="1h") == {(): [None, None]}
    assert await values(front, "spans.count", step="1h") == {(): [1, 1]}
    assert await values(front, "errors.rate", step="30m") == {(): [0, None, 0, None]}


async def test_sums_are_exact_and_quantiles_are_those_of_numpy(front: Front) -> None:
    chance = random.Random(5)
    durations = [chance.lognormvariate(0, 1) for _ in range(201)]
    costs = [Decimal(chance.randrange(1, 10**9)).scaleb(-12) for _ in durations]
    await store_spans(front, *(chat(index / 10, duration_s=duration) for index, duration in enumerate(durations)))
    await price(front, costs)
    found = np.array([round(duration * 1e9) / 1e6 for duration in durations])
    for name, level in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert await total(front, f"latency.{name}") == pytest.approx(np.percentile(found, level), rel=1e-12)
        assert await total(front, f"spans.latency.{name}") == pytest.approx(np.percentile(found, level), rel=1e-12)
    assert await total(front, "latency") == pytest.approx(found.mean(), rel=1e-12)
    assert await total(front, "cost.usd") == float(sum(costs))


async def price(front: Front, costs: list[Decimal]) -> None:
    """Give the spans, in the order of their start, these costs."""
    rows = await front.services.store.query("SELECT span_key FROM spans ORDER BY time, span_key")
    table = {row["span_key"]: cost for row, cost in zip(rows, costs, strict=True)}
    await front.services.store.command(
        "ALTER TABLE spans UPDATE cost_usd ="
        " toDecimal64(transform(span_key, {keys:Array(UInt64)}, {costs:Array(String)}, '0'), 12)"
        " WHERE 1 SETTINGS mutations_sync = 2",
        {"keys": list(table), "costs": [format(cost, "f") for cost in table.values()]},
    )


async def test_a_request_has_the_duration_of_its_top_span_and_the_labels_of_its_spans(front: Front) -> None:
    trace = b"t" * 16
    root = make_span(trace_id=trace, span_id=b"r" * 8, start=at(1), duration_s=9, attributes={"user.id": "ann"})
    child = chat(
        1.01, trace_id=trace, span_id=b"c" * 8, parent_span_id=b"r" * 8, status=2, resource={"service.name": "model-gateway"}
    )
    grandchild = make_span(
        trace_id=trace,
        parent_span_id=b"c" * 8,
        start=at(1.02),
        duration_s=2,
        attributes={"tracewarden.target": "support", "tracewarden.release": "v7"},
    )
    await store_spans(front, child, grandchild)
    await store_spans(front, root)
    assert await values(front, "latency.p50", group_by="service,target,release,model,user,status") == {
        ("assistant", "support", "v7", "gpt-4o", "ann", "error"): [9000]
    }
    assert await values(front, "latency.p50", group_by="service") == {("assistant",): [9000]}
    assert await total(front, "latency.p50", service="assistant", target="support") == 9000
    assert await total(front, "latency.p50", service="model-gateway") is None
    assert await values(front, "tokens.output", group_by="release,user") == {("v7", "ann"): [10]}
    assert await values(front, "spans.count", group_by="target") == {("support",): [3]}
    assert await total(front, "spans.count", release="v7", user="ann") == 3
    assert await total(front, "tokens.output", target="support") == 10
    assert await total(front, "requests.count", target="support", release="v8") == 0
    assert await total(front, "errors.rate", service="assistant") == 1
    assert await total(front, "spans.without_release") == 0


async def test_a_request_without_its_root_has_its_earliest_span_on_top(front: Front) -> None:
    early = chat(1, trace_id=b"t" * 16, span_id=b"1" * 8, parent_span_id=b"x" * 8, duration_s=5)
    late = chat(1.05, trace_id=b"t" * 16, span_id=b"2" * 8, parent_span_id=b"1" * 8, duration_s=1)
    await store_spans(front, late, early)
    await store_spans(front, early)
    for name, expected in (("latency.p50", 5000), ("requests.count", 1)):
        assert await total(front, name) == expected
        assert await values(front, name, group_by="service") == {("assistant",): [expected]}


async def test_a_top_span_without_a_duration_is_no_latency_of_a_child(front: Front) -> None:
    trace = b"t" * 16
    root = make_span(trace_id=trace, span_id=b"r" * 8, start=at(1), duration_s=-1)
    await store_spans(front, root, chat(1.01, trace_id=trace, parent_span_id=b"r" * 8, duration_s=5))
    assert await total(front, "latency.avg") is None
    assert await values(front, "latency.avg", group_by="service") == {("assistant",): [None]}
    assert await values(front, "requests.count", group_by="service") == {("assistant",): [1]}


async def test_release_of_the_wanted_target_where_a_trace_passes_several_services(front: Front) -> None:
    trace = b"t" * 16
    web = make_span(trace_id=trace, start=at(1), resource={"service.name": "web", "service.version": "5"})
    bot = make_span(
        trace_id=trace, start=at(1.1), attributes={"tracewarden.target": "bot", "tracewarden.release": "v2"}, resource={}
    )
    await store_spans(front, web, bot)
    assert await values(front, "requests.count", group_by="target,release") == {("web", "5"): [1]}
    assert await values(front, "requests.count", group_by="release", target="bot") == {("v2",): [1]}
    assert await total(front, "requests.count", target="bot", release="5") == 0
    assert await values(front, "spans.count", group_by="release", target="bot") == {("v2",): [2]}


async def test_spans_of_requests_without_a_release_are_counted(front: Front) -> None:
    await store_spans(front, chat(1), chat(2), chat(3, attributes={"tracewarden.release": "v1"}))
    assert await total(front, "spans.without_release") == 2
    assert await total(front, "spans.count", release="") == 2


async def test_a_request_belongs_to_the_range_of_its_top_span(front: Front) -> None:
    trace = b"t" * 16
    root = make_span(trace_id=trace, span_id=b"r" * 8, start=START - timedelta(seconds=1), duration_s=60)
    child = chat(0.1, trace_id=trace, parent_span_id=b"r" * 8)
    await store_spans(front, root, child)
    assert await total(front, "requests.count") == 0
    assert await total(front, "spans.count") == 1


async def test_steps_start_at_their_multiples(front: Front) -> None:
    await store_spans(front, chat(0), chat(7), chat(9.999), chat(10))
    start, end = START + timedelta(minutes=3), START + timedelta(minutes=12)
    body = await front.get("/v1/metrics/spans.count", from_=int(start.timestamp() * 1000), to=end.isoformat(), step="5m")
    first = int(START.timestamp() * 1000)
    assert body["series"] == [{"labels": {}, "points": [[first, 0], [first + 300_000, 2], [first + 600_000, 1]]}]
    assert (body["from"], body["to"], body["step"]) == (f"{NOW:%Y-%m-%d}T10:03:00.000Z", f"{NOW:%Y-%m-%d}T10:12:00.000Z", "5m")


@pytest.mark.parametrize(
    ("status", "kind", "path", "parameters"),
    [
        (404, "unknown-metric", "latency.p96", {}),
        (404, "unknown-metric", "'; DROP TABLE spans --", {}),
        (422, "invalid-request", "spans.count", {"step": "5 bananas"}),
        (422, "invalid-request", "spans.count", {"step": "-5m"}),
        (400, "bad-step", "spans.count", {"step": "10ms"}),
        (400, "bad-step", "spans.count", {"step": "0"}),
        (400, "too-many-points", "spans.count", {"step": "1s", "from_": (NOW - timedelta(days=1)).isoformat()}),
        (400, "range-too-long", "spans.count", {"from_": "2025-01-01T00:00:00Z"}),
        (400, "bad-range", "spans.count", {"from_": (NOW + timedelta(days=1)).isoformat()}),
        (422, "invalid-request", "spans.count", {"from_": "yesterday"}),
        (422, "invalid-request", "spans.count", {"to": "2026-03-01T00:00:00"}),
        (422, "invalid-request", "spans.count", {"to": "99999999999999999"}),
        (400, "unknown-dimension", "spans.count", {"group_by": "service) FROM system.tables --"}),
        (400, "unknown-dimension", "latency.p95", {"tool": "search"}),
        (422, "invalid-request", "spans.count", {"project": "theirs"}),
        (422, "invalid-request", "spans.count", {"sevrice": "a"}),
    ],
)
async def test_bad_input_is_refused_with_the_fix(
    front: Front, status: int, kind: str, path: str, parameters: Mapping[str, str]
) -> None:
    problem = await front.refused(status, f"/v1/metrics/{path}", **parameters)
    assert problem["type"] == f"urn:tracewarden:{kind}"
    assert problem["status"] == status
    assert len(problem["detail"]) > 20


async def test_an_unknown_metric_names_those_near_to_it(front: Front) -> None:
    problem = await front.refused(404, "/v1/metrics/latency.p96")
    assert "latency.p95" in problem["near"]
    assert "latency.p95" in problem["detail"]


async def test_too_many_series_are_refused_and_not_cut(services: Services) -> None:
    narrow = narrowed(services, max_rows=20)
    async with client_of(narrow, await new_key(narrow, "ours")) as client:
        front = Front(narrow, client)
        await store_spans(front, *(chat(index, attributes={"user.id": f"u{index}"}) for index in range(30)))
        asked = {"from_": START.isoformat(), "to": NOW.isoformat(), "group_by": "user"}
        problem = await front.refused(400, "/v1/metrics/spans.count", **asked)
        assert problem["type"] == "urn:tracewarden:too-many-points"
        assert "query.max_rows" in problem["detail"]
        assert len(await values(front, "spans.count", group_by="service", step="10m")) == 1


@pytest.mark.parametrize("text", ["' OR 1=1 --", "\\'; DROP TABLE spans", "{start:Int64}", "%s\x00", "a`b", "雪", "\u202e", ""])
async def test_filters_are_values_whatever_they_hold(front: Front, text: str) -> None:
    await store_spans(front, chat(1, attributes={"user.id": text or "someone"}), chat(2, attributes={"user.id": "other"}))
    assert await total(front, "spans.count", user=text) == (1 if text else 0)
    assert await total(front, "requests.count", user=text, service="assistant") == (1 if text else 0)
