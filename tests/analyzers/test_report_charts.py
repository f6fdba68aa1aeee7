"""Marks of the report's charts."""

from __future__ import annotations

import re

import pytest

from analyzers.report.charts import trend

SIX = [10.0, 20.0, 30.0, 40.0, 20.0, 10.0]


def paths(drawing: str, css: str) -> list[str]:
    return re.findall(rf'<path class="{css}" d="([^"]*)"', drawing)


def places(path: str) -> list[float]:
    return [float(x) for x in re.findall(r"[ML]([0-9.]+) ", path)]


def test_a_line_is_dashed_to_and_from_the_steps_that_are_cut() -> None:
    drawing = trend(SIX, [None] * 6, "Cost", "", cut=[0, 5])
    xs = [100 * (step + 0.5) / 6 for step in range(6)]
    [whole] = paths(drawing, "now")
    assert places(whole) == pytest.approx(xs[1:5], abs=0.01)
    assert [places(path) for path in paths(drawing, "now cut")] == [
        pytest.approx(xs[:2], abs=0.01),
        pytest.approx(xs[4:], abs=0.01),
    ]


def test_nothing_is_dashed_where_nothing_is_cut() -> None:
    drawing = trend(SIX, SIX, "Cost", "")
    assert len(paths(drawing, "now")) == len(paths(drawing, "before")) == 1
    assert "cut" not in drawing


def test_a_cut_step_beside_a_gap_is_a_point_and_without_data_nothing() -> None:
    drawing = trend([5.0, None, 5.0, None], [None] * 4, "Cost", "", cut=[0, 3])
    assert places(*paths(drawing, "now cut dot")) == pytest.approx([12.5])
    assert places(*paths(drawing, "now dot")) == pytest.approx([62.5])
    assert drawing.count('class="gap"') == 2
