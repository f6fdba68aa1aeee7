"""Which stretches of time to compare two releases over, from how many requests of each there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerting.regression import Stretch

# Both releases are served in a step when the rarer one has this share of its requests.
SERVED_SHARE = 0.01
# They are compared side by side when this share of the candidate's requests lies in such steps.
BESIDE_SHARE = 0.5


@dataclass(frozen=True)
class Step:
    """Requests of both releases in one step of time."""

    start: datetime
    end: datetime
    baseline: int
    candidate: int

    @property
    def shared(self) -> bool:
        """Whether both releases answered."""
        return min(self.baseline, self.candidate) > SERVED_SHARE * (self.baseline + self.candidate)


@dataclass(frozen=True)
class Stretches:
    """What to compare; `concurrent`: side by side, over the same stretch."""

    baseline: Stretch
    candidate: Stretch
    concurrent: bool


def stretches_of(steps: Sequence[Step]) -> Stretches:
    """Side by side where the candidate mostly ran beside the baseline, else each release over its own time."""
    shared = [step for step in steps if step.shared]
    beside = sum(step.candidate for step in shared)
    if beside and beside >= BESIDE_SHARE * sum(step.candidate for step in steps):
        both = _hull(shared)
        return Stretches(both, both, concurrent=True)
    baseline = _hull([step for step in steps if step.baseline] or steps)
    candidate = _hull([step for step in steps if step.candidate] or steps)
    return Stretches(baseline, candidate, concurrent=False)


def _hull(steps: Sequence[Step]) -> Stretch:
    return Stretch(steps[0].start, steps[-1].end)
