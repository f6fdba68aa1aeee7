"""/v1/cost over HTTP: its figures are those of the metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from analyzers.cost.pricing import sync_prices
from api.services import Services
from schemas.control.core import audit
from schemas.settings import CostSettings
from storage.metrics import MetricQuery, read_series
from tests.api.read_fixtures import NOW, Front, client_of, new_key
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.test_cost_analytics import START as SIX_HOURS_AGO
from tests.storage.test_cost_analytics import call, long_call

DAY = timedelta(days=1)


@pytest.fixture
async def priced(front: Front) -> Front:
    """A front on a store with prices."""
    await sync_prices(front.services.store, CostSettings(), NOW)
    return front


async def keep(front: Front, *spans: Any, received: datetime = NOW) -> None:
    await ingest_spans(front.services.store, "ours", spans, received_at=received)


async def metric(front: Front, name: str, start: datetime, end: datetime, **filters: str) -> float | None:
    [series] = await read_series(front.services.store, MetricQuery("ours", name, start, end, filters=filters))
    return series.points[0].value


def release(name: str) -> dict[str, str]:
    return {"tracewarden.target": "bot", "tracewarden.release": name}


async def test_distribution_and_trend(priced: Front) -> None:
    await keep(
        priced,
        *(call(n, attributes={**release("1"), "user.id": "ann"}) for n in range(5)),
        *(call(100 + n, model="gpt-4o-mini", attributes=release("2")) for n in range(5)),
        call(300, model="no-such-model", attributes=release("2")),
    )
    body = await priced.get("/v1/cost", from_=(NOW - DAY).isoformat(), to=NOW.isoformat(), group_by="release")
    assert body["whole"]["cost_usd"] == await metric(priced, "cost.usd", NOW - DAY, NOW)
    assert body["whole"]["unpriced"] == await metric(priced, "cost.unpriced", NOW - DAY, NOW) == 1
    assert [group["labels"] for group in body["groups"]] == [{"release": "1"}, {"release": "2"}]
    assert sum(group["share"] for group in body["groups"]) == pytest.approx(1)
    spread = dict.fromkeys(["mean", "p50", "p90", "p95", "p99", "max"], 0.0035) | {"n": 5}
    assert body["groups"][0]["per_request"] == pytest.approx(spread)
    assert body["groups"][0]["per_user"]["n"] == 1
    assert body["groups"][1]["per_user"] is None
    assert body["trend"]["step"] == "1h"
    assert sum(value or 0 for _, value in body["trend"]["points"]) == pytest.approx(body["whole"]["cost_usd"])
    assert body["trend"]["direction"] == "not_yet"


async def test_without_data_everything_answers(front: Front) -> None:
    assert (await front.get("/v1/cost", group_by="model"))["whole"]["cost_usd"] is None
    change = await front.get("/v1/cost/change", group_by="model")
    assert (change["whole"]["delta_usd"], change["models"], change["groups"]) == (0, [], [])
    waste = await front.get("/v1/cost/waste")
    assert (waste["cost_usd"], waste["repeated_prompts"]["wasted_usd"], waste["cache_misses"]["worst"]) == (None, 0, [])
    anomalies = await front.get("/v1/cost/anomalies")
    assert (anomalies["basis"], anomalies["anomalies"]) == ("none", [])


async def test_a_change_adds_up_to_the_metric_of_both_ranges(priced: Front) -> None:
    three, now = SIX_HOURS_AGO + timedelta(hours=3), NOW
    await keep(
        priced,
        *(call(n, attributes=release("1")) for n in range(10)),
        *(call(200 + n, tokens=(500, 500, 0, 100), attributes=release("1")) for n in range(10)),
        *(call(230 + n, model="gpt-4o-mini", attributes=release("2")) for n in range(6)),
        call(290, model="no-such-model"),
    )
    asked = {"from_": three.isoformat(), "to": now.isoformat(), "group_by": "release"}
    body = await priced.get("/v1/cost/change", **asked)
    before, after = [await metric(priced, "cost.usd", *each) for each in ((SIX_HOURS_AGO, three), (three, now))]
    assert body["baseline"] == {"from": SIX_HOURS_AGO.isoformat()[:19] + ".000Z", "to": three.isoformat()[:19] + ".000Z"}
    assert body["whole"]["before_usd"] == pytest.approx(before)
    assert body["whole"]["after_usd"] == pytest.approx(after)
    for change in (body["whole"], *body["models"], *body["groups"]):
        assert sum(change["parts"].values()) == pytest.approx(change["delta_usd"])
    assert body["whole"]["parts"]["volume"] > 0 > body["whole"]["parts"]["cache"]
    assert body["whole"]["parts"]["price"] == pytest.approx(0)
    assert [group["labels"]["release"] for group in body["groups"]] == ["1", "2"]
    assert sum(group["delta_usd"] for group in body["groups"]) == pytest.approx(body["whole"]["delta_usd"])
    assert body["unpriced"] == {"before": 0, "after": 1}


async def test_ranges_of_other_lengths_are_compared_and_noted(priced: Front) -> None:
    asked = {"baseline_from": (NOW - 3 * DAY).isoformat(), "baseline_to": (NOW - DAY).isoformat()}
    body = await priced.get("/v1/cost/change", **asked)
    assert "differ in length" in body["note"]
    refused = await priced.refused(400, "/v1/cost/change", baseline_from=NOW.isoformat(), baseline_to=(NOW - DAY).isoformat())
    assert refused["type"].endswith("bad-range")


async def test_waste_names_the_prompt_and_a_request(priced: Front) -> None:
    await keep(priced, *(long_call(index / 10, "Where is my parcel?") for index in range(3)))
    body = await priced.get("/v1/cost/waste", from_=SIX_HOURS_AGO.isoformat())
    [repeated] = body["repeated_prompts"]["worst"]
    [missed] = body["cache_misses"]["worst"]
    assert (repeated["preview"], repeated["responses"]) == ("Where is my parcel?", 3)
    assert missed["preview"].startswith("You are the assistant")
    assert body["cost_usd"] == await metric(priced, "cost.usd", SIX_HOURS_AGO, NOW)
    assert 0 < missed["wasted_usd"] < body["cost_usd"]
    await priced.get(f"/v1/traces/{repeated['trace_id']}")


async def test_hours_that_stand_out(priced: Front) -> None:
    first = NOW - 6 * DAY
    minutes = (first - SIX_HOURS_AGO) / timedelta(minutes=1)
    spike = 5 * 24 + 3
    for day in range(6):
        calls = [call(minutes + 60 * hour + 1, tokens=(1000 + hour % 7, 0, 0, 100)) for hour in range(24 * day, 24 * day + 24)]
        extra = [call(minutes + 60 * spike + 2 + n / 10) for n in range(30)] if day == 5 else []
        await keep(priced, *calls, *extra, received=first + (day + 1) * DAY)
    body = await priced.get("/v1/cost/anomalies", from_=(NOW - DAY).isoformat(), to=NOW.isoformat())
    [anomaly] = body["anomalies"]
    assert body["basis"] == "hour-of-day"
    assert anomaly["start"] == (first + timedelta(hours=spike)).isoformat()[:19] + ".000Z"
    assert anomaly["expected_usd"] == pytest.approx(0.0035, rel=0.01)
    assert anomaly["cost_usd"] == pytest.approx(31 * 0.0035, rel=0.01)


async def test_an_hour_without_any_span_is_not_judged(priced: Front) -> None:
    """Nothing arrived, which is not a cost of zero; spans of others say that the way in was open, so zero it was."""
    first = NOW - 5 * DAY
    minutes = (first - SIX_HOURS_AGO) / timedelta(minutes=1)
    silent, idle = 4 * 24 + 3, 4 * 24 + 5
    calls = [call(minutes + 60 * hour + 1, tokens=(1000 + hour % 7, 0, 0, 100)) for hour in range(5 * 24)]
    calls = [each for hour, each in enumerate(calls) if hour not in (silent, idle)]
    await keep(priced, *calls, make_span(start=first + timedelta(hours=idle, minutes=1)))
    body = await priced.get("/v1/cost/anomalies", from_=(NOW - DAY).isoformat(), to=NOW.isoformat())
    assert [each["start"] for each in body["anomalies"]] == [(first + timedelta(hours=idle)).isoformat()[:19] + ".000Z"]
    assert body["reason"].endswith("1 hour without any span of the project is not judged")


@pytest.fixture
async def controller(priced: Front) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may read and control."""
    async with client_of(priced.services, await new_key(priced.services, "ours", "read", "control")) as client:
        yield client


