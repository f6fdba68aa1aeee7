"""Guardrails as tables: from a wish that is granted, one thing changed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from alerting.guardrails import Granted, Limits, Refused, Situation, Wish, decide, strictest
from storage.rollbacks import Rollback, State
from storage.targets import Mode, Target
from tests.alerting.rollback_world import START, evidence

NOW = START + timedelta(days=3)
LIMITS = Limits(enabled=True, cooldown=timedelta(minutes=30), max_per_day=2, warm_up_samples=30)
TARGET = Target(
    project="default",
    name="chat",
    generation=3,
    weights={"v2": 100.0},
    current="v2",
    previous="v1",
    last_known_good="v0",
    kind="promotion",
    changed_at=NOW - timedelta(minutes=5),
    executor="desired",
    webhook=None,
    mode=None,
    created_at=START,
)
RELEASES = frozenset({"v0", "v1", "v2", "v3"})


def past(hours_ago: float, state: State = "succeeded", *, automatic: bool = True, to: str = "v0") -> Rollback:
    """A rollback that was executed then."""
    at = NOW - timedelta(hours=hours_ago)
    return Rollback(
        id="rb_0",
        project="default",
        target="chat",
        state=state,
        state_reason="",
        mode="auto",
        automatic=automatic,
        actor="rule:cost",
        reason="",
        from_release="v3",
        to_release=to,
        from_weights={"v3": 100.0},
        from_generation=1,
        created_at=at,
        generation=2,
        executed_at=at,
    )


def judge(
    *,
    to: str | None = None,
    expected: int | None = 3,
    found: Mapping[str, Any] | None = None,
    automatic: bool = True,
    target: Target = TARGET,
    history: tuple[Rollback, ...] = (),
    limits: Limits = LIMITS,
    now: datetime = NOW,
) -> Granted | Refused:
    given = evidence(**(found or {})) if automatic else None
    return decide(Wish(to, expected, given), Situation(target, RELEASES, history), limits, now)


AWAITING = replace(past(0.1), state="awaiting_approval", executed_at=None, generation=None)

REFUSED_TO_ANYBODY: list[tuple[str, dict[str, Any]]] = [
    ("generation_changed", {"expected": 2}),
    ("generation_changed", {"expected": 4}),
    ("nothing_promoted", {"target": replace(TARGET, current=None, previous=None, weights={}), "to": "v1"}),
    ("no_predecessor", {"target": replace(TARGET, previous=None, last_known_good=None)}),
    ("no_predecessor", {"target": replace(TARGET, previous=None, last_known_good="v2")}),
    ("unknown_release", {"to": "v9"}),
    ("already_current", {"to": "v2"}),
    ("in_progress", {"history": (past(0.1, "executing"),)}),
    ("in_progress", {"history": (past(0.1, "propagating"),)}),
]

REFUSED_TO_RULES: list[tuple[str, dict[str, Any]]] = [
    ("switched_off", {"limits": replace(LIMITS, enabled=False)}),
    ("inconclusive", {"found": {"effect": None}}),
    ("inconclusive", {"found": {"low": None}}),
    ("inconclusive", {"found": {"high": None}}),
    ("inconclusive", {"found": {"low": -0.1, "high": 0.3}}),
    ("inconclusive", {"found": {"low": 0.0, "high": 0.3}}),
    ("warm_up", {"found": {"n": 29}}),
    ("wrong_target", {"found": {"target": "search"}}),
    ("generation_changed", {"found": {"generation": 2}}),
    ("not_current_promotion", {"found": {"candidate": "v3"}}),
    ("not_current_promotion", {"target": replace(TARGET, kind="rollback")}),
    ("not_predecessor", {"to": "v3"}),
    ("in_progress", {"history": (past(2, "verifying"),)}),
    ("in_progress", {"history": (AWAITING,)}),
    ("unproven_rollback", {"history": (past(2, "unverified", to="v1"),)}),
    ("unproven_rollback", {"history": (past(2, "ineffective", to="v1"),)}),
    ("unproven_rollback", {"history": (past(2, "failed", to="v1"),)}),
    ("unproven_rollback", {"history": (replace(past(2, "unverified", to="v0"), generation=3),)}),
    ("unproven_rollback", {"history": (past(100, "unverified", to="v1"),)}),
    ("cool_down", {"history": (past(0.49),)}),
    ("cool_down", {"history": (past(0.49, automatic=False),)}),
    ("day_limit", {"history": (past(23), past(5))}),
]

GRANTED: list[tuple[str, dict[str, Any]]] = [
    ("v1", {}),
    ("v1", {"to": "v1"}),
    ("v0", {"to": "v0"}),
    ("v1", {"expected": None}),
    ("v0", {"target": replace(TARGET, previous=None)}),
    ("v1", {"found": {"effect": -0.2, "low": -0.3, "high": -0.1}}),
    ("v1", {"found": {"n": 30}}),
    ("v1", {"history": (past(0.51),)}),
    ("v1", {"history": (past(25), past(5))}),
    ("v1", {"history": (past(5, automatic=False), past(6, automatic=False))}),
    ("v1", {"history": (past(2, "unverified", to="v0"),)}),
    ("v1", {"history": (past(2, "succeeded", to="v1"), past(30, "unverified", to="v1"))}),
    ("v1", {"target": replace(TARGET, weights={"v1": 95.0, "v2": 5.0})}),
]


@pytest.mark.parametrize(("code", "change"), REFUSED_TO_ANYBODY)
@pytest.mark.parametrize("automatic", [True, False])
def test_refused_to_anybody(code: str, change: dict[str, Any], automatic: bool) -> None:
    decision = judge(automatic=automatic, **change)
    assert isinstance(decision, Refused)
    assert decision.code == code
    assert decision.detail


@pytest.mark.parametrize(("code", "change"), REFUSED_TO_RULES)
def test_refused_to_rules(code: str, change: dict[str, Any]) -> None:
    decision = judge(**change)
    assert isinstance(decision, Refused)
    assert decision.code == code
    assert decision.detail


@pytest.mark.parametrize(("_code", "change"), REFUSED_TO_RULES)
def test_a_person_may_do_what_a_rule_may_not(_code: str, change: dict[str, Any]) -> None:
    assert isinstance(judge(automatic=False, **change), Granted)


@pytest.mark.parametrize(("to", "change"), GRANTED)
def test_granted(to: str, change: dict[str, Any]) -> None:
    decision = judge(**change)
    assert isinstance(decision, Granted), decision
    assert (decision.from_release, decision.to_release) == ("v2", to)


@pytest.mark.parametrize(
    ("modes", "result"),
    [
        (("auto", "auto", None), "auto"),
        (("auto", "approve", None), "approve"),
        (("auto", "auto", "approve"), "approve"),
        (("approve", "auto", "dry_run"), "dry_run"),
        (("dry_run", "auto", "auto"), "dry_run"),
    ],
)
def test_modes_become_stricter_only(modes: tuple[Mode | None, ...], result: Mode) -> None:
    assert strictest(*modes) == result
