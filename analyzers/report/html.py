"""A report as one HTML file: styles and charts inside, no scripts, nothing fetched from anywhere.

Every text that came from outside is escaped by the template engine; charts are made of numbers and escaped words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analyzers.report import charts, wording
from analyzers.report.changes import is_clear
from analyzers.report.data import (
    Cost,
    CostBudget,
    CostGroup,
    CostPart,
    CoverageRow,
    DriftStream,
    Figure,
    Judgement,
    Point,
    Report,
)
from analyzers.report.headline import severity_of
from analyzers.report.schedule import WEEK

WORDS = {"alarm": "Act", "watch": "Look", "good": "Better", "note": "Note"}
VERDICTS = {
    "drift": "drifted",
    "no-drift": "no drift",
    "no-data": "no data",
    "not-enough-data": "not enough texts",
    "collecting-reference": "collecting its reference",
    "reference-too-small": "reference too small",
    "embedder-changed": "other embedder",
    "no-reference": "no reference",
}
COLUMNS = (
    ("requests.count", "Requests"),
    ("errors.rate", "Errors"),
    ("latency.p50", "Median"),
    ("latency.p95", "95th pct."),
    ("tokens.input", "Tokens in"),
    ("tokens.output", "Tokens out"),
    ("cost.usd", "Cost"),
)
SHORT = {
    "toxicity.share": "Toxic answers",
    "toxicity.prompt_share": "Toxic prompts",
    "grounding.unsupported_share": "Unsupported",
    "quality.refusal_share": "Refusals",
    "quality.empty_share": "Empty",
    "quality.truncated_share": "Cut off",
    "quality.repeated_share": "Repeated",
    "quality.language_mismatch_share": "Language",
    "quality.injection_share": "Injection",
    "feedback.negative_share": "Thumbs down",
}
TILES = (
    "requests.count",
    "errors.rate",
    "latency.p95",
    "cost.usd",
    "tokens.output",
    "time_to_first_token.p50",
    "tokens.input",
)
BUDGETS = {
    "exceeded": "exceeded",
    "will_exceed": "will be exceeded",
    "may_exceed": "may be exceeded",
    "within": "holds",
    "not_yet": "no estimate yet",
}
ROUND = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
MOST_TILES = 6
MOST_HOURS = 6
MOST_TICKS = 9
MOST_SERVICES = 10
MOST_BARS = 8


def render(report: Report) -> str:
    """The page."""
    return _environment().get_template("report.html.j2").render(**_words(report), **_drawings(report), report=report)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("analyzers.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _words(report: Report) -> dict[str, Any]:
    """What templates say numbers and names with."""
    plain = (
        "quantity",
        "effect",
        "change_interval",
        "share_interval",
        "moment",
        "span",
        "short",
        "percent",
        "dollars",
        "length",
        "like_for_like",
        "on_days",
        "budgeted",
        "texts",
        "made",
    )
    return {
        **{name: getattr(wording, name) for name in (*plain, "title_of", "NO_DATA")},
        "WORDS": WORDS,
        "VERDICTS": VERDICTS,
        "COLUMNS": COLUMNS,
        "zone": report.time_zone,
        "level": report.budget.level_each,
        "tone_of": tone_of,
        "mark_of": mark_of,
        "signed_dollars": signed_dollars,
        "coverage_line": coverage_line,
        "coverage_text": coverage_text,
        "upper_of": upper_of,
        "services_of": services_of,
        "share_of": share_of,
        "SHORT": SHORT,
        "axis_of": axis_of,
        "tiles_of": tiles_of,
        "is_week": report.end - report.start == WEEK,
        "total_of": total_of,
        "BUDGETS": BUDGETS,
        "MOST_HOURS": MOST_HOURS,
    }


def _drawings(report: Report) -> dict[str, Any]:
    return {
        "trend_of": trend_of,
        "ticks_of": partial(ticks_of, report=report),
        "share_bar": share_bar,
        "scan_of": scan_of,
        "coverage_bar": coverage_bar,
        "part_bar": partial(part_bar, parts=report.cost.parts),
        "group_bar": partial(group_bar, cost=report.cost),
        "budget_bar": budget_bar,
        "incident_bars": partial(incident_bars, report),
    }


def tone_of(figure: Figure, level: float) -> str:
    """Colour only where a change is clear and its direction means something."""
    if not is_clear(figure.change, level):
        return ""
    return {"watch": "worse", "good": "better"}.get(severity_of(figure), "clear")


def mark_of(figure: Figure, level: float) -> str:
    """What colour says, for those who do not see it."""
    return {"worse": "worse: ", "better": "better: "}.get(tone_of(figure, level), "")


def signed_dollars(value: float) -> str:
    """+$4.20, −$1.10."""
    text = wording.dollars(value)
    return f"+{text}" if value > 0 and text != "$0" else text


def coverage_text(row: CoverageRow) -> str:
    """96 % of 1,234 spans looked at."""
    if row.share is None:
        return "nothing to look at"
    return f"{wording.percent(row.share)} of {row.wanted:,} spans"


def coverage_line(judgement: Judgement) -> str:
    """What a share rests on, in a few words."""
    told = []
    for row in (row for row in judgement.coverage if row.service is None):
        abstained = sum(row.abstained.values())
        reasons = ", ".join(sorted(row.abstained, key=lambda reason: -row.abstained[reason])[:2])
        told.append(f"looked at {coverage_text(row)}" + (f", {abstained:,} abstained ({reasons})" if abstained else ""))
    return "; ".join(told)


def axis_of(figure: Figure) -> str:
    """What a trend's height and steps mean: by day, 0 to 1,000."""
    step = max(point.end - point.start for point in figure.points)
    by = "day" if step > timedelta(hours=20) else wording.length(step.total_seconds())
    return f"by {by}, 0 to {wording.quantity(_top(figure), figure.unit)}"