async def budgets(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/v1/cost/budgets")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["budgets"]
    return found


async def test_budgets_are_set_judged_and_removed(priced: Front, controller: httpx.AsyncClient) -> None:
    await keep(priced, call(350), call(355, model="gpt-4o-mini"), call(355, model="no-such-model"))
    made = await controller.put("/v1/cost/budgets", json={"usd_per_month": 0.001})
    assert made.status_code == 200, made.text
    start = NOW.replace(day=1, hour=0)
    assert made.json()["spent_usd"] == await metric(priced, "cost.usd", start, NOW)
    assert (made.json()["verdict"], made.json()["unpriced"]) == ("exceeded", 1)
    mini = {"dimension": "model", "value": "gpt-4o-mini"}
    await controller.put("/v1/cost/budgets", json={**mini, "usd_per_month": 5})
    changed = await controller.put("/v1/cost/budgets", json={**mini, "usd_per_month": 7})
    assert changed.json()["month_end"] is None
    assert changed.json()["verdict"] == "not_yet"
    found = await budgets(controller)
    assert [(each["dimension"], each["value"], each["usd_per_month"]) for each in found] == [
        ("", "", 0.001),
        ("model", "gpt-4o-mini", 7),
    ]
    assert found[1]["spent_usd"] == await metric(priced, "cost.usd", start, NOW, model="gpt-4o-mini")
    assert (await controller.delete("/v1/cost/budgets", params=mini)).status_code == 204
    assert (await controller.delete("/v1/cost/budgets", params=mini)).status_code == 404
    assert len(await budgets(controller)) == 1
    await _audited(priced.services, ["budget.set", "budget.set", "budget.set", "budget.delete"])


async def _audited(services: Services, actions: list[str]) -> None:
    found = await services.control.read(
        lambda connection: list(
            connection.execute(select(audit.c.action).where(audit.c.action.like("budget.%")).order_by(audit.c.id)).scalars()
        )
    )
    assert found == actions


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"usd_per_month": 0},
        {"usd_per_month": -1},
        {"usd_per_month": 1e10},
        {"usd_per_month": 5, "value": "gpt-4o"},
        {"usd_per_month": 5, "dimension": "tool", "value": "x"},
        {"usd_per_month": 5, "month": "2026-01"},
    ],
)
async def test_budgets_without_sense_are_refused(controller: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await controller.put("/v1/cost/budgets", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_budgets_belong_to_their_project_and_need_the_right_key(priced: Front, controller: httpx.AsyncClient) -> None:
    await controller.put("/v1/cost/budgets", json={"usd_per_month": 1})
    assert (await priced.client.put("/v1/cost/budgets", json={"usd_per_month": 1})).status_code == 403
    async with client_of(priced.services, await new_key(priced.services, "theirs", "read", "control")) as other:
        assert await budgets(other) == []
        assert (await other.delete("/v1/cost/budgets")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/cost", "/v1/cost/change"])
async def test_unknown_dimensions_and_parameters_are_refused(front: Front, path: str) -> None:
    assert (await front.refused(400, path, group_by="tool"))["type"].endswith("unknown-dimension")
    assert (await front.refused(422, path, colour="red"))["type"].endswith("invalid-request")
    assert (await front.refused(400, path, from_=NOW.isoformat(), to=NOW.isoformat()))["type"].endswith("bad-range")
