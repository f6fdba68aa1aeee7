"""What matters in a report, in plain sentences, most urgent first. Pure: it reads the sections and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from analyzers.report import wording
from analyzers.report.changes import is_clear, is_large
from analyzers.report.data import (
    AlertRow,
    Completeness,
    Cost,
    CostBudget,
    Drift,
    DriftStream,
    Figure,
    Finding,
    Incidents,
    Judgement,
    RollbackRow,
    ServiceRow,
    Severity,
)
from analyzers.report.silence import Silences

ORDER: Mapping[Severity, int] = {"alarm": 0, "watch": 1, "good": 2, "note": 3}
LISTED = 9
# Sums that follow the volume: the section on cost says what they mean.
SILENT = frozenset({"tokens.input", "tokens.output"})
# A change of one service alone that is told although it may be chance; at most so many.
SINGLE = 0.01
MOST_UNCERTAIN = 2
LATE_S = 3600.0
FAILED_SHARE = 0.01

_ALARMING_ROLLBACKS = frozenset({"ineffective", "unverified", "failed", "awaiting_approval"})
_DONE = {
    "succeeded": "was rolled back from {0} to {1}, and it worked: {2}",
    "ineffective": "was rolled back from {0} to {1}, without effect: {2}",
    "unverified": "was rolled back from {0} to {1}, but nothing proves that it worked: {2}",
    "failed": "could not be rolled back from {0} to {1}: {2}",
    "aborted": "was not rolled back from {0} to {1}: {2}",
    "dry_run": "would have been rolled back from {0} to {1} (dry run)",
    "awaiting_approval": "waits for approval of its rollback from {0} to {1}",
}

_BUDGETS: Mapping[str, tuple[Severity, str]] = {
    "exceeded": ("alarm", "is exceeded"),
    "will_exceed": ("watch", "will not hold"),
    "may_exceed": ("note", "may not hold"),
}


def findings_of(
    overview: Mapping[str, Figure],
    services: Sequence[ServiceRow],
    judgements: Sequence[Judgement],
    drift: Drift,
    incidents: Incidents,
    cost: Cost,
    completeness: Completeness,
    silences: Silences,
    *,
    end: datetime,
    level: float,
    time_zone: str,
) -> list[Finding]:
    """Everything worth a sentence, the most urgent first; what does not fit is counted in the last one."""
    found = [
        *_silence(overview["requests.count"], silences, time_zone),
        *_rollbacks(incidents),
        *_alerts(incidents, end),
        *_drift(drift, time_zone),
        *_spending(cost, time_zone),
        *_changes(overview, services, judgements, level),
        *_uncertain(services, level),
        *_blind(completeness),
    ]
    ordered = sorted(found, key=lambda finding: ORDER[finding.severity])
    if len(ordered) <= LISTED:
        return ordered
    rest = len(ordered) - LISTED + 1
    return [
        *ordered[: LISTED - 1],
        Finding(severity="note", text=f"{rest} further findings stand in the sections below.", section=""),
    ]


def headline_of(findings: Sequence[Finding], requests: Figure, drift: Drift) -> str:
    """One sentence for a list or a subject line."""
    pressing = [finding for finding in findings if finding.severity in ("alarm", "watch")]
    if requests.value is None and not pressing:
        return "No spans arrived, so there is nothing to report."
    if not pressing:
        calm = ["no alert fired", "nothing changed clearly"] + ([] if drift.missing else ["nothing drifted"])
        return f"All quiet: {', '.join(calm)}."
    first = pressing[0].text
    more = len(pressing) - 1
    return first if more == 0 else f"{first.rstrip('.')} – and {more} more {'matter' if more == 1 else 'matters'} to look at."


def _silence(requests: Figure, silences: Silences, time_zone: str) -> list[Finding]:
    if requests.value is None:
        if requests.before is None:
            return []
        text = f"No spans arrived at all; in the range compared with there were {wording.count(requests.before)} requests."
        return [Finding(severity="alarm", text=text, section="completeness")]
    silent = sorted((each for each in silences.found if not each.before), key=lambda each: -each.beside)
    if not silent:
        return []
    when = f"{wording.moment(silent[0].start, time_zone)} to {wording.moment(silent[0].end, time_zone)}"
    more = f" (and {len(silent) - 1} more times)" if len(silent) > 1 else ""
    text = f"No span arrived from {when}{more}, where the range compared with has {silent[0].beside:,} requests"
    return [Finding(severity="watch", text=f"{text}: totals lack them.", section="completeness")]


def _rollbacks(incidents: Incidents) -> list[Finding]:
    return [_rollback(rollback) for rollback in incidents.rollbacks]


def _rollback(rollback: RollbackRow) -> Finding:
    severity: Severity = "alarm" if rollback.state in _ALARMING_ROLLBACKS else "watch"
    told = _DONE.get(rollback.state, "is being rolled back from {0} to {1}")
    reason = rollback.outcome.partition(" (")[2].removesuffix(")")  # which may have brackets of its own
    names = (wording.short(rollback.from_release, 40), wording.short(rollback.to_release, 40))
    return Finding(
        severity=severity,
        text=f"The target {wording.short(rollback.target, 40)} {told.format(*names, reason)}.",
        section="incidents",
    )


def _alerts(incidents: Incidents, end: datetime) -> list[Finding]:
    still = [alert for alert in incidents.alerts if alert.resolved_at is None or alert.resolved_at >= end]
    over = len(incidents.alerts) - len(still) + incidents.more_alerts
    found = [_unresolved(alert, incidents.rollbacks) for alert in still]
    if over:
        told = f"{over} {'alert' if over == 1 else 'alerts'} fired and {'was' if over == 1 else 'were'} resolved."
        found.append(Finding(severity="note", text=told, section="incidents"))
    return found


def _unresolved(alert: AlertRow, rollbacks: Sequence[RollbackRow]) -> Finding:
    """What was rolled back with success needs nobody, though its alert waits for its time of recovery."""
    title = wording.short(alert.title, 120)
    if alert.target and any(_answers(rollback, alert) for rollback in rollbacks):
        text = f"Rolled back with success, and not yet resolved at the end: {title}."
        return Finding(severity="note", text=text, section="incidents")
    severity: Severity = "alarm" if alert.severity == "critical" else "watch"
    return Finding(severity=severity, text=f"Still firing at the end: {title}.", section="incidents")


def _answers(rollback: RollbackRow, alert: AlertRow) -> bool:
    return rollback.state == "succeeded" and rollback.target == alert.target and rollback.created_at >= alert.fired_at


def _drift(drift: Drift, time_zone: str) -> list[Finding]:
    return [
        Finding(severity="watch", text=_drifted(stream, time_zone), section="drift")
        for stream in drift.streams
        if stream.verdict == "drift"
    ]


def _drifted(stream: DriftStream, time_zone: str) -> str:
    names = dict.fromkeys(wording.short(value, 40) for value in stream.labels.values() if value)
    where = ", ".join(names) or "the project"
    since = f" since about {wording.moment(stream.onset, time_zone)}" if stream.onset else ""
    new = stream.clusters[0] if stream.clusters else None
    about = f"; most of all there is more like “{wording.short(new.text, 80)}”" if new else ""
    return f"{wording.texts(stream.part).capitalize()} of {where} drifted{since}{about}."


def _spending(cost: Cost, time_zone: str) -> list[Finding]:
    """Budgets that do not hold, and hours that cost far more than their like."""
    found = [_budget(budget) for budget in cost.budgets if budget.verdict in _BUDGETS]
    dear = [hour for hour in cost.hours if hour.cost_usd > hour.expected_usd]
    if dear:
        worst = dear[0]
        sizes = f"{wording.dollars(worst.cost_usd)} instead of {wording.dollars(worst.expected_usd)}"
        text = f"The hour of {wording.moment(worst.start, time_zone)} cost {sizes}, the usual for that hour of the week"
        more = f", and {len(dear) - 1} more stand out like it" if len(dear) > 1 else ""
        found.append(Finding(severity="watch", text=f"{text}{more}.", section="cost"))
    return found


def _budget(budget: CostBudget) -> Finding:
    severity, told = _BUDGETS[budget.verdict]
    text = f"The month’s budget of {wording.dollars(budget.usd_per_month)} for {wording.budgeted(budget)} {told}"
    text += f": {wording.dollars(budget.spent_usd)} is spent since {budget.start.day} {budget.start:%b}"
    if budget.expected_usd is not None:
        text += f", and about {wording.dollars(budget.expected_usd)} is expected by the month’s end"
    return Finding(severity=severity, text=f"{text}.", section="cost")


def _changes(
    overview: Mapping[str, Figure], services: Sequence[ServiceRow], judgements: Sequence[Judgement], level: float
) -> list[Finding]:
    """Clear changes of the whole; of single services only where the whole does not show them."""
    found: list[Finding] = []
    rows: list[tuple[str, Figure | None, list[Figure]]] = [
        (name, figure, [row.figures[name] for row in services if name in row.figures]) for name, figure in overview.items()
    ]
    rows += [
        (name, None, [row.figures[name] for row in services if name in row.figures])
        for name in (services[0].figures if services else ())
        if name not in overview
    ]
    for name, whole, parts in (row for row in rows if row[0] not in SILENT):
        found += _change(wording.title_of(name), whole, parts, "overview" if whole else "services", level)
    for judgement in judgements:
        found += _change(judgement.title, judgement.figure, judgement.services, "answers", level)
    return found


def _uncertain(services: Sequence[ServiceRow], level: float) -> list[Finding]:
    """Large changes for the worse of single services that would be clear if nothing else were compared."""
    large = [
        figure
        for row in services
        for name, figure in row.figures.items()
        if name not in SILENT
        and is_large(figure.change, SINGLE)
        and not is_clear(figure.change, level)
        and severity_of(figure) == "watch"
    ]
    return [
        _finding(f"Large, but not certain among so many comparisons: {_of_service(figure)}", figure, "", "services").model_copy(
            update={"severity": "note"}
        )
        for figure in sorted(large, key=lambda figure: figure.change.p if figure.change and figure.change.p else 0.0)[
            :MOST_UNCERTAIN
        ]
    ]


def _of_service(figure: Figure) -> str:
    return f"{wording.title_of(figure.metric)} of {wording.short(figure.labels.get('service', ''), 40)}"


def _change(title: str, whole: Figure | None, parts: Iterable[Figure], section: str, level: float) -> list[Finding]:
    clear = [part for part in parts if is_clear(part.change, level)]
    if whole is not None and is_clear(whole.change, level):
        names = ", ".join(wording.short(part.labels.get("service", ""), 40) for part in clear[:3])
        return [_finding(title, whole, f" – in {names}" if names and len(clear) <= 3 else "", section)]
    return [
        _finding(f"{title} of {wording.short(part.labels.get('service', ''), 40)}", part, "", "services" if whole else section)
        for part in clear
    ]


def _finding(title: str, figure: Figure, where: str, section: str) -> Finding:
    change = figure.change
    assert change is not None
    verb = "rose" if change.effect > 0 else "fell"
    sizes = f"from {wording.quantity(figure.before, figure.unit)} to {wording.quantity(figure.value, figure.unit)}"
    if change.left_out:  # the totals themselves are of unlike lengths
        sizes = wording.like_for_like(figure)
    interval = wording.change_interval(change)
    proof = f"{wording.effect(change)}, 95 % interval {interval}" if interval else wording.effect(change)
    text = f"{title} {verb} {sizes} ({proof}; n = {figure.n:,}){where}."
    return Finding(severity=severity_of(figure), text=text, section=section)


def severity_of(figure: Figure) -> Severity:
    """What a clear change of a figure means."""
    assert figure.change is not None
    if figure.worse == "none" or (figure.unit in ("USD", "tokens") and figure.change.effect < 0):
        return "note"  # spending less is not better by itself: there may be less traffic
    return "watch" if (figure.change.effect > 0) == (figure.worse == "up") else "good"


def _blind(completeness: Completeness) -> list[Finding]:
    found = []
    for gap in completeness.gaps:
        if "none in this one" in gap.why:
            text = f"The service {wording.short(gap.what, 60)} {gap.why}."
            found.append(Finding(severity="watch", text=text, section="completeness"))
    for lag in completeness.lags:
        if lag.behind_s is not None and lag.behind_s > LATE_S:
            text = f"The analyzer {lag.analyzer} is {wording.length(lag.behind_s)} behind: its figures may still grow."
            found.append(Finding(severity="watch", text=text, section="completeness"))
    for row in completeness.coverage:
        if row.service is None and row.looked_at and row.failed / row.looked_at > FAILED_SHARE:
            text = f"The analyzer {row.analyzer} gave up on {row.failed:,} of {row.looked_at:,} spans after errors."
            found.append(Finding(severity="watch", text=text, section="completeness"))
    return found
