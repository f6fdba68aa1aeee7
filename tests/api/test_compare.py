"""GET /v1/compare, and which stretches of time it looks at."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status

from api.stretches import Step, stretches_of
from tests.api.read_fixtures import NOW, Front
from tests.ingest.spans import ingest_spans, make_span

COMPARABLE = ("cost.usd", "tokens.input", "tokens.output", "latency", "time_to_first_token", "errors.rate")


def requests(release: str, count: int, first_hour: float, hours: float, output: float, seed: int = 1) -> list[ResourceSpans]:
    """Requests of a release, evenly spread, with log-normal output."""
    chance = random.Random(seed)
    return [
        make_span(
            start=NOW - timedelta(hours=first_hour - hours * index / count),
            duration_s=chance.lognormvariate(0, 0.3),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": round(output * chance.lognormvariate(0, 0.3)),
                "tracewarden.target": "bot",
                "tracewarden.release": release,
            },
        )
        for index in range(count)
    ]


async def compare(front: Front, metric: str, *spans: list[ResourceSpans], **parameters: Any) -> Any:
    for part in spans:
        await ingest_spans(front.services.store, "ours", part, received_at=NOW)
    return await front.get("/v1/compare", target="bot", baseline="v1", candidate="v2", metric=metric, **parameters)


async def test_releases_side_by_side(front: Front) -> None:
    found = await compare(front, "tokens.output", requests("v1", 300, 4, 4, 100), requests("v2", 300, 4, 4, 170, seed=2))
    assert (found["verdict"], found["concurrent"]) == ("worse", True)
    assert found["effect"] == pytest.approx(0.7, abs=0.15)
    low, high = found["interval"]
    assert 0.1 < low < found["effect"] < high
    assert found["n"]["baseline"] > 250
    assert len(found["example_traces"]) == 5
    worst = await front.get(f"/v1/traces/{found['example_traces'][0]}")
    assert worst["release"] == "v2"


async def test_one_release_after_the_other(front: Front) -> None:
    found = await compare(front, "tokens.output", requests("v1", 300, 8, 4, 100), requests("v2", 300, 4, 4, 200, seed=2))
    assert (found["verdict"], found["concurrent"]) == ("worse", False)
    assert found["windows"]["baseline"]["to"] <= found["windows"]["candidate"]["to"]
    assert found["n"] == {"baseline": 300, "candidate": pytest.approx(300, abs=2)}


async def test_equal_releases_are_the_same_or_undecided_and_never_worse(front: Front) -> None:
    spans = (requests("v1", 300, 4, 4, 100), requests("v2", 300, 4, 4, 100, seed=2))
    found = await compare(front, "tokens.output", *spans)
    assert found["verdict"] in ("same", "not_yet")
    for metric in COMPARABLE:
        assert (await compare(front, metric))["verdict"] in ("same", "not_yet"), metric


async def test_too_little_data_is_no_verdict(front: Front) -> None:
    for metric in COMPARABLE:
        found = await compare(front, metric)
        assert (found["verdict"], found["n"]) == ("not_yet", {"baseline": 0, "candidate": 0})
        assert found["reason"]
    found = await compare(front, "latency", requests("v1", 50, 4, 4, 100))
    assert (found["verdict"], found["n"]["baseline"], found["n"]["candidate"]) == ("not_yet", 50, 0)


async def test_an_error_rate_is_a_difference_of_shares(front: Front) -> None:
    good = requests("v1", 200, 4, 4, 100)
    bad = requests("v2", 200, 4, 4, 100)
    for span in bad[::2]:
        span.scope_spans[0].spans[0].status.code = Status.STATUS_CODE_ERROR
    found = await compare(front, "errors.rate", good, bad)
    assert found["effect"] == pytest.approx(0.5, abs=0.05)
    assert found["verdict"] == "worse"


async def test_bad_input(front: Front) -> None:
    asked = {"target": "bot", "baseline": "v1", "candidate": "v2", "metric": "tokens.output"}
    for change, status, kind in (
        ({"metric": "spans.count"}, 404, "unknown-metric"),
        ({"metric": "nonsense"}, 404, "unknown-metric"),
        ({"candidate": "v1"}, 400, "same-release"),
        ({"from_": (NOW - timedelta(days=200)).isoformat()}, 400, "range-too-long"),
        ({"baseline": ""}, 422, "invalid-request"),
        ({"margin": "0.5"}, 422, "invalid-request"),
    ):
        problem = await front.refused(status, "/v1/compare", **{**asked, **change})
        assert problem["type"] == f"urn:tracewarden:{kind}"
    incomparable = await front.refused(404, "/v1/compare", **{**asked, "metric": "latency.p95"})
    assert incomparable["title"] == "Releases cannot be compared by this metric"
    assert incomparable["detail"].startswith("releases cannot be compared by latency.p95: use one of errors.rate, latency, ")
    near = await front.refused(404, "/v1/compare", **{**asked, "metric": "cost.us"})
    assert near["detail"].endswith("did you mean cost.usd or cost.unpriced?")
    unknown = await front.refused(422, "/v1/compare", **{**asked, "margin": "0.5"})
    assert unknown["errors"][0]["parameter"] == "margin"
    del asked["target"]
    problem = await front.refused(422, "/v1/compare", **asked)
    assert problem["errors"][0]["parameter"] == "target"


def steps(*counts: tuple[int, int]) -> list[Step]:
    """Hours with the requests of the baseline and the candidate."""
    begin = NOW - timedelta(days=1)
    return [
        Step(begin + timedelta(hours=hour), begin + timedelta(hours=hour + 1), baseline, candidate)
        for hour, (baseline, candidate) in enumerate(counts)
    ]


@pytest.mark.parametrize(
    ("counts", "concurrent", "baseline", "candidate"),
    [
        ([(100, 0), (100, 0), (0, 100)], False, (0, 2), (2, 3)),
        ([(100, 0), (60, 40), (0, 100), (0, 100)], False, (0, 2), (1, 4)),
        ([(100, 0), (95, 5), (95, 5), (95, 5)], True, (1, 4), (1, 4)),
        ([(100, 0), (0, 0), (50, 50), (50, 50), (0, 30)], True, (2, 4), (2, 4)),
        ([(1000, 1), (0, 100), (1, 1000)], False, (0, 3), (0, 3)),
        ([(0, 10), (10, 0)], False, (1, 2), (0, 1)),
        ([(0, 0), (0, 0)], False, (0, 2), (0, 2)),
        ([(0, 0), (5, 0)], False, (1, 2), (0, 2)),
    ],
)
def test_stretches(
    counts: list[tuple[int, int]], concurrent: bool, baseline: tuple[int, int], candidate: tuple[int, int]
) -> None:
    given = steps(*counts)
    found = stretches_of(given)
    assert found.concurrent is concurrent
    assert (found.baseline.start, found.baseline.end) == (given[baseline[0]].start, given[baseline[1] - 1].end)
    assert (found.candidate.start, found.candidate.end) == (given[candidate[0]].start, given[candidate[1] - 1].end)
