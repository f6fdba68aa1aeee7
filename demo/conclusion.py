"""The end of a run: its report, and what the report says of everything that was planted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.findings import percent
from demo.inquiries import JUDGED, SERVICE
from demo.planted import Truth
from demo.releases import TARGET
from demo.survey import Planted
from demo.watch import Watch

CAUGHT_UP_S = 30.0
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Planting:
    """What was planted into a service, by the metric that should show it."""

    metric: str
    service: str
    what: str
    share: float | None


@dataclass(frozen=True)
class Conclusion:
    """A finished report."""

    id: str
    file: Path
    headline: str
    lines: tuple[str, ...]


async def conclude(watch: Watch, since: datetime, folder: Path, truth: Callable[[], list[Planting]]) -> Conclusion:
    """Make a report of everything since a moment, once the analyzers have read that far, and keep its page in `folder`.

    Analyzers that take longer than half a minute are not waited for: the report says how far they are.
    """
    until = datetime.now(UTC)
    await _caught_up(watch, until)
    made = await watch.report(since, until)
    file = folder / "report.html"
    file.write_bytes(await watch.page(made["links"]["html"]))
    data = json.loads(await watch.page(made["links"]["json"]))
    return Conclusion(made["id"], file, made["headline"], tuple(beside(planting, data) for planting in truth()))


def beside(planting: Planting, report: Mapping[str, Any]) -> str:
    """A planted share beside what the report says."""
    figure = _figure(report, planting)
    said = f"planted {percent(planting.share):>6}, found "
    if figure is None or figure["value"] is None:
        return f"{planting.what:<42}{said}nothing"
    low, high = figure["interval"] or (None, None)
    between = f", between {percent(low)} and {percent(high)}" if low is not None else ""
    return f"{planting.what:<42}{said}{percent(figure['value']):>6} of {figure['n']}{between}"


def plantings(planted: Planted) -> list[Planting]:
    """Everything planted whose share a metric tells."""
    support, search = Truth.of_file(planted.support), Truth.of_file(planted.search)
    return [
        Planting("toxicity.prompt_share", TARGET, f"toxic prompts to {TARGET}", support.share("toxic")),
        Planting("grounding.unsupported_share", SERVICE, f"unsupported answers of {SERVICE}", search.share("beyond", JUDGED)),
        Planting("quality.refusal_share", SERVICE, f"refusals of {SERVICE}", search.share("refused")),
        Planting("quality.language_mismatch_share", SERVICE, "answers in another language", search.share("dutch")),
    ]


def _figure(report: Mapping[str, Any], planting: Planting) -> Mapping[str, Any] | None:
    figures = (figure for judgement in report["judgements"] for figure in judgement["services"])
    wanted = planting.metric, planting.service
    return next((figure for figure in figures if (figure["metric"], figure["labels"]["service"]) == wanted), None)


async def _caught_up(watch: Watch, until: datetime) -> None:
    deadline = time.monotonic() + CAUGHT_UP_S
    while time.monotonic() < deadline:
        analyzers = (await watch.get("/v1/status"))["analyzers"]
        if all(one["watermark"] and datetime.fromisoformat(one["watermark"]) >= until for one in analyzers):
            return
        await asyncio.sleep(LOOK_EVERY_S)
