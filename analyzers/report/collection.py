"""Filling a report: every section read, then what matters said in sentences."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from analyzers.report.budget import read_rule_budgets, report_budget
from analyzers.report.completeness import completeness_of, lags_of, read_marks
from analyzers.report.cost import read_cost
from analyzers.report.data import BudgetRow, Figure, Incidents, Judgement, Report, Traffic
from analyzers.report.drift import read_drift
from analyzers.report.feedback import read_feedback
from analyzers.report.figures import Figures, ranges_of
from analyzers.report.headline import findings_of, headline_of
from analyzers.report.incidents import read_incidents
from analyzers.report.judgements import coverage_rows, read_judgements
from analyzers.report.provenance import read_provenance
from analyzers.report.schedule import Period
from analyzers.report.sources import Sources
from analyzers.report.traffic import read_overview, read_traffic
from storage.coverage import read_slice_coverage
from storage.scope import ProjectReader, Range


def new_report_id() -> str:
    """A fresh id."""
    return "rp_" + secrets.token_hex(10)


async def collect(sources: Sources, project: str, period: Period, *, time_zone: str, created_by: str) -> Report:
    """A report of a project over a period.

    Raises:
        QueryError: the range is empty or longer than query.max_range_days.
        StoreError, ControlError: a database could not answer.
    """
    bounds = sources.settings.query
    Range(period.start, period.end).check(bounds)
    ranges = ranges_of(period.start, period.end, time_zone)
    figures = Figures(sources.store, project, ranges, bounds)
    silences = await figures.silences(await sources.watermark() or sources.clock())
    figures = replace(figures, silent=silences.places)
    overview, traffic = await read_overview(figures), await read_traffic(figures)
    reader = ProjectReader(sources.store, project, bounds)
    coverage = coverage_rows(await read_slice_coverage(reader, Range(period.start, period.end)))
    judgements = await read_judgements(figures, coverage)
    marks = await read_marks(figures)
    drift, drift_budget = await read_drift(sources, project, ranges)
    incidents, rule_budgets = await sources.control.read(lambda connection: _reaction(connection, project, figures))
    lags = lags_of(await sources.progress(), sources.clock())
    budget = report_budget([*rule_budgets, *drift_budget], _comparisons(overview, traffic, judgements))
    completeness = completeness_of(
        ranges, overview["requests.count"], silences, marks, traffic.services, judgements, lags, coverage
    )
    cost = await read_cost(sources, figures, overview["cost.usd"], marks["cost.unpriced"], silences)
    findings = findings_of(
        overview,
        traffic.services,
        judgements,
        drift,
        incidents,
        cost,
        completeness,
        silences,
        end=period.end,
        level=budget.level_each,
        time_zone=time_zone,
    )
    return Report(
        id=new_report_id(),
        project=project,
        start=ranges.start,
        end=ranges.end,
        before_start=ranges.before_start,
        before_end=ranges.before_end,
        weeks=ranges.weeks,
        time_zone=time_zone,
        stretch="day" if ranges.end - ranges.start >= timedelta(days=2) else "part",
        created_at=sources.clock(),
        created_by=created_by,
        headline=headline_of(findings, overview["requests.count"], drift),
        alarming=any(finding.severity == "alarm" for finding in findings),
        findings=findings,
        overview=overview,
        traffic=traffic,
        cost=cost,
        drift=drift,
        judgements=judgements,
        feedback=await read_feedback(figures),
        incidents=incidents,
        budget=budget,
        completeness=completeness,
        provenance=await read_provenance(sources, project, coverage),
    )


def _reaction(connection: Connection, project: str, figures: Figures) -> tuple[Incidents, list[BudgetRow]]:
    ranges = figures.ranges
    return read_incidents(connection, project, ranges), read_rule_budgets(connection, project, ranges.end)


def _comparisons(overview: dict[str, Figure], traffic: Traffic, judgements: list[Judgement]) -> int:
    """How many changes could be called clear."""
    compared = [*overview.values(), *(figure for row in traffic.services for figure in row.figures.values())]
    compared += [figure for judgement in judgements for figure in (judgement.figure, *judgement.services)]
    return sum(figure.change is not None and figure.change.p is not None for figure in compared)
