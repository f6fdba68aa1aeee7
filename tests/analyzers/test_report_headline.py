"""What stands first in a report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from analyzers.report.data import AlertRow, Change, Figure, Incidents, RollbackRow, ServiceRow
from analyzers.report.headline import _alerts, _rollback, _uncertain

FIRED = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = FIRED + timedelta(hours=1)


def alert(target: str = "assistant") -> AlertRow:
    return AlertRow(
        id="a1",
        rule="fresh-release",
        kind="regression",
        severity="critical",
        target=target,
        title="v2 is worse than v1",
        fired_at=FIRED,
        resolved_at=None,
        reason="",
        rollback="",
    )


def rollback(state: str = "succeeded", target: str = "assistant", after_s: float = 1.0) -> RollbackRow:
    return RollbackRow(
        id="r1",
        target=target,
        from_release="v2",
        to_release="v1",
        state=state,
        outcome="",
        automatic=True,
        actor="rule:fresh-release",
        created_at=FIRED + timedelta(seconds=after_s),
        finished_at=None,
    )


@pytest.mark.parametrize(
    ("rollbacks", "severity"),
    [
        ([rollback()], "note"),
        ([], "alarm"),
        ([rollback("ineffective")], "alarm"),
        ([rollback(target="another")], "alarm"),
        ([rollback(after_s=-60)], "alarm"),
    ],
)
def test_an_alert_that_was_answered_by_a_rollback_is_no_alarm(rollbacks: list[RollbackRow], severity: str) -> None:
    (found,) = _alerts(Incidents(alerts=[alert()], rollbacks=rollbacks), END)
    assert found.severity == severity
    assert "v2 is worse than v1" in found.text


def test_without_a_target_a_rollback_answers_nothing() -> None:
    (found,) = _alerts(Incidents(alerts=[alert("")], rollbacks=[rollback(target="")]), END)
    assert found.severity == "alarm"


def test_the_proof_of_a_rollback_is_told_whole() -> None:
    proof = "62 of 62 spans begun since carry v1; tokens.output is back (37 requests)"
    found = _rollback(rollback().model_copy(update={"outcome": f"proven: the metric recovered ({proof})"}))
    assert found.text == f"The target assistant was rolled back from v2 to v1, and it worked: {proof}."


def errors(effect: float, p: float | None) -> Figure:
    change = Change(kind="points", effect=effect, low=0.01, high=0.2, p=p, stretches=7)
    return Figure(metric="errors.rate", unit="ratio", worse="up", labels={"service": "billing"}, value=0.1, n=410, before=0.02,
                  change=change)  # fmt: skip


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        (errors(0.088, 0.0014), True),
        (errors(0.088, 1e-6), False),  # clear, so it is told as a change
        (errors(0.088, 0.03), False),
        (errors(0.088, None), False),
        (errors(0.03, 0.0014), False),
        (errors(-0.088, 0.0014), False),
    ],
)
def test_a_large_change_that_may_be_chance_is_noted_as_such(figure: Figure, told: bool) -> None:
    found = _uncertain([ServiceRow(service="billing", figures={"errors.rate": figure}, releases=[])], 0.05 / 120)
    assert [(each.severity, each.section) for each in found] == ([("note", "services")] if told else [])
    assert all(
        each.text.startswith("Large, but not certain among so many comparisons: Error rate of billing") for each in found
    )
