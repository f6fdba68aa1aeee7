"""Charts as SVG in a page: marks only, no scripts and no text inside, so that words keep their size on every screen.

A drawing is stretched to the width it is given; strokes keep theirs, and points are strokes without length with round ends.
Colours are classes of the page's style sheet, which knows light and dark.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup, escape

WIDTH, HEIGHT = 100.0, 40.0

Span = tuple[float, float, str]
Place = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A value with its interval and what it was before, on a scale from `low_end` to `high_end`."""

    value: float | None
    low: float | None
    high: float | None
    before: float | None


def svg(body: Iterable[str], title: str, description: str, *, css: str, height: float = HEIGHT) -> Markup:
    """A drawing with a name and a description for those who hear it."""
    named = f"{title}. {description}" if description else title
    head = (
        f'<svg class="chart {css}" viewBox="0 0 {WIDTH:g} {height:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(named)}"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
    )
    return Markup(head + "".join(body) + "</svg>")  # noqa: S704 - words are escaped above, marks are numbers of ours


def trend(
    now: Sequence[float | None],
    before: Sequence[float | None],
    title: str,
    description: str,
    *,
    top: float | None = None,
    cut: Collection[int] = (),
) -> Markup:
    """Two lines from zero up: this range over the one before, with bands where there is no data, and dashes at `cut` steps."""
    highest = top or max([value for value in (*now, *before) if value is not None], default=0.0) or 1.0
    steps = len(now)
    body = [*_bands(now, steps), _line("axis", f"M0 {HEIGHT:g}H{WIDTH:g}")]
    body += _lines(before, steps, highest, "before", cut) + _lines(now, steps, highest, "now", cut)
    return svg(body, title, description, css="trend")


def scan(scores: Sequence[float | None], threshold: float | None, title: str, description: str) -> Markup:
    """Scores of looks from zero up, with the threshold above which they alarm."""
    known = [score for score in scores if score is not None]
    highest = max([*known, threshold or 0.0, 1e-9]) * 1.1
    body = [*_bands(scores, len(scores)), _line("axis", f"M0 {HEIGHT:g}H{WIDTH:g}")]
    if threshold is not None:
        y = HEIGHT * (1 - threshold / highest)
        body.append(_line("limit", f"M0 {y:.2f}H{WIDTH:g}"))
    clipped = [None if score is None else max(0.0, score) for score in scores]
    return svg([*body, *_lines(clipped, len(scores), highest, "now")], title, description, css="trend")


def interval(mark: Mark, low_end: float, high_end: float, title: str, description: str) -> Markup:
    """A point with its interval, and a tick where it was before."""

    def x(value: float) -> float:
        return min(max((value - low_end) / (high_end - low_end or 1.0), 0.0), 1.0) * WIDTH

    body = [_line("axis", f"M0 5H{WIDTH:g}")]
    if low_end < 0 < high_end:
        body.append(_line("zero", f"M{x(0):.2f} 0V10"))
    if mark.before is not None:
        body.append(_line("before tick", f"M{x(mark.before):.2f} 1V9"))
    if mark.low is not None and mark.high is not None:
        body.append(_line("range", f"M{x(mark.low):.2f} 5H{x(mark.high):.2f}"))
    if mark.value is not None:
        body.append(_dot("now", x(mark.value), 5))
    return svg(body, title, description, css="row", height=10)


def bars(
    spans: Sequence[Span], low_end: float, high_end: float, title: str, description: str, *, limit: float | None = None
) -> Markup:
    """Bars from one value to another, each with its class, on one scale; a line marks zero, another one a limit."""

    def x(value: float) -> float:
        return (value - low_end) / (high_end - low_end or 1.0) * WIDTH

    body = [
        f'<rect class="{css}" x="{x(min(first, last)):.2f}" y="1" width="{abs(x(last) - x(first)):.2f}" height="8"/>'
        for first, last, css in spans
    ]
    if low_end <= 0 <= high_end:
        body.append(_line("zero", f"M{x(0):.2f} 0V10"))
    if limit is not None:
        body.append(_line("limit", f"M{x(limit):.2f} -2V12"))
    return svg(body, title, description, css="row", height=10)


def timeline(
    events: Sequence[tuple[datetime, datetime | None, str]],
    edges: Sequence[datetime],
    title: str,
    description: str,
) -> Markup:
    """What lasted from when to when, over a range whose stretches begin at `edges`; what is short is a point."""
    start, end = edges[0], edges[-1]
    length = (end - start).total_seconds() or 1.0

    def x(moment: datetime) -> float:
        return min(max((moment - start).total_seconds() / length, 0.0), 1.0) * WIDTH

    body = [_line("grid", f"M{x(edge):.2f} 0V10") for edge in edges[1:-1]] + [_line("axis", f"M0 5H{WIDTH:g}")]
    for begun, over, css in events:
        first, last = x(begun), x(over or end)
        body.append(_line(f"{css} lasting", f"M{first:.2f} 5H{last:.2f}") if last - first > 1 else _dot(css, first, 5))
    return svg(body, title, description, css="row", height=10)


def _lines(values: Sequence[float | None], steps: int, highest: float, css: str, cut: Collection[int] = ()) -> list[str]:
    """Pieces of a line between gaps, dashed to and from `cut` steps; a value alone between two gaps is a point."""
    places = [
        None if value is None else ((place + 0.5) / steps * WIDTH, HEIGHT * (1 - min(value / highest, 1.0)))
        for place, value in enumerate(values)
    ]
    drawn: list[str] = []
    piece: list[Place] = []
    for step, place in enumerate([*places, None]):
        if place is not None and step not in cut:
            piece.append(place)
        elif piece:
            drawn.append(_piece(piece, css))
            piece = []
    for step in (step for step in cut if places[step] is not None):
        beside = [place for place in places[max(0, step - 1) : step + 2] if place is not None]
        drawn.append(_piece(beside, f"{css} cut"))
    return drawn


def _piece(points: Sequence[Place], css: str) -> str:
    if len(points) == 1:
        return _dot(css, *points[0])
    path = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return _line(css, f"M{path}")


def _bands(values: Sequence[float | None], steps: int) -> list[str]:
    width = WIDTH / max(1, steps)
    return [
        f'<rect class="gap" x="{place * width:.2f}" y="0" width="{width:.2f}" height="{HEIGHT:g}"/>'
        for place, value in enumerate(values)
        if value is None
    ]


def _line(css: str, path: str) -> str:
    return f'<path class="{css}" d="{path}"/>'


def _dot(css: str, x: float, y: float) -> str:
    return f'<path class="{css} dot" d="M{x:.2f} {y:.2f}h0"/>'
