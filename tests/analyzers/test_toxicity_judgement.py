"""The verdict on a text from those on its windows."""

from __future__ import annotations

import json
import math

import pytest

from analyzers.embedding.windows import Window
from analyzers.toxicity.judgement import WindowScore, is_doubtful, judge

NAN = float("nan")


def score(start: int, screen: float, **classes: float) -> WindowScore:
    return WindowScore(Window(start, start + 10), screen, classes)


def test_the_worst_window_speaks_for_the_text() -> None:
    judged = judge([score(0, 0.1), score(10, 0.97), score(20, 0.3)], 30, 0.5)
    assert (judged.value, judged.flagged, judged.label) == (0.97, True, "toxicity")
    assert judged.evidence == ({"start": 10, "end": 20, "by": "screen", "screen": 0.97},)
    assert judged.explanation == ""


def test_the_big_model_overrules_the_screen() -> None:
    judged = judge([score(0, 0.6, toxicity=0.02, insult=0.01)], 10, 0.5)
    assert (judged.value, judged.flagged, judged.label) == (0.02, False, "")
    assert judged.evidence[0]["by"] == "detoxify"


def test_the_label_is_the_worst_specific_class() -> None:
    judged = judge([score(0, 0.6, toxicity=0.95, severe_toxicity=0.93, insult=0.7, threat=0.8)], 10, 0.5)
    assert judged.label == "threat"
    assert judge([score(0, 0.6, toxicity=0.95, insult=0.4)], 10, 0.5).label == "toxicity"


def test_obscene_alone_is_not_toxic() -> None:
    assert judge([score(0, 0.6, toxicity=0.3, obscene=0.9)], 10, 0.5).flagged is False


@pytest.mark.parametrize("scores", [[score(0, NAN)], [score(0, 0.5, toxicity=NAN)], [score(0, 0.1), score(10, NAN)]])
def test_no_number_is_never_zero(scores: list[WindowScore]) -> None:
    judged = judge(scores, 10 * len(scores), 0.5)
    assert (judged.value, judged.flagged, judged.reason) == (None, None, "not-a-number")


def test_a_toxic_window_suffices_beside_one_without_a_number() -> None:
    judged = judge([score(0, NAN), score(10, 0.9, toxicity=0.9, insult=NAN)], 20, 0.5)
    assert (judged.value, judged.flagged) == (0.9, True)
    json.dumps(judged.evidence, allow_nan=False)


def test_what_was_not_looked_at_is_said() -> None:
    assert "20 of 1000 characters" in judge([score(0, 0.1), score(990, 0.2)], 1_000, 0.5).explanation


def test_doubt_is_a_closed_band() -> None:
    asked = [each for each in (0.0, 0.05, 0.1, 0.5, 0.95, 0.96, math.nan) if is_doubtful(each, (0.1, 0.95))]
    assert asked[:3] == [0.1, 0.5, 0.95]
    assert math.isnan(asked[3])
    assert len(asked) == 4
