"""What stands first in a report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from analyzers.report.data import AlertRow, Incidents, RollbackRow
from analyzers.report.headline import _alerts

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