def tiles_of(overview: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """The leading figures, in the order of TILES; one that neither range has makes place for another."""
    return sorted(
        ((name, overview[name]) for name in TILES if name in overview),
        key=lambda tile: tile[1].value is None and tile[1].before is None,
    )[:MOST_TILES]


def total_of(parts: Sequence[CostPart]) -> float:
    """The change that the parts add up to."""
    return math.fsum(part.usd for part in parts)


def upper_of(judgements: Sequence[Judgement]) -> float:
    """The common scale of the shares: from zero to this one."""
    ends = [judgement.figure.interval[1] for judgement in judgements if judgement.figure.interval]
    return min(1.0, _rounded_up(max([*ends, *(judgement.figure.before or 0.0 for judgement in judgements), 0.01])))


def services_of(judgements: Sequence[Judgement]) -> list[str]:
    """Services with a share in any topic, the most looked at first."""
    volume: dict[str, int] = {}
    for figure in (figure for judgement in judgements for figure in judgement.services if figure.value is not None):
        volume[figure.labels["service"]] = max(volume.get(figure.labels["service"], 0), figure.n)
    return sorted(volume, key=lambda name: (-volume[name], name))[:MOST_SERVICES]


def share_of(judgement: Judgement, service: str) -> Figure | None:
    """A topic's share of one service."""
    return next((figure for figure in judgement.services if figure.labels["service"] == service), None)


def trend_of(figure: Figure) -> Markup:
    """This range over the one before."""
    title = f"{wording.title_of(figure.metric)} over time"
    told = [wording.quantity(point.value, figure.unit) for point in figure.points]
    now, before = [point.value for point in figure.points], [point.before for point in figure.points]
    cut = [place for place, point in enumerate(figure.points) if not point.whole]
    return charts.trend(now, before, title, "; ".join(told), top=_top(figure), cut=cut)


def ticks_of(points: Sequence[Point], report: Report) -> Markup:
    """Days beneath a chart, or the hours of its ends."""
    zone = report.time_zone
    if report.stretch == "day" and len(points) <= MOST_TICKS:
        cells = "".join(f"<span>{wording.day(point.start, zone)[:3]}</span>" for point in points)
        return Markup(f'<div class="ticks" aria-hidden="true">{cells}</div>')  # noqa: S704 - names of days
    ends = f"<span>{wording.moment(report.start, zone)}</span><span>{wording.moment(report.end, zone)}</span>"
    return Markup(f'<div class="ticks ends">{ends}</div>')  # noqa: S704 - dates


def share_bar(figure: Figure, upper: float, name: str) -> Markup:
    """A share with its interval on the topic's scale."""
    low, high = figure.interval or (None, None)
    told = f"{wording.quantity(figure.value, figure.unit)}, interval {wording.share_interval(figure) or 'unknown'}"
    return charts.interval(charts.Mark(figure.value, low, high, figure.before), 0.0, upper, wording.name(name), told)


def scan_of(stream: DriftStream) -> Markup:
    """The scores of a stream's looks and their threshold."""
    told = f"{len(stream.looks)} looks, highest {max((look.score or 0.0 for look in stream.looks), default=0.0):.3g}"
    return charts.scan([look.score for look in stream.looks], stream.threshold, "Drift score of each look", told)


def coverage_bar(row: CoverageRow) -> Markup:
    """Scored, abstained, failed; the rest of what was wanted is empty."""
    abstained = sum(row.abstained.values())
    edges = [0, row.scored, row.scored + abstained, row.scored + abstained + row.failed]
    spans = [
        (float(first), float(last), css) for first, last, css in zip(edges, edges[1:], ("now", "range", "alarm"), strict=False)
    ]
    told = (
        f"{row.scored:,} scored, {abstained:,} abstained, {row.failed:,} failed, {row.wanted - row.looked_at:,} not looked at"
    )
    whole = float(max(row.wanted, 1))
    return charts.bars([(0.0, whole, "gap"), *spans], -0.001 * whole, whole, f"Coverage of {row.analyzer}", told)


def part_bar(part: CostPart, parts: Sequence[CostPart]) -> Markup:
    """One addend of a change of cost, from zero."""
    low, high = min([0.0, *(each.usd for each in parts)]), max([0.0, *(each.usd for each in parts)])
    return charts.bars([(0.0, part.usd, "now")], low, high, part.name, signed_dollars(part.usd))


def group_bar(group: CostGroup, cost: Cost) -> Markup:
    """Cost now over cost before, where there is one, on the scale of the largest."""
    largest = max([max(each.before_usd, each.after_usd) for each in cost.groups] + [1e-9])
    before = None if cost.before_usd is None else group.before_usd
    mark = charts.Mark(group.after_usd, 0.0, group.after_usd, before)
    told = f"{wording.dollars(group.after_usd)} after {wording.quantity(before, 'USD')}"
    return charts.interval(mark, 0.0, largest, wording.name(group.name), told)


def budget_bar(budget: CostBudget) -> Markup:
    """What is spent, what is expected beyond it, and the budget as a line."""
    expected = max(budget.spent_usd, budget.expected_usd or 0.0)
    spans = [(0.0, budget.spent_usd, "now"), (budget.spent_usd, expected, "range")]
    sums = [wording.dollars(usd) for usd in (budget.spent_usd, expected, budget.usd_per_month)]
    told = f"{sums[0]} spent, {sums[1]} expected of {sums[2]}"
    whole = max(expected, budget.usd_per_month) * 1.02
    return charts.bars(spans, 0.0, whole, wording.budgeted(budget), told, limit=budget.usd_per_month)


def incident_bars(report: Report) -> list[tuple[str, Markup, str]]:
    """Name, drawing and length of each alert, and of all rollbacks together."""
    edges = [point.start for point in report.overview["requests.count"].points] + [report.end]
    css = {"critical": "alarm", "info": "note"}
    rows = []
    for alert in report.incidents.alerts[:MOST_BARS]:
        lasted = wording.length((alert.resolved_at - alert.fired_at).total_seconds()) if alert.resolved_at else "still firing"
        event = (alert.fired_at, alert.resolved_at, css.get(alert.severity, "watch"))
        told = f"from {wording.moment(alert.fired_at, report.time_zone)}, {lasted}"
        rows.append((alert.title, charts.timeline([event], edges, wording.name(alert.title), told), lasted))
    begun = [rollback.created_at for rollback in report.incidents.rollbacks]
    if begun:
        told = f"{len(begun)} begun"
        rows.append(("rollbacks", charts.timeline([(at, at, "good") for at in begun], edges, "Rollbacks", told), told))
    return rows


def _top(figure: Figure) -> float:
    """A round number at or above every value drawn, where shares may not exceed one."""
    values = [value for point in figure.points for value in (point.value, point.before) if value is not None]
    highest = max(values, default=0.0)
    if highest <= 0:
        return 0.01 if figure.unit == "ratio" else 1.0
    top = _rounded_up(highest)
    return min(1.0, top) if figure.unit == "ratio" else top


def _rounded_up(value: float) -> float:
    """The next number that reads well at the end of an axis, 1,200 for 1,134."""
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in ROUND if step * size >= value * (1 - 1e-9))
