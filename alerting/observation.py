"""What one evaluation of a rule found about one series or release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from alerting.comparator import Signal
from schemas.evidence import Evidence


@dataclass(frozen=True)
class Observation:
    """The input of a decision.

    `identity` are the labels that make it this alert and no other; `details` come on top of them in messages. `at` is the
    watermark it was made at. `generation` is that of the target, where there is one.
    """

    identity: Mapping[str, str]
    signal: Signal
    reason: str
    at: datetime
    value: float | None = None
    details: Mapping[str, str] | None = None
    evidence: tuple[Evidence, ...] = ()
    generation: int | None = None

    @property
    def fingerprint(self) -> str:
        """Thirty-two hexadecimal digits of the identity."""
        return fingerprint_of(self.identity)


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """The hash of a set of labels, whatever their order."""
    canonical = json.dumps(dict(labels), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
