"""Reports over HTTP: every number is the API's, every form is served, and they stay within their project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from api.services import Services
from tests.analyzers.report_world import LONG, MARKUP, SCRIPTS, fill, this_week
from tests.api.read_fixtures import Front, client_of, new_key
from tests.api.report_fixtures import MovedClock, figures_in, with_report

MONDAY = {"weekday": "monday", "hour": 8, "time_zone": "Europe/Berlin"}


async def made(front: Front, **given: str) -> Any:
    """A report on demand."""
    key = await new_key(front.services, "ours", "read", "control")
    async with client_of(front.services, key) as client:
        answer = await client.post("/v1/reports", json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def asked(front: Front, figure: Mapping[str, Any], start: str, end: str) -> float | None:
    """What GET /v1/metrics says of the same metric, labels and range."""
    body = await front.get(f"/v1/metrics/{figure['metric']}", from_=start, to=end, **figure["labels"])
    [series] = body["series"] or [{"points": [[0, None]]}]
    value: float | None = series["points"][0][1]
    return value


async def test_every_number_is_the_one_of_the_api(front: Front) -> None:
    start, end = this_week()
    await fill(front.services.store, front.services.control, start, scale=0.3)
    entry = await made(front, **{"from": start.isoformat(), "to": end.isoformat()})
    report = await front.get(entry["links"]["json"])
    found = figures_in(report)
    assert len(found) > 100
    assert {figure["metric"] for figure in found} >= {"requests.count", "cost.usd", "latency.p95", "toxicity.share"}
    for figure in found[::3]:
        for value, first, last in (
            (figure["value"], report["start"], report["end"]),
            (figure["before"], report["before_start"], report["before_end"]),
        ):
            said = await asked(front, figure, first, last)
            assert (value or 0) == pytest.approx(said or 0, rel=1e-12), figure
    for point in report["overview"]["latency.p95"]["points"]:
        assert point["value"] == await asked(front, report["overview"]["latency.p95"], point["start"], point["end"])


async def test_the_three_forms_say_the_same(front: Front) -> None:
    start, end = this_week()
    await fill(front.services.store, front.services.control, start, scale=0.3)
    entry = await made(front, **{"from": start.isoformat(), "to": end.isoformat()})
    page = await front.client.get(entry["links"]["html"])
    text = await front.client.get(entry["links"]["markdown"])
    data = await front.get(entry["links"]["json"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert data["headline"] == entry["headline"]
    assert data["findings"][0]["severity"] == "alarm"
    assert entry["alarming"]
    for shown in ("billing-bot", "legacy-faq", "客服机器人", "rolled back", "fresh-release", LONG[:30]):
        assert shown in page.text, shown
        assert shown in text.text.replace("\\", ""), shown
    assert MARKUP not in page.text
    assert "&lt;script&gt;alert(" in page.text
    assert "<script" not in page.text
    assert MARKUP not in text.text
    assert SCRIPTS in json.dumps(data, ensure_ascii=False)
    listed = await front.get("/v1/reports")
    assert [one["id"] for one in listed["reports"]] == [entry["id"]]


async def test_an_empty_range_says_that_nothing_arrived(front: Front) -> None:
    entry = await made(front)
    assert entry["headline"] == "No spans arrived, so there is nothing to report."
    data = await front.get(entry["links"]["json"])
    assert all(figure["value"] is None for figure in figures_in(data))
    page = await front.client.get(entry["links"]["html"])
    assert "no data" in page.text


async def test_a_report_is_seen_by_its_project_alone(front: Front) -> None:
    entry = await made(front)
    async with client_of(front.services, await new_key(front.services, "theirs")) as other:
        for path in entry["links"].values():
            assert (await other.get(path)).status_code == 404
        assert (await other.get("/v1/reports")).json() == {"reports": [], "next": None}


async def test_pages_of_reports_follow_each_other(front: Front) -> None:
    ids = [(await made(front))["id"] for _ in range(3)]
    first = await front.get("/v1/reports", limit=2)
    rest = await front.get("/v1/reports", limit=2, before=first["next"])
    assert sorted(one["id"] for one in first["reports"] + rest["reports"]) == sorted(ids)
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, 400),
        ({"from": "2024-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, 400),
        ({"from": "yesterday"}, 422),
        ({"since": "2026-03-02T00:00:00Z"}, 422),
    ],
)
async def test_a_range_that_cannot_be_is_refused(front: Front, body: dict[str, str], status: int) -> None:
    key = await new_key(front.services, "ours", "control")
    async with client_of(front.services, key) as client:
        answer = await client.post("/v1/reports", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_reading_needs_read_and_making_needs_control(front: Front) -> None:
    assert (await front.client.post("/v1/reports", json={})).status_code == 403
    assert (await front.client.put("/v1/reports/schedule", json={})).status_code == 403


async def test_a_project_has_a_schedule_of_its_own(services: Services) -> None:
    clock = MovedClock(this_week()[1])
    parts = with_report(services, clock)
    key = await new_key(parts, "ours", "read", "control")
    async with client_of(parts, key) as client:
        assert (await client.get("/v1/reports/schedule")).json()["weekday"] == "monday"
        changed = await client.put("/v1/reports/schedule", json={**MONDAY, "hour": 9})
        body = changed.json()
        assert changed.status_code == 200, changed.text
        assert {**body, "due_at": ""} == {**MONDAY, "hour": 9, "enabled": True, "channels": [], "due_at": ""}
        assert body["due_at"] > clock.now.isoformat()[:19]
        off = await client.put("/v1/reports/schedule", json={"enabled": False})
        assert off.json()["due_at"] is None
        wrong = await client.put("/v1/reports/schedule", json={"time_zone": "Mars/Olympus"})
        assert wrong.status_code == 422
        assert "Europe/Berlin" in wrong.text
        audit = (await client.get("/v1/audit")).json()["lines"]
        assert [line["action"] for line in audit] == ["report_schedule.changed"] * 2


async def test_a_due_report_stays_due_when_its_schedule_changes(services: Services) -> None:
    clock = MovedClock(this_week()[1])
    parts = with_report(services, clock)
    key = await new_key(parts, "ours", "read", "control")
    async with client_of(parts, key) as client:
        due = (await client.put("/v1/reports/schedule", json={"hour": 9})).json()["due_at"]
        clock.advance(days=8)
        assert (await client.put("/v1/reports/schedule", json={"hour": 10})).json()["due_at"] == due
