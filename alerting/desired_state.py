"""How the desired state of a target changes: pure functions from one state to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from alerting.refusals import TargetRefusedError
from storage.targets import Target

WHOLE = 100.0
DIGITS = 6

# A release becomes the last known good one when it carried all traffic for this long and was replaced without having
# been rolled back: a hotfix promoted minutes after a bad release must not make that one "good".
KNOWN_GOOD_AFTER = timedelta(hours=1)


def promote(target: Target, release: str, weight: float, *, rolled_back: bool, now: datetime) -> Target:
    """The state after giving `release` `weight` percent; the others share the rest in their present proportions.

    `rolled_back` says whether a rollback ever undid the release that carries all traffic now.

    Raises:
        TargetRefusedError: the weight is out of range, or nothing else could carry the rest.
    """
    weights = shifted(target.weights, release, weight)
    if release == target.current:
        return replace(target, weights=weights, kind="promotion")
    return replace(
        target,
        weights=weights,
        current=release,
        previous=_replaced(target, release),
        last_known_good=_known_good(target, rolled_back=rolled_back, now=now),
        kind="promotion",
    )


def restore(target: Target, release: str) -> Target:
    """The state after a rollback: all traffic on `release`, and no predecessor to go back to by itself."""
    return replace(target, weights={release: WHOLE}, current=release, previous=None, kind="rollback")


def shifted(weights: Mapping[str, float], release: str, weight: float) -> dict[str, float]:
    """Weights with `release` at `weight` percent; they add up to exactly 100 at six digits.

    Raises:
        TargetRefusedError: see `promote`.
    """
    if not 0 < weight <= WHOLE:
        raise TargetRefusedError("invalid_weight", f"weight is {weight:g}: give a percentage above 0 and up to 100")
    others = {name: share for name, share in weights.items() if name != release}
    rest = round(WHOLE - weight, DIGITS)
    if not rest:
        return {release: WHOLE}
    if not others:
        raise TargetRefusedError(
            "invalid_weight", f"no other release could carry the remaining {rest:g} %: promote {release} with weight 100"
        )
    total = sum(others.values())
    result = {name: round(rest * share / total, DIGITS) for name, share in others.items()}
    result = {name: share for name, share in result.items() if share > 0}
    result[release] = round(WHOLE - sum(result.values()), DIGITS)
    return result


def _replaced(target: Target, release: str) -> str | None:
    """The release with the largest share; None where it is `release` itself, which then replaces nothing."""
    if not target.weights:
        return None
    largest = max(target.weights, key=lambda name: (target.weights[name], name == target.current))
    return None if largest == release else largest


def _known_good(target: Target, *, rolled_back: bool, now: datetime) -> str | None:
    alone = target.current is not None and dict(target.weights) == {target.current: WHOLE}
    if alone and not rolled_back and now - target.changed_at >= KNOWN_GOOD_AFTER:
        return target.current
    return target.last_known_good
