"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.evidence import Evidence
from schemas.metrics import find_metric


def effect_text(evidence: Evidence) -> str:
    """+58 % for a relative change, +2.1 points for a difference of shares, -0.12 for one of scores."""
    return size_text(evidence.metric, evidence.effect)


def interval_text(evidence: Evidence) -> str:
    """+31 % to +90 % (99.98 %)."""
    if evidence.interval_low is None or evidence.interval_high is None:
        return "unknown"
    low, high = size_text(evidence.metric, evidence.interval_low), size_text(evidence.metric, evidence.interval_high)
    return f"{low} to {high} ({confidence_text(evidence.confidence)})"


def confidence_text(confidence: float) -> str:
    """Two digits of what is left to certainty: 99.95 %, 95 %."""
    left = float(f"{(1 - confidence) * 100:.2g}")
    return f"{100 - left:.10g} %"


def summary(evidence: Sequence[Evidence]) -> str:
    """What the comparisons say, one clause a metric."""
    return "; ".join(f"{item.metric}: {item.reason}" for item in evidence)


def size_text(metric: str, effect: float | None) -> str:
    """A change of a metric, in the form that its scale has."""
    if effect is None:
        return "unknown"
    scale = find_metric(metric).scale
    if scale == "linear":
        return f"{effect:+.3g}"
    if scale == "rate":
        return f"{effect * 100:+.1f} points"
    return f"{effect * 100:+.0f} %" if abs(effect) < 10 else f"×{1 + effect:.1f}"
