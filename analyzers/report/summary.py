"""A report in a few lines, for a message: what matters, then the four figures that everybody asks for."""

from __future__ import annotations

from collections.abc import Sequence

from analyzers.report import wording
from analyzers.report.data import Figure, Report
from analyzers.report.html import WORDS

LINES = 5
FIGURES = ("requests.count", "errors.rate", "latency.p95", "cost.usd")


def title_of(report: Report) -> str:
    """Project and range, in one line."""
    return f"{wording.name(report.project)}: {wording.span(report.start, report.end, report.time_zone)}"


def lines_of(report: Report) -> Sequence[str]:
    """What matters, most urgent first; the headline where nothing does."""
    found = [f"{WORDS[finding.severity]}: {finding.text}" for finding in report.findings]
    shown = found[:LINES]
    return [*shown, *([f"{len(found) - LINES} more in the report."] if len(found) > LINES else [])] or [report.headline]


def figures_of(report: Report) -> dict[str, str]:
    """The leading figures with their changes, in words."""
    return {wording.title_of(name): _words(report.overview[name]) for name in FIGURES}


def _words(figure: Figure) -> str:
    value = wording.quantity(figure.value, figure.unit)
    if figure.change is None:
        return value
    interval = wording.change_interval(figure.change)
    told = [wording.effect(figure.change), *([f"95 %: {interval}"] if interval else [])]
    return f"{value} ({', '.join(told)})" + (f" {like}" if (like := wording.on_days(figure)) else "")
