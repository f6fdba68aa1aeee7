"""Signals of a rule, many at once."""

from __future__ import annotations

from alerting.comparator import Signal


def again(times: int, *signals: Signal) -> list[Signal]:
    """`signals`, so many times over."""
    return [*signals] * times
