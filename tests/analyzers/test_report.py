"""What a report of a made-up company's week finds and says, and its page in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from analyzers.cost.decomposition import by_model, decompose
from analyzers.cost.spending import Spent, read_spent
from analyzers.report import html, markdown
from analyzers.report.collection import collect
from analyzers.report.data import Report, ServiceRow
from analyzers.report.schedule import Period
from analyzers.report.sources import Sources
from analyzers.report.summary import figures_of, lines_of, title_of
from schemas.settings import Settings
from storage.analysis import Progress
from storage.budgets import Budget, put_budget
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase, sqlite_url
from storage.cost_analytics import CostQuery, read_model_usage
from storage.scope import ProjectReader, Range
from tests.analyzers.report_world import LONG, MARKUP, PROJECT, fill, this_week

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDTHS = (390, 1280)


async def lagging() -> list[Progress]:
    """An analyzer that is two hours behind and met an error."""
    return [Progress("toxicity", 900, this_week()[1] - timedelta(hours=2), 1, "the model <big> cannot be loaded")]


@pytest.fixture
async def sources(store: ClickHouseStore, tmp_path: Path) -> AsyncIterator[Sources]:
    control = ControlDatabase(sqlite_url(tmp_path))
    await control.migrate()
    yield Sources(store, control, Settings(data_dir=tmp_path), lambda: this_week()[1], "test", lagging)
    await control.close()


async def report_of(sources: Sources, project: str = PROJECT) -> Report:
    start, end = this_week()
    return await collect(sources, project, Period(start, end), time_zone="UTC", created_by="ann")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page is not looked at")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        await opened.close()


async def looked_at(browser: Browser, page_file: Path, width: int, scheme: str) -> list[str]:
    """What a browser has to complain about: errors, requests to anywhere else, a page wider than its window."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
    page = await context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: wrong.append(request.url) if request.url != page_file.as_uri() else None)
    await page.goto(page_file.as_uri())
    wide = await page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        wrong.append(f"{wide} px wide in a window of {width}")
    small = "[...document.querySelectorAll('p,td,small,span,li')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 11)"
    if await page.evaluate(f"{small}.length"):
        wrong.append("text under 11 px")
    await context.close()
    return wrong


async def test_a_week_is_told_and_its_page_is_sound(sources: Sources, browser: Browser, tmp_path: Path) -> None:
    await fill(sources.store, sources.control, this_week()[0], scale=0.5)
    budget = Budget(PROJECT, "target", "assistant", 0.01, "ann", this_week()[0])
    await sources.control.write(lambda connection: put_budget(connection, budget))
    report = await report_of(sources)
    check_findings(report)
    await check_cost(sources, report)
    check_texts(report)
    crowded = report.model_copy(
        update={
            "traffic": report.traffic.model_copy(
                update={
                    "services": [_renamed(report.traffic.services[0], f"{LONG}-{number}") for number in range(10)],
                    "others": [f"{LONG}{number}" for number in range(40)],
                    "more_others": 4000,
                }
            ),
            "headline": "W" * 300,
        }
    )
    empty = await report_of(sources, "nobody")
    for name, each in (("week", report), ("crowded", crowded), ("empty", empty)):
        file = tmp_path / f"{name}.html"
        file.write_text(html.render(each), encoding="utf-8")
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                assert await looked_at(browser, file, width, scheme) == [], (name, width, scheme)


def check_findings(report: Report) -> None:
    said = [(finding.severity, finding.text) for finding in report.findings]
    assert report.alarming
    assert said[0] == ("alarm", "Still firing at the end: errors: errors.rate above 0.05 for service billing-bot.")
    for severity, part in (
        ("watch", "rolled back from 2026-11-b to 2026-11-a, and it worked"),
        ("watch", "No span arrived from "),
        ("watch", "Prompts of assistant drifted since about"),
        ("watch", "The service legacy-faq sent spans in the range compared with, and none in this one"),
        ("watch", "The analyzer toxicity is 2"),
    ):
        assert any(severity == each and part in text for each, text in said), part
    [budget] = report.cost.budgets  # on the first of a month nothing is spent yet
    severity, told = {"exceeded": ("alarm", "is exceeded"), "will_exceed": ("watch", "will not hold")}[budget.verdict]
    assert any(each == severity and f"$0.01 for target assistant {told}" in text for each, text in said)
    gaps = {gap.what: gap for gap in report.completeness.gaps}
    silent = report.start + timedelta(days=5)
    assert (gaps["requests"].start, gaps["requests"].end) == (silent, silent + timedelta(days=1))
    assert gaps["Thumbs down"].why == "nobody gave feedback"
    requests = report.overview["requests.count"]
    assert requests.change is not None
    assert requests.change.left_out == 1
    kept = [(point.value, point.before) for place, point in enumerate(requests.points) if place != 5]
    assert requests.change.effect == pytest.approx(sum(now or 0 for now, _ in kept) / sum(then or 0 for _, then in kept) - 1)
    rows = {(row.what, row.subject): row for row in report.budget.rows}
    spent = rows["rule fresh-release", "assistant"]
    assert spent.rate == 0.001
    assert spent.used == pytest.approx(6 / 3.14159265**2)
    assert report.budget.level_each == pytest.approx(0.05 / report.budget.comparisons)
    grounding = next(each for each in report.judgements if each.analyzer == "grounding")
    whole = next(row for row in grounding.coverage if row.service is None)
    assert whole.abstained["no-context"] > 0
    assert whole.scored == grounding.figure.n
    drift = report.drift.streams[0]
    assert (drift.verdict, drift.slices, drift.n_reference) == ("drift", ["release 2026-11-a (effect 0.19)"], 811)
    assert drift.clusters[0].share_now == 0.12


