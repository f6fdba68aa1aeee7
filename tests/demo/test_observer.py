"""Findings are told once, and what is missing is known."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from rich.console import Console

from demo.observer import Observer, ObserverError
from demo.planted import Planter, Truth
from demo.screen import Screen
from demo.survey import Planted, Surveyor
from demo.watch import Watch
from tests.demo.surveys import NOW, UNSUPPORTED, analyzer, look


def api(looks: list[dict[str, Any]]) -> httpx.MockTransport:
    names = ("toxicity", "grounding", "quality", "drift")

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        answers: dict[str, Any] = {
            "/v1/status": {"now": NOW.isoformat(), "analyzers": [analyzer() | {"name": name} for name in names]},
            "/v1/reviews": {"reviews": [UNSUPPORTED | {"flagged": True}]},
            "/v1/drift": {"streams": looks},
        }
        series = {"series": [{"labels": {"scorer": "some@1"}, "points": [[0, 0.03]]}]}
        return httpx.Response(200, json=answers.get(path, series))

    return httpx.MockTransport(answer)


async def observed(looks: list[dict[str, Any]], planted: Planted, *, healthy: bool) -> tuple[Observer, str]:
    out = io.StringIO()
    async with httpx.AsyncClient(transport=api(looks), base_url="http://api") as client:
        observer = Observer(
            Surveyor(Watch(client, client), planted), Screen(Console(file=out, highlight=False)), healthy=healthy
        )
        for _ in range(2):
            await observer.look(NOW, NOW)
    return observer, out.getvalue()


@pytest.fixture
def planted(tmp_path: Any) -> Planted:
    found = Planted(tmp_path / "support.jsonl", tmp_path / "search.jsonl")
    for file, kinds in ((found.support, ("usual", "new")), (found.search, ("faithful", "beyond"))):
        for kind in kinds:
            Planter(file).note("a", kind)
    return found


async def test_each_finding_is_told_once(planted: Planted) -> None:
    onset = Truth.of_file(planted.support).since["new"]
    observer, shown = await observed([look(time=(onset + timedelta(seconds=5)).isoformat())], planted, healthy=False)
    assert observer.missing(NOW) == []
    assert [shown.count(f"s  {name} ") for name in ("toxicity", "grounding", "quality", "drift")] == [1, 1, 1, 1]
    assert set(observer.figures()) == {"toxicity", "grounding", "quality", "drift"}
    assert dict(observer.coverage())["quality"] == "looked at 600 of 800 spans (75 %), 2.0 s behind"


async def test_in_the_healthy_story_drift_must_have_looked_at_the_new_release(planted: Planted) -> None:
    calm = look(verdict="no-drift", time=NOW.isoformat())
    observer, _ = await observed([calm], planted, healthy=True)
    assert observer.missing(_before(30)) == []
    assert observer.missing(_before(10)) == ["drift"]


async def test_drift_where_nothing_changed_ends_it(planted: Planted) -> None:
    with pytest.raises(ObserverError, match="although nothing has changed"):
        await observed([look()], planted, healthy=True)


def _before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)
