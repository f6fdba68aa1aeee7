"""The report's figures beside what was planted, and the page that is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from demo.conclusion import Planting, beside, conclude, plantings
from demo.planted import Planter
from demo.survey import Planted
from demo.watch import Watch

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIGURE = {
    "metric": "toxicity.prompt_share",
    "labels": {"service": "support-assistant"},
    "value": 0.022,
    "n": 540,
    "interval": [0.013, 0.038],
}
REPORT = {"judgements": [{"services": [FIGURE]}]}
TOXIC = Planting("toxicity.prompt_share", "support-assistant", "toxic prompts", 0.021)


def test_a_planted_share_stands_beside_what_was_found() -> None:
    assert " ".join(beside(TOXIC, REPORT).split()) == (
        "toxic prompts planted 2.1 %, found 2.2 % of 540, between 1.3 % and 3.8 %"
    )


def test_a_figure_that_the_report_lacks_is_said_to_be_missing() -> None:
    assert beside(TOXIC, {"judgements": []}).endswith("found nothing")


def test_every_kind_that_was_planted_is_compared(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "support.jsonl", tmp_path / "search.jsonl")
    for kind in ("usual", "toxic"):
        Planter(planted.support).note("a", kind)
    for kind in ("faithful", "beyond", "refused", "dutch"):
        Planter(planted.search).note("a", kind)
    assert [planting.share for planting in plantings(planted)] == [0.5, 0.5, 0.25, 0.25]


async def test_the_report_waits_for_the_analyzers_and_its_page_is_kept(tmp_path: Path) -> None:
    watermarks = iter(["2026-03-01T12:00:00Z", None, "2999-01-01T00:00:00Z"])
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        answers: dict[str, Any] = {
            "/v1/status": lambda: {"analyzers": [{"watermark": next(watermarks)}]},
            "/v1/reports": lambda: {"id": "rp_1", "headline": "Quiet.", "links": {"html": "/page", "json": "/data"}},
            "/data": lambda: REPORT,
        }
        if request.url.path == "/page":
            return httpx.Response(200, content=b"<html>")
        return httpx.Response(200, content=json.dumps(answers[request.url.path]()))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api") as api:
        found = await conclude(Watch(api, api), SINCE, tmp_path, lambda: [TOXIC])
    assert asked == ["GET /v1/status"] * 3 + ["POST /v1/reports", "GET /page", "GET /data"]
    assert (found.id, found.headline, found.file.read_bytes()) == ("rp_1", "Quiet.", b"<html>")
    assert len(found.lines) == 1
