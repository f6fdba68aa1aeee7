"""The story's logic: what a snapshot tells, what is wrong with it, and what is late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from demo.timeline import (
    LIMITS_S,
    NAMES,
    comparison_line,
    disturbance_of,
    events_of,
    failure_of,
    overdue,
    saving_of,
    seconds_since_first_span,
)
from demo.watch import EMPTY, Snapshot

DAY = "2026-03-01T12:00:"


def evidence(metric: str = "tokens.output", **changed: Any) -> dict[str, Any]:
    found = {
        "metric": metric,
        "candidate": "v2",
        "baseline": "v1",
        "effect": 0.57,
        "interval_low": 0.23,
        "interval_high": 1.01,
        "confidence": 0.99996,
        "n_candidate": 137,
        "n_baseline": 373,
        "reason": f"{metric} higher",
    }
    return found | changed


def alert(**changed: Any) -> dict[str, Any]:
    found = {
        "kind": "regression",
        "rule": "fresh-release",
        "target": "support-assistant",
        "labels": {"release": "v2"},
        "fired_at": f"{DAY}12.000Z",
        "reason": "tokens.output: tokens.output higher",
        "rollback": "proposed",
        "rollback_detail": "",
        "evidence": [evidence(), evidence("latency", reason="not enough")],
    }
    return found | changed


def message(channel: str, text: str, second: str, **changed: Any) -> dict[str, Any]:
    body = {"text": text} if channel == "slack" else {"status": text}
    verified = True if channel == "webhook" else None
    at = f"{DAY}{second}+00:00"
    return {"channel": channel, "at": at, "verified": verified, "problem": None, "body": body} | changed


def rollback(state: str = "succeeded", **changed: Any) -> dict[str, Any]:
    found = {
        "id": "rb_1",
        "state": state,
        "state_reason": "82 of 82 spans begun since carry v1",
        "reason": "tokens.output higher",
        "actor": "rule:fresh-release",
        "from_release": "v2",
        "to_release": "v1",
        "generation": 4,
        "executed_at": f"{DAY}12.500Z",
        "transitions": [
            {"to_state": "executing", "reason": "", "at": f"{DAY}12.400Z"},
            {"to_state": "verifying", "reason": "1 of 1 gateways report generation 4", "at": f"{DAY}14.000Z"},
            {"to_state": "succeeded", "reason": "82 of 82 spans begun since carry v1", "at": f"{DAY}21.000Z"},
        ],
    }
    return found | changed


WHOLE = Snapshot(
    requests={"v1": 40, "v2": 150},
    first_candidate_span={"start": f"{DAY}00.250000000Z", "trace_id": "ab", "name": "POST /chat"},
    alerts=(alert(),),
    received=(
        message("webhook", "firing", "12.700000"),
        message("slack", "FIRING · support-assistant: release v2 is worse than v1", "12.800000"),
        message("slack", "ROLLBACK · support-assistant: rollback executed, v2 → v1", "13.800000"),
        message("slack", "ROLLBACK · support-assistant: rollback succeeded, v2 → v1", "21.500000"),
    ),
    rollback=rollback(),
)


def test_the_whole_story_in_order() -> None:
    assert [event.step for event in events_of(WHOLE)] == [
        "first_span",
        "regression",
        "rollback",
        "webhook",
        "slack",
        "gateway",
        "proof",
        "told",
    ]
    assert failure_of(WHOLE) is None


def test_each_step_has_a_limit_and_a_name() -> None:
    assert set(LIMITS_S) == set(NAMES) == {event.step for event in events_of(WHOLE)}


def test_nothing_is_told_before_it_is_seen() -> None:
    assert events_of(EMPTY) == []
    under_way = rollback("executing", executed_at=None, transitions=[])
    assert events_of(replace(EMPTY, rollback=under_way)) == []


def test_the_regression_comes_with_its_effect_interval_and_requests() -> None:
    regression = next(event for event in events_of(WHOLE) if event.step == "regression")
    assert regression.lines == (
        "tokens.output +57 %, between +23 % and +101 % (137 requests of v2, 373 of v1)",
        "by the rule fresh-release; the intervals hold with 99.996 %",
    )


def test_an_alert_about_another_release_is_not_the_regression() -> None:
    other = replace(EMPTY, alerts=(alert(labels={"release": "v1"}),))
    assert events_of(other) == []


def test_seconds_count_from_the_first_bad_span() -> None:
    assert seconds_since_first_span(events_of(WHOLE)) == {
        "regression": 11.75,
        "slack": 12.55,
        "webhook": 12.45,
        "rollback": 12.25,
        "gateway": 13.75,
        "proof": 20.75,
        "told": 21.25,
    }


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (
            replace(EMPTY, received=(message("webhook", "firing", "12.7", verified=False, problem="bad"),)),
            "could not be accepted",
        ),
        (replace(EMPTY, alerts=(alert(kind="error", reason="no store"),)), "kind error fired: no store"),
        (replace(EMPTY, alerts=(alert(rollback="refused", rollback_detail="cool_down"),)), "refused: cool_down"),
        (replace(EMPTY, rollback=rollback("ineffective")), "rb_1 is ineffective"),
        (replace(EMPTY, rollback=rollback("unverified")), "rb_1 is unverified"),
        (replace(EMPTY, rollback=rollback("dry_run")), "rb_1 is dry_run"),
        (replace(EMPTY, rollback=rollback(to_release="v0")), "from v2 to v0"),
    ],
)
def test_what_ends_the_story_badly(snapshot: Snapshot, why: str) -> None:
    assert why in (failure_of(snapshot) or "")


@pytest.mark.parametrize(
    "snapshot",
    [replace(EMPTY, alerts=WHOLE.alerts), replace(EMPTY, received=WHOLE.received), replace(EMPTY, rollback=rollback())],
)
def test_an_equal_release_must_meet_nothing(snapshot: Snapshot) -> None:
    assert disturbance_of(snapshot) is not None
    assert disturbance_of(replace(snapshot, alerts=(), received=(), rollback=None)) is None


def test_the_first_late_step_is_named() -> None:
    assert overdue([], 29.0) is None
    assert overdue([], 31.0) == "first span of v2: not within 30 s of the promotion"
    assert overdue(["first_span"], 31.0) is None
    assert overdue(["first_span"], 91.0) == "regression found: not within 90 s of the promotion"
    assert overdue(list(LIMITS_S), 1e6) is None


def test_a_comparison_that_cannot_tell_says_why() -> None:
    assert comparison_line(evidence(effect=None, reason="12 requests, 30 are needed")) == (
        "tokens.output: 12 requests, 30 are needed"
    )
    assert comparison_line(evidence("errors.rate", effect=0.01, interval_low=-0.02, interval_high=None)).startswith(
        "errors.rate +1.0 points, between -2.0 points and ?"
    )


def test_the_saving_is_cost_per_request_times_traffic() -> None:
    saving = saving_of({"v1": 0.3, "v2": 0.08}, {"v1": 1_000, "v2": 200}, 120)
    assert saving.extra_usd == pytest.approx(0.0001)
    assert saving.requests_per_s == pytest.approx(10)
    assert saving.usd_per_hour == pytest.approx(3.6)
