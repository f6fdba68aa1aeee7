"""A report as Markdown: the same figures without the drawings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from analyzers.report import wording
from analyzers.report.changes import is_clear
from analyzers.report.data import DriftStream, Figure, Report
from analyzers.report.html import BUDGETS, COLUMNS, MOST_HOURS, VERDICTS, WORDS, coverage_line, signed_dollars
from analyzers.report.schedule import WEEK

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>|#~&"})


def render(report: Report) -> str:
    """The text, with a line break at its end."""
    zone = report.time_zone
    parts: list[str] = [
        f"# {wording.span(report.start, report.end, zone)}, project {escape(report.project)}",
        escape(report.headline),
        f"Compared with {wording.span(report.before_start, report.before_end, zone)}. Times are {zone}. "
        f"{escape(wording.made(report.created_at, report.created_by, zone))}. “{wording.NO_DATA}” is never zero.",
        "\n".join(f"- **{WORDS[finding.severity]}:** {escape(finding.text)}" for finding in report.findings),
    ]
    for title, body in _sections(report):
        parts += [f"## {title}", *body]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Words that Markdown neither formats nor takes for HTML, on one line."""
    return wording.name(text).translate(_SPECIAL)


def _sections(report: Report) -> Iterator[tuple[str, Iterable[str]]]:
    yield "The week in numbers" if report.end - report.start == WEEK else "In numbers", _overview(report)
    yield "Services and releases", _services(report)
    yield "Why cost changed", _cost(report)
    yield "Drift of prompts and answers", _drift(report)
    yield "What was said", _answers(report)
    yield "Alerts and rollbacks", _incidents(report)
    yield "False alarms: what was stated, what was spent", _budget(report)
    yield "What this report could not see", _completeness(report)
    yield "References, seeds and versions", ["\n".join(f"- {fact.name}: {escape(fact.value)}" for fact in report.provenance)]


def _overview(report: Report) -> Iterator[str]:
    rows = [
        [wording.title_of(name), _value(figure), _change(figure, report), f"{figure.n:,}"]
        for name, figure in report.overview.items()
    ]
    yield _table(["", "value", "change (95 % interval)", "n"], rows, "lrrr")


def _services(report: Report) -> Iterator[str]:
    if report.traffic.missing or not report.traffic.services:
        yield escape(report.traffic.missing or "No service sent a request.")
        return
    rows = []
    for row in report.traffic.services:
        cells = [_with_change(row.figures.get(name), report) for name, _ in COLUMNS]
        rows.append([f"**{escape(wording.short(row.service) if row.service else '(no service name)')}**", *cells])
        for release in row.releases:
            name = f"{release.target or 'no target'} · {release.release or 'no release named'}"
            rows.append([f"↳ {escape(wording.short(name))}", *(_value(release.figures.get(name)) for name, _ in COLUMNS)])
    yield _table(["service", *(label for _, label in COLUMNS)], rows, "l" + "r" * len(COLUMNS))
    if like := wording.like_for_like(report.overview["requests.count"]):
        yield f"\\* {like}"
    if report.traffic.others:
        more = f" and {report.traffic.more_others} more" if report.traffic.more_others else ""
        yield f"Smaller services: {', '.join(escape(wording.short(name)) for name in report.traffic.others)}{more}."


def _cost(report: Report) -> Iterator[str]:
    cost = report.cost
    if cost.missing or cost.after_usd is None:
        yield f"Cost: {wording.NO_DATA}. {escape(cost.missing)}"
        return
    before = f" after {wording.dollars(cost.before_usd)} in the range before" if cost.before_usd is not None else ""
    yield f"{wording.dollars(cost.after_usd)}{before}."
    if cost.parts:
        rows = [[escape(part.name), escape(part.meaning), signed_dollars(part.usd)] for part in cost.parts]
        yield _table(["part", "meaning", "share of the change"], rows, "llr")
    if cost.groups:
        groups = [
            [
                escape(group.name or "(no model named)"),
                wording.NO_DATA if cost.before_usd is None else wording.dollars(group.before_usd),
                wording.dollars(group.after_usd),
            ]
            for group in cost.groups
        ]
        yield _table(["model", "before", "now"], groups, "lrr")
    yield from (escape(line) for line in cost.waste)
    yield from _unusual(report)


def _unusual(report: Report) -> Iterator[str]:
    """Hours that stand out, and the budgets."""
    cost, zone = report.cost, report.time_zone
    yield escape(f"{cost.unusual[:1].upper()}{cost.unusual[1:]}.")
    if cost.hours:
        hours = [
            [wording.moment(hour.start, zone), wording.dollars(hour.cost_usd), wording.dollars(hour.expected_usd)]
            for hour in cost.hours[:MOST_HOURS]
        ]
        yield _table(["hour", "cost", "usual"], hours, "lrr")
    for step in cost.steps:
        silent = ": no span arrived then" if step.silent else ""
        yield f"A step to {wording.percent(step.ratio)} of the usual began {wording.moment(step.onset, zone)}{silent}."
    if cost.budgets:
        rows = [
            [
                escape(wording.budgeted(budget)),
                wording.dollars(budget.usd_per_month),
                wording.dollars(budget.spent_usd),
                wording.NO_DATA if budget.expected_usd is None else wording.dollars(budget.expected_usd),
                BUDGETS.get(budget.verdict, budget.verdict),
            ]
            for budget in cost.budgets
        ]
        yield _table(["budget of the month for", "budget", "spent", "expected by its end", ""], rows, "lrrrl")


