"""The numbers of a comparison in words. The caller names metric, release and the subject before them."""

from typing import Literal

Scale = Literal["log", "linear", "rate"]
"""Relative changes (from arms of logarithms), differences in the metric's unit, differences of rates."""


def too_few(n_baseline: int, n_candidate: int, needed: int) -> str:
    return f"not enough data: {counts(n_baseline, n_candidate)}, and each release needs {needed}"


def not_finite(scale: Scale) -> str:
    cause = " (zero and negative values have no logarithm: leave them out of the query)" if scale == "log" else ""
    return f"a mean or a variance is not a finite number{cause}"


def counts(n_baseline: int, n_candidate: int) -> str:
    return f"n = {n_candidate} against {n_baseline} of the baseline"


def change(effect: float, scale: Scale) -> str:
    """'58 % higher', '3.1 points lower', 'unchanged'."""
    if effect == 0:
        return "unchanged"
    return f"{size(abs(effect), scale)} {'higher' if effect > 0 else 'lower'}"


def span(low: float, high: float, alpha: float, scale: Scale) -> str:
    """The interval with its level; without spread in the data there is none to speak of."""
    if low == high:
        return "every value alike in each release"
    level = 100 - 100 * float(f"{alpha:.2g}")
    return f"{level:.12g} % anytime-valid interval {signed(low, scale)} to {signed(high, scale)}"


def signed(effect: float, scale: Scale) -> str:
    """'+41 %', '-3.1 points'."""
    return f"{'-' if effect < 0 else '+'}{size(abs(effect), scale)}"


def size(magnitude: float, scale: Scale) -> str:
    if scale == "linear":
        return f"{magnitude:.4g}"
    return f"{_three_digits(100 * magnitude)} {'%' if scale == 'log' else 'points'}"


def _three_digits(number: float) -> str:
    for bound, digits in ((0.995, 2), (9.95, 1), (1e6, 0)):
        if number < bound:
            return f"{number:.{digits}f}"
    return f"{number:.1e}"
