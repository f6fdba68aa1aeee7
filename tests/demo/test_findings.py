"""What is told of the analyzers: with n, scorer, evidence, coverage and the truth; what is missing or cannot be is an error."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from demo.findings import (
    LIMITS_S,
    PATIENCE_S,
    calm_since,
    coverage_line,
    false_alarm,
    findings_of,
    overdue,
    percent,
    quote,
    waiting_for,
)
from demo.planted import Truth
from demo.survey import Share
from tests.demo.surveys import BEGAN, NEW, NOW, analyzer, look, survey


def lines_of(name: str, **changed: Any) -> tuple[str, ...]:
    return next(finding.lines for finding in findings_of(survey(**changed)) if finding.name == name)


def test_every_analyzer_is_heard_of() -> None:
    assert {finding.name for finding in findings_of(survey())} == set(LIMITS_S)


def test_toxicity_with_n_scorer_truth_and_coverage() -> None:
    assert lines_of("toxicity") == (
        "2.6 % of 600 prompts are toxic, says toxicity-screen@1; planted: 2.1 % (15 of 700)",
        "looked at 600 of 800 spans (75 %), 2.0 s behind",
    )


def test_grounding_counts_what_had_documents_and_shows_the_worst_sentence() -> None:
    assert lines_of("grounding") == (
        "25 % of 100 answers with documents go beyond them, says grounding@1; planted: 25 %",
        "“Later ones cost 79 euro.” (support 0.01, not in them: 79)",
        "nearest in the documents: “It is free.”",
        "looked at 600 of 800 spans (75 %), 2.0 s behind",
    )


def test_quality_tells_refusals_and_languages() -> None:
    first, second, _ = lines_of("quality")
    assert first == "2.1 % of 600 answers refuse; planted: 1.7 %"
    assert second == "2.0 % of 400 answers of sure language are in another than the question; planted: 1.1 % of all"


def test_drift_says_what_is_new() -> None:
    assert lines_of("drift") == (
        "prompts of support-assistant, up to 12:00:55: the last 10s score 9.6, above the threshold 6.2 that holds for 28 looks",
        "MMD 0.140, between 0.100 and 0.180, of 90 texts; it began about 12:00:45",
        "planted: 20 % of questions about theft and insurance, from 12:00:45 on",
        "new: “My bicycle was stolen 0”",
        "new: “My bicycle was stolen 1”",
        "new: “My bicycle was stolen 2”",
        "a group of similar ones: 21 % now, 0.0 % in the reference",
        "looked at 600 of 800 spans (75 %), 2.0 s behind",
    )


def test_other_streams_are_told_shortly_and_slices_by_model_are_not() -> None:
    found = survey(looks=(look("completion", release="v2"), look(model="gpt-4o-mini"), look(verdict="no-drift")))
    drifts = [finding for finding in findings_of(found) if finding.title == "drift"]
    assert [(finding.name, len(finding.lines)) for finding in drifts] == [
        ("drift of completions of support-assistant on v2", 2)
    ]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("toxicity", {"analyzers": {**survey().analyzers, "toxicity": analyzer() | {"coverage": None}}}),
        ("toxicity", {"analyzers": {**survey().analyzers, "toxicity": analyzer(looked_at=10)}}),
        ("toxicity", {"shares": {**survey().shares, "toxicity.prompt_share": Share(0.0, "x")}}),
        ("grounding", {"unsupported": None}),
        ("grounding", {"shares": {**survey().shares, "grounding.unsupported_share": Share(None, "")}}),
        ("quality", {"shares": {**survey().shares, "quality.refusal_share": Share(None, "")}}),
        ("drift", {"looks": ()}),
    ],
)
def test_nothing_is_told_before_there_is_enough(name: str, changed: dict[str, Any]) -> None:
    assert name not in {finding.name for finding in findings_of(survey(**changed))}


def test_an_analyzer_that_found_nothing_in_time_is_named_with_its_error() -> None:
    late = survey(
        now=BEGAN + timedelta(seconds=LIMITS_S["toxicity"] + 1),
        analyzers={"toxicity": analyzer() | {"last_error": "the model cannot be loaded: install it"}},
    )
    assert overdue(late, [], BEGAN, healthy=True) == "toxicity found nothing within 180 s of what was planted: " + (
        "the model cannot be loaded: install it"
    )
    assert overdue(late, ["toxicity", "grounding", "quality"], BEGAN, healthy=True) is None


def test_of_a_drift_found_by_novelty_the_texts_that_are_like_nothing_before_are_shown() -> None:
    found = findings_of(survey(looks=(look(novelty={"decisive": True}),)))
    (finding,) = [each for each in found if each.name == "drift"]
    assert any("Colourless green ideas" in line for line in finding.lines)


def test_drift_is_late_only_after_something_new_was_asked() -> None:
    told = ["toxicity", "grounding", "quality"]
    later = survey(now=NEW + timedelta(seconds=LIMITS_S["drift"] + 1))
    assert "drift found nothing" in (overdue(later, told, BEGAN, healthy=False) or "")
    nothing_new = survey(now=later.now, support=Truth(Counter({"usual": 600}), {"usual": BEGAN}))
    assert overdue(nothing_new, told, BEGAN, healthy=False) is None
    assert overdue(survey(now=NOW), told, BEGAN, healthy=False) is None


def test_who_is_far_behind_is_given_time_and_said_to_be() -> None:
    told = ["toxicity", "quality", "drift"]
    behind = analyzer() | {"lag_s": 120.0}
    late = survey(
        now=BEGAN + timedelta(seconds=LIMITS_S["grounding"] + 1), analyzers={**survey().analyzers, "grounding": behind}
    )
    assert overdue(late, told, BEGAN, healthy=True) is None
    assert waiting_for(late, ["toxicity", "grounding"]) == "waiting for toxicity and grounding (120.0 s behind)"
    assert waiting_for(survey(), ["toxicity", "grounding", "drift"]) == "waiting for toxicity, grounding and drift"
    caught_up = {"grounding": late.now - timedelta(seconds=20)}
    since = survey(now=late.now)
    assert overdue(since, told, BEGAN, caught_up, healthy=True) is None
    assert "found nothing" in (overdue(since, told, BEGAN, healthy=True) or "")
    broken = {**survey().analyzers, "grounding": behind | {"last_error": "no model"}}
    assert "no model" in (overdue(survey(now=late.now, analyzers=broken), told, BEGAN, healthy=True) or "")
    never = survey(now=BEGAN + timedelta(seconds=PATIENCE_S + 1), analyzers=late.analyzers)
    assert "within 600 s" in (overdue(never, told, BEGAN, healthy=True) or "")


def test_any_drift_in_the_healthy_story_is_a_false_alarm() -> None:
    assert "completions of support-assistant" in (false_alarm(survey(looks=(look("completion"),)), healthy=True) or "")
    assert false_alarm(survey(looks=(look(verdict="no-drift"),)), healthy=True) is None


def test_in_the_other_story_only_what_was_called_too_early_is_one() -> None:
    early = look(time=(NEW - timedelta(seconds=5)).isoformat())
    assert "although nothing has changed" in (false_alarm(survey(looks=(early,)), healthy=False) or "")
    assert false_alarm(survey(), healthy=False) is None
    assert false_alarm(survey(looks=(look("completion", release="v2", time=BEGAN.isoformat()),)), healthy=False) is None


def test_calm_means_that_somebody_looked() -> None:
    quiet = look(verdict="no-drift")
    assert calm_since(survey(looks=(quiet,)), NEW)
    assert not calm_since(survey(looks=(quiet,)), NOW)
    assert not calm_since(survey(looks=(look(verdict="collecting-reference"),)), NEW)


def test_coverage_before_anything_was_looked_at() -> None:
    begun = survey(analyzers={"drift": analyzer() | {"coverage": None, "lag_s": None}})
    assert coverage_line(begun, "drift") == "nothing looked at yet, not begun"


def test_shares_have_a_decimal_below_ten_percent() -> None:
    assert [percent(share) for share in (None, 0.0, 0.0314, 0.0996, 0.25)] == ["?", "0.0 %", "3.1 %", "10 %", "25 %"]


def test_a_quote_fits_into_a_line() -> None:
    assert quote("a\n b") == "a b"
    assert len(quote("x" * 500)) == 110