def _drift(report: Report) -> Iterator[str]:
    if report.drift.missing:
        yield escape(report.drift.missing) + "."
    for stream in report.drift.streams:
        yield _stream(stream, report.time_zone)


def _stream(stream: DriftStream, zone: str) -> str:
    where = ", ".join(f"{name} {escape(value)}" for name, value in stream.labels.items() if value)
    since = f", since about {wording.moment(stream.onset, zone)}" if stream.onset else ""
    verdict = VERDICTS.get(stream.verdict, stream.verdict)
    what = f"{wording.texts(stream.part)} of {where or 'the project'}, by {stream.scale}"
    lines = [f"- **{verdict}**{since}: {what}. {escape(stream.reason)}"]
    if stream.effect is not None:
        against = "" if stream.n_reference is None else f" against {stream.n_reference:,}"
        lines.append(f"  Effect (MMD) {stream.effect:.2g}, n = {stream.n:,}{against}.")
    if stream.slices:
        lines.append(f"  Drifting by themselves: {escape('; '.join(stream.slices))}.")
    for cluster in stream.clusters:
        shares = f"{wording.percent(cluster.share_before)} of the reference, {wording.percent(cluster.share_now)} now"
        lines.append(f"  > {escape(cluster.text)} ({shares})")
    return "\n".join([*lines, *(f"  > {escape(exemplar.text)}" for exemplar in stream.exemplars)])


def _answers(report: Report) -> Iterator[str]:
    rows = []
    for judgement in report.judgements:
        figure = judgement.figure
        said = _value(figure) if not judgement.missing else f"{wording.NO_DATA}: {escape(judgement.missing)}"
        rows.append(
            [
                judgement.title,
                said,
                wording.share_interval(figure),
                _change(figure, report),
                f"{figure.n:,}",
                escape(coverage_line(judgement)) if judgement.coverage else "",
            ]
        )
    yield _table(["", "share", "95 % interval", "change", "n", "coverage"], rows, "lrrrrl")
    yield from (escape(line) for line in report.feedback)


def _incidents(report: Report) -> Iterator[str]:
    found, zone = report.incidents, report.time_zone
    if not found.alerts and not found.rollbacks:
        yield "No alert was firing in this range, and no rollback was begun."
    if found.alerts:
        rows = [
            [
                escape(wording.short(alert.title, 120)),
                alert.severity,
                wording.moment(alert.fired_at, zone),
                wording.moment(alert.resolved_at, zone) if alert.resolved_at else "still firing",
            ]
            for alert in found.alerts
        ]
        yield _table(["alert", "severity", "fired", "resolved"], rows, "llll")
    if found.rollbacks:
        rows = [
            [
                escape(rollback.target),
                f"{escape(rollback.from_release)} → {escape(rollback.to_release)}",
                wording.moment(rollback.created_at, zone),
                escape(f"{rollback.state}: {rollback.outcome}"),
            ]
            for rollback in found.rollbacks
        ]
        yield _table(["rollback of", "releases", "begun", "outcome"], rows, "llll")


def _budget(report: Report) -> Iterator[str]:
    budget = report.budget
    rows = [
        [
            escape(row.what),
            escape(row.subject),
            "none" if row.rate is None else f"{wording.percent(row.rate)} per {row.per}",
            "–" if row.used is None else wording.percent(row.used),
            escape(row.detail),
        ]
        for row in budget.rows
    ]
    own = f"{budget.comparisons} changes with an interval, each called clear at p ≤ {budget.level_each:.2g}"
    rows.append(
        ["this report", "changes", f"{wording.percent(budget.level)} per report", "100 %" if budget.comparisons else "0 %", own]
    )
    yield _table(["what looks", "at", "stated", "spent", "on"], rows, "llrrl")


def _completeness(report: Report) -> Iterator[str]:
    found, zone = report.completeness, report.time_zone
    lines = []
    for gap in found.gaps:
        when = f", {wording.moment(gap.start, zone)} to {wording.moment(gap.end, zone)}" if gap.start and gap.end else ""
        lines.append(f"- {escape(gap.what)}{when}: {escape(gap.why)}")
    for lag in found.lags:
        until = f"everything until {wording.moment(lag.watermark, zone)}" if lag.watermark else "nothing finished yet"
        lines.append(f"- analyzer {escape(lag.analyzer)}: {until}")
    yield "\n".join(lines) or "Nothing is known to be missing."


def _value(figure: Figure | None) -> str:
    return wording.NO_DATA if figure is None else wording.quantity(figure.value, figure.unit)


def _change(figure: Figure, report: Report) -> str:
    if figure.change is None:
        return ""
    interval = wording.change_interval(figure.change)
    like = wording.like_for_like(figure)
    text = wording.effect(figure.change) + (f" ({interval})" if interval else "") + (f" {like}" if like else "")
    return f"**{text}**" if is_clear(figure.change, report.budget.level_each) else text


def _with_change(figure: Figure | None, report: Report) -> str:
    if figure is None or figure.change is None:
        return _value(figure)
    text = wording.effect(figure.change) + ("*" if figure.change.left_out else "")
    return f"{_value(figure)} ({f'**{text}**' if is_clear(figure.change, report.budget.level_each) else text})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], alignment: str) -> str:
    rule = ["---:" if side == "r" else "---" for side in alignment]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