async def check_cost(sources: Sources, report: Report) -> None:
    """The parts are those that /v1/cost/change is made of, and add up to the change."""
    reader = ProjectReader(sources.store, PROJECT)
    before = await read_model_usage(reader, CostQuery(Range(report.before_start, report.before_end)))
    after = await read_model_usage(reader, CostQuery(Range(report.start, report.end)))
    whole = decompose(by_model(before), by_model(after)).whole
    assert {part.name: part.usd for part in report.cost.parts} == pytest.approx(dict(whole.parts_usd), abs=1e-12)
    cost = report.overview["cost.usd"]
    assert cost.value is not None
    assert cost.before is not None
    [budget] = report.cost.budgets
    [month] = (
        await read_spent(reader, Range(budget.start, report.created_at), None, {"target": "assistant"})
        if budget.start < report.created_at
        else [Spent(budget.start, 0.0, 0)]
    )
    assert budget.spent_usd == month.usd
    assert sum(part.usd for part in report.cost.parts) == pytest.approx(cost.value - cost.before)


def check_texts(report: Report) -> None:
    text, page = markdown.render(report), html.render(report)
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert MARKUP not in text
    assert "<b>was nun?</b>" not in page + text
    assert "the model &lt;big&gt; cannot be loaded" in page
    assert Report.model_validate(json.loads(report.model_dump_json())) == report
    assert title_of(report).startswith("ours: ")
    assert lines_of(report)[0].startswith("Act: Still firing")
    assert list(figures_of(report)) == ["Requests", "Error rate", "Latency, 95th percentile", "Cost"]


def _renamed(row: ServiceRow, name: str) -> ServiceRow:
    return row.model_copy(update={"service": name})


async def test_a_project_that_fell_silent_is_alarming(sources: Sources) -> None:
    start, end = this_week()
    await fill(sources.store, sources.control, start - timedelta(days=7), scale=0.1)
    report = await collect(sources, PROJECT, Period(start, end), time_zone="Europe/Berlin", created_by="ann")
    assert report.alarming
    assert report.headline.startswith("No spans arrived at all; in the range compared with there were ")
    assert all(figure.value is None for figure in report.figures())


async def test_a_short_range_is_cut_into_minutes_and_has_no_baseline(sources: Sources) -> None:
    start, _ = this_week()
    await fill(sources.store, sources.control, start, scale=0.1)
    moment = datetime.combine(start.date(), datetime.min.time(), UTC)
    period = Period(moment - timedelta(days=14), moment - timedelta(days=14) + timedelta(hours=5))
    report = await collect(replace(sources, clock=lambda: moment), PROJECT, period, time_zone="UTC", created_by="ann")
    assert report.stretch == "part"
    assert len(report.overview["requests.count"].points) == 20
    assert any(gap.what == "the range compared with" for gap in report.completeness.gaps)
    assert report.overview["requests.count"].change is None
    page = html.render(report)
    assert "nothing to compare with" in page
    assert "from $0" not in page
    assert "| $0 |" not in markdown.render(report)
    assert all(point.whole for point in report.overview["requests.count"].points)
    assert "cut by an end" not in page


async def test_stretches_that_the_range_cuts_are_told_from_whole_ones(sources: Sources) -> None:
    start, _ = this_week()
    await fill(sources.store, sources.control, start, scale=0.1)
    moment = start - timedelta(days=14) + timedelta(minutes=7)
    period = Period(moment, moment + timedelta(hours=5))
    report = await collect(replace(sources, clock=lambda: start), PROJECT, period, time_zone="UTC", created_by="ann")
    points = report.overview["requests.count"].points
    assert [point.whole for point in points] == [False, *[True] * 19, False]
    assert [points[0].end, points[-1].start] == [moment + timedelta(minutes=8), moment + timedelta(hours=4, minutes=53)]
    assert "cut by an end of the range" in html.render(report)
