"""Rules: good ones survive a round trip, bad ones are refused with file, line, rule and fix."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alerting.rules
from schemas.duration import format_duration, parse_duration
from schemas.rule_file import RuleFileError, parse_rule_file, read_rule_file
from schemas.rules import InvalidRuleError, RegressionRule, ThresholdRule, dump_rule, parse_rule, revision_of

THRESHOLD: dict[str, Any] = {"kind": "threshold", "name": "slow", "metric": "latency.p95", "threshold": 2000}
GUARD: dict[str, Any] = {"kind": "regression", "profile": "guard", "name": "guard", "metrics": ["cost.usd"]}


@pytest.mark.parametrize("data", [THRESHOLD, GUARD, {**GUARD, "profile": "steady", "for": "10m", "action": "rollback"}])
def test_a_rule_survives_a_round_trip(data: dict[str, Any]) -> None:
    rule = parse_rule(data)
    assert parse_rule(dump_rule(rule)) == rule
    assert revision_of(parse_rule(dump_rule(rule))) == revision_of(rule)


def test_a_revision_follows_the_content() -> None:
    assert revision_of(parse_rule(THRESHOLD)) != revision_of(parse_rule({**THRESHOLD, "threshold": 2001}))


def test_profiles_fill_what_is_not_given() -> None:
    guard, steady = parse_rule(GUARD), parse_rule({**GUARD, "profile": "steady", "alpha": 0.05})
    assert isinstance(guard, RegressionRule)
    assert isinstance(steady, RegressionRule)
    assert (guard.for_, guard.alpha, guard.margin, guard.min_samples) == (timedelta(0), 0.001, 0.1, 30)
    assert (steady.for_, steady.keep_firing_for, steady.alpha) == (timedelta(minutes=5), timedelta(minutes=10), 0.05)


def test_the_bad_side_comes_from_the_catalogue() -> None:
    rule = parse_rule(THRESHOLD)
    assert isinstance(rule, ThresholdRule)
    assert (rule.bad_side, rule.recovery_threshold, rule.reports_silence) == ("above", 2000, True)
    assert not parse_rule({**THRESHOLD, "group_by": ["service"]}).reports_silence  # type: ignore[union-attr] # as above


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "sometimes"}, "kind must be threshold or regression"),
    ({**THRESHOLD, "metric": "cost.usdd"}, "did you mean cost.usd"),
    ({**THRESHOLD, "metric": "errors.rate", "threshold": 0.1}, "add min_samples"),
    ({**THRESHOLD, "metric": "requests.count"}, "add direction"),
    ({**THRESHOLD, "recovery": 2500}, "good side"),
    ({**THRESHOLD, "direction": "below", "recovery": 1500}, "good side"),
    ({**THRESHOLD, "threshold": float("nan")}, "finite"),
    ({**THRESHOLD, "windows": "5m"}, "did you mean window?"),
    ({**THRESHOLD, "window": "0s"}, "between 1s and 31d"),
    ({**THRESHOLD, "for": 5}, "write a duration as"),
    ({**THRESHOLD, "for": "-5m"}, "write it as"),
    ({**THRESHOLD, "group_by": ["servise"]}, "did you mean service?"),
    ({**THRESHOLD, "name": "Not A Name"}, "pattern"),
    ({**THRESHOLD, "labels": {"alertname": "x"}}, "choose another name"),
    ({**THRESHOLD, "channels": ["pager"]}, "no channel 'pager': configured are ops"),
    ({**GUARD, "metrics": ["latency.p95"]}, "compared by latency.p95: use one of"),
    ({**GUARD, "metrics": []}, "at least 1"),
    ({**GUARD, "metrics": ["latency", "latency"]}, "named twice"),
    ({**GUARD, "alpha": 0.01}, "at most 0.001"),
    ({**GUARD, "margin": 0.05}, "at least 0.1"),
    ({**GUARD, "min_samples": 3}, "30"),
    ({**GUARD, "profile": "lax"}, "guard"),
    ({**GUARD, "action": "page"}, "rollback"),
]


@pytest.mark.parametrize(("data", "fix"), BAD, ids=[fix for _, fix in BAD])
def test_a_bad_rule_is_refused_with_the_fix(data: dict[str, Any], fix: str) -> None:
    with pytest.raises(InvalidRuleError) as caught:
        parse_rule(data, channels=["ops"])
    assert fix in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "rule", 3])
def test_what_is_no_mapping_is_no_rule(data: object) -> None:
    with pytest.raises(InvalidRuleError, match="mapping"):
        parse_rule(data)


def test_the_shipped_rules_guard_every_target() -> None:
    shipped = read_rule_file(Path(alerting.rules.__file__).with_name("default.yaml"), [])
    (rule,) = shipped.rules
    assert isinstance(rule, RegressionRule)
    assert (shipped.project, rule.target, rule.profile, rule.action) == ("*", "*", "guard", "rollback")
    assert rule.metrics == ("cost.usd", "tokens.output", "latency", "errors.rate")


def test_errors_name_file_line_and_rule() -> None:
    text = """rules:
  - name: fine
    kind: threshold
    metric: latency.p95
    threshold: 10
  - name: wrong
    kind: threshold
    metric: latency.p96
    threshold: 10
    filters:
      region: eu
  - kind: threshold
    name: fine
    metric: latency.p95
    threshold: 1
    chanels: [a]
"""
    with pytest.raises(RuleFileError) as caught:
        parse_rule_file(text, "rules.yaml", [])
    first, second = str(caught.value).splitlines()
    assert first.startswith("rules.yaml:8: rule 'wrong': metric: there is no metric 'latency.p96': did you mean")
    assert second == "rules.yaml:16: rule 'fine': chanels: no such setting: did you mean channels?"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "list under `rules:`"),
        ("rules: 3", 1, "list under `rules:`"),
        ("rules: []\nrulez: []", 2, "rulez: no such member"),
        ("rules:\n  - name: a\n    name: b\n", 3, "name: is given twice"),
        ("rules:\n  - {a: [}", 2, "not YAML"),
        ("rules:\n  - just text", 2, "rule number 1: a rule is a mapping"),
        ("project: [1]\nrules: []", 1, "project: write its name"),
        ("rules:\n- !!python/object:os.system {}", 2, "not YAML"),
    ],
)
def test_a_bad_file_is_refused(text: str, line: int, what: str) -> None:
    with pytest.raises(RuleFileError) as caught:
        parse_rule_file(text, "f.yaml", [])
    assert str(caught.value).startswith(f"f.yaml:{line}: ")
    assert what in str(caught.value)


def test_two_rules_of_one_name_are_refused() -> None:
    rule = "  - {name: a, kind: threshold, metric: latency.p95, threshold: 1}\n"
    with pytest.raises(RuleFileError, match="f:3: rule 'a': a second rule of that name"):
        parse_rule_file("rules:\n" + rule + rule, "f", [])


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="rules_file"):
        read_rule_file(tmp_path / "none.yaml", [])


@given(st.integers(min_value=0, max_value=10**11))
def test_durations_survive_a_round_trip(milliseconds: int) -> None:
    length = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "1y", "-1m", "9" * 400 + "w"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration(text)
