"""One line of the evaluation's tables."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A figure that was measured, and the bar that it should reach."""

    what: str
    figure: str
    value: str
    bar: str = ""
