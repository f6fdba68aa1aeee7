"""How much of each stated chance of a false alarm the looks up to the end of the range could have spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from analyzers.report.data import Budget, BudgetRow
from analyzers.stats.alpha import per_episode
from schemas.rules import EVERY_TARGET, RegressionRule, ThresholdRule
from storage.rules import list_rules
from storage.targets import promotions_within

PERIOD = timedelta(days=28)
LEVEL = 0.05


def read_rule_budgets(connection: Connection, project: str, end: datetime) -> list[BudgetRow]:
    """Of the rules in force now, over the 28 days up to `end`."""
    promotions = promotions_within(connection, project, end - PERIOD, end)
    rules = [stored.rule for stored in list_rules(connection, project) if stored.rule.enabled]
    rows = [row for rule in rules if isinstance(rule, RegressionRule) for row in _rule(rule, promotions, end)]
    thresholds = [rule.name for rule in rules if isinstance(rule, ThresholdRule)]
    return rows + ([_thresholds(thresholds)] if thresholds else [])


def report_budget(rows: Sequence[BudgetRow], report_changes: int) -> Budget:
    """The budgets with that of the report's own comparisons, split evenly over them (Bonferroni)."""
    return Budget(rows=list(rows), level=LEVEL, comparisons=report_changes, level_each=LEVEL / max(1, report_changes))


def _rule(rule: RegressionRule, promotions: Mapping[str, Sequence[datetime]], end: datetime) -> list[BudgetRow]:
    targets = promotions if rule.target == EVERY_TARGET else {rule.target: promotions.get(rule.target, ())}
    if not targets:
        nothing = "no release was promoted within 28 days, so nothing was tested"
        return [_row(rule, "every target", 0.0, nothing)]
    return [_row(rule, target, *_spent(rule, made, end)) for target, made in sorted(targets.items())]


def _row(rule: RegressionRule, subject: str, used: float, detail: str) -> BudgetRow:
    return BudgetRow(
        what=f"rule {rule.name}", subject=subject, rate=rule.alpha, per="target and 28 days", used=used, detail=detail
    )


def _spent(rule: RegressionRule, promotions: Sequence[datetime], end: datetime) -> tuple[float, str]:
    """Share of the budget, and what it went to. A steady rule spends anew for each window after the promotion."""
    count, metrics = len(promotions), len(rule.metrics)
    windows = int((end - promotions[-1]) / rule.window) if promotions and rule.profile == "steady" else 0
    used = sum(per_episode(1.0, episode) for episode in range(1, count + windows + 1))
    parts = [_counted(count, "promotion"), *([_counted(windows, "further window")] if windows else [])]
    return used, f"{', '.join(parts)}, {_counted(metrics, 'metric')} each, any number of looks"


def _thresholds(names: Sequence[str]) -> BudgetRow:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return BudgetRow(
        what="threshold rules",
        subject=shown,
        rate=None,
        per="",
        used=None,
        detail="a threshold is a limit that people set: it states no chance of a false alarm",
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
