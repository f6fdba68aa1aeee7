"""What was planted, as it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.planted import Planter, Truth, read_plantings


def test_what_is_noted_is_counted_and_dated(tmp_path: Path) -> None:
    file = tmp_path / "planted.jsonl"
    planter = Planter(file)
    for trace, kind in enumerate(["usual", "toxic", "usual", "new"]):
        planter.note(f"{trace:032x}", kind)
    truth = Truth.of_file(file)
    assert truth.counts == {"usual": 2, "toxic": 1, "new": 1}
    assert truth.share("toxic") == pytest.approx(0.25)
    assert truth.share("toxic", ("usual", "toxic")) == pytest.approx(1 / 3)
    assert truth.since["new"] == read_plantings(file)[3].at


def test_nothing_noted_yet_is_no_share(tmp_path: Path) -> None:
    assert Truth.of_file(tmp_path / "none.jsonl").share("toxic") is None


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    file = tmp_path / "planted.jsonl"
    Planter(file).note("a", "toxic")
    with file.open("a") as lines:
        lines.write('{"at": "2026')
    assert len(read_plantings(file)) == 1
