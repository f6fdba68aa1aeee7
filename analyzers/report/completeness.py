"""What a report could not see: stretches without spans, figures without data, analyzers that lag. Never shown as zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from analyzers.report.data import Completeness, CoverageRow, Figure, Gap, Judgement, Lag, Point, ServiceRow
from analyzers.report.figures import Figures, Ranges
from analyzers.report.silence import Silences
from storage.analysis import Progress


async def read_marks(figures: Figures) -> dict[str, Figure]:
    """Spans that say too little: counted, so that shares by release are not taken for the whole."""
    names = ("spans.count", "spans.without_release", "spans.invalid", "cost.unpriced")
    return {name: (await figures.grouped(name, ()))[()] for name in names}


def lags_of(progress: Sequence[Progress], now: datetime) -> list[Lag]:
    """How far the analyzers were when the report was made."""
    return [
        Lag(
            analyzer=each.analyzer,
            watermark=each.watermark,
            behind_s=max(0.0, (now - each.watermark).total_seconds()) if each.watermark and each.behind else None,
            failures=each.failures,
            last_error=each.last_error,
        )
        for each in progress
    ]


def completeness_of(
    ranges: Ranges,
    requests: Figure,
    silences: Silences,
    marks: dict[str, Figure],
    services: Sequence[ServiceRow],
    judgements: Sequence[Judgement],
    lags: Sequence[Lag],
    coverage: Sequence[CoverageRow],
) -> Completeness:
    """Everything that is not known, with why."""
    gaps = [*silent_stretches(requests), *_no_baseline(ranges, requests)]
    gaps += [gap for gap in _silences(silences) if not any(_overlaps(other, gap) for other in gaps)]
    gaps += [*_marked(marks), *_silent_services(services)]
    gaps += [Gap(what=judgement.title, why=judgement.missing) for judgement in judgements if judgement.missing]
    return Completeness(gaps=gaps, lags=list(lags), coverage=list(coverage))


def silent_stretches(requests: Figure) -> list[Gap]:
    """Runs of stretches in which no request was seen; none where there was none at all."""
    if requests.value is None:
        return [Gap(what="the whole range", why="no span arrived: nothing was sent, or it did not get through")]
    runs: list[list[Point]] = []
    for point in requests.points:
        if point.value is None:
            fresh = not runs or runs[-1][-1].end != point.start
            runs += [[]] if fresh else []
            runs[-1].append(point)
    return [
        Gap(what="requests", start=run[0].start, end=run[-1].end, why="no span arrived: no traffic, or it did not get through")
        for run in runs
    ]


def _no_baseline(ranges: Ranges, requests: Figure) -> list[Gap]:
    if requests.value is None or requests.before is not None:
        return []
    why = "no spans are stored for it, so nothing is said about changes"
    return [Gap(what="the range compared with", start=ranges.before_start, end=ranges.before_end, why=why)]


def _overlaps(gap: Gap, other: Gap) -> bool:
    """Whether both are about the same range and share some time."""
    if gap.what != other.what or not (gap.start and gap.end and other.start and other.end):
        return False
    return gap.start < other.end and other.start < gap.end


def _silences(silences: Silences) -> list[Gap]:
    return [
        Gap(
            what="the range compared with" if each.before else "requests",
            start=each.start,
            end=each.end,
            why=f"no span arrived, where the other range has {each.beside:,} requests: changes of totals leave such "
            "stretches out",
        )
        for each in silences.found
    ]


def _marked(marks: dict[str, Figure]) -> list[Gap]:
    spans = marks["spans.count"].value or 0
    found = []
    for name, what, why in (
        ("spans.without_release", "releases", "name no release: figures by release leave them out"),
        ("spans.invalid", "attributes", "have an attribute whose value could not be read"),
    ):
        count = marks[name].value
        if count:
            found.append(Gap(what=what, why=f"{count:,.0f} of {spans:,.0f} spans {why}"))
    unpriced = marks["cost.unpriced"]
    if unpriced.value:
        told = f"{unpriced.value:,.0f} of {unpriced.n:,} model responses with usage have no price: cost leaves them out"
        found.append(Gap(what="cost", why=told))
    return found


def _silent_services(services: Sequence[ServiceRow]) -> list[Gap]:
    gone = [row.service for row in services if row.figures["requests.count"].value is None]
    return [
        Gap(what=name or "(no service)", why="sent spans in the range compared with, and none in this one") for name in gone
    ]
