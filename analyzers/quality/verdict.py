"""What a check says about a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """A value, or None with the reason for abstaining. The other members are those of a score."""

    value: float | None = None
    flagged: bool | None = None
    label: str = ""
    reason: str = ""
    explanation: str = ""
    evidence: Sequence[Mapping[str, Any]] = ()


def abstained(reason: str, label: str = "") -> Verdict:
    """No judgement, because of `reason`; never a zero."""
    return Verdict(reason=reason, label=label)


def judged(flagged: bool, label: str = "", explanation: str = "", evidence: Sequence[Mapping[str, Any]] = ()) -> Verdict:
    """A yes or no: value 1 or 0."""
    return Verdict(float(flagged), flagged, label, "", explanation, evidence)
