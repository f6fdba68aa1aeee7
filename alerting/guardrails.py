"""May this rollback be? Pure decisions that return a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.evidence import Evidence
from schemas.sections import RollbackSettings
from storage.rollbacks import Rollback
from storage.targets import Mode, Target

DAY = timedelta(days=1)
STRICTNESS: tuple[Mode, ...] = ("auto", "approve", "dry_run")


@dataclass(frozen=True)
class Limits:
    """What automatic rollbacks may do."""

    enabled: bool
    cooldown: timedelta
    max_per_day: int
    warm_up_samples: int


@dataclass(frozen=True)
class Wish:
    """What is asked for. Evidence comes with what a rule asks by itself; a person's wish has none to be judged."""

    to: str | None
    expected_generation: int | None
    evidence: Evidence | None

    @property
    def automatic(self) -> bool:
        """Whether no person asked for it."""
        return self.evidence is not None


@dataclass(frozen=True)
class Situation:
    """How things stand: the target, the releases it has, and its rollbacks that are open or were executed of late."""

    target: Target
    releases: frozenset[str]
    history: Sequence[Rollback]


@dataclass(frozen=True)
class Granted:
    """It may be: from which release to which, and why that one."""

    from_release: str
    to_release: str
    reason: str


@dataclass(frozen=True)
class Refused:
    """It must not be. `code` is stable; `detail` names the way out."""

    code: str
    detail: str


def limits_of(settings: RollbackSettings) -> Limits:
    """The limits that the settings state."""
    return Limits(
        enabled=settings.enabled,
        cooldown=timedelta(seconds=settings.cooldown_s),
        max_per_day=settings.max_per_day,
        warm_up_samples=settings.warm_up_samples,
    )


def strictest(*modes: Mode | None) -> Mode:
    """The most careful of the modes given: dry_run before approve before auto."""
    return max((mode for mode in modes if mode is not None), key=STRICTNESS.index)


def decide(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Granted | Refused:
    """Whether the rollback may be, and to which release. A person is bound by `ALWAYS` only."""
    for check in ALWAYS if not wish.automatic else (*ALWAYS, *AUTOMATIC):
        refused = check(wish, situation, limits, now)
        if refused is not None:
            return refused
    current, to = situation.target.current, destination(wish, situation.target)
    assert current is not None
    assert to is not None
    return Granted(current, to, _why(to, situation.target))


def destination(wish: Wish, target: Target) -> str | None:
    """The release to go back to: the one asked for, else the predecessor, else the last known good one."""
    return wish.to or target.previous or _other(target.last_known_good, target.current)


Check = Callable[[Wish, Situation, Limits, datetime], Refused | None]


def _generation_unchanged(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    target, expected = situation.target, wish.expected_generation
    if expected is None or expected == target.generation:
        return None
    detail = f"target {target.name} is at generation {target.generation}, not {expected}: read it again and decide anew"
    return Refused("generation_changed", detail)


def _something_to_undo(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    if situation.target.current is not None:
        return None
    return Refused("nothing_promoted", f"target {situation.target.name} has no promoted release: there is nothing to undo")


def _destination_known(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    target, to = situation.target, destination(wish, situation.target)
    if to is None:
        return Refused("no_predecessor", f"no release came before {target.current} on {target.name}: name one in `to`")
    if to not in situation.releases:
        known = ", ".join(sorted(situation.releases)[:10])
        return Refused("unknown_release", f"target {target.name} has no release {to!r}: it has {known}")
    return None


def _changes_something(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    target, to = situation.target, destination(wish, situation.target)
    if to != target.current:
        return None
    return Refused("already_current", f"{to} is the current release of {target.name}: name an earlier one in `to`")


def _none_under_way(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    busy: tuple[str, ...] = ("executing", "propagating")
    if wish.automatic:
        busy = (*busy, "verifying", "awaiting_approval")
    for rollback in situation.history:
        if rollback.state in busy:
            return Refused(
                "in_progress",
                f"rollback {rollback.id} is {rollback.state}: wait for it, or promote the release that you want",
            )
    return None


def _not_switched_off(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    if limits.enabled:
        return None
    return Refused("switched_off", "automatic rollbacks are switched off (rollback.enabled is false)")


def _data_present(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    evidence = wish.evidence
    assert evidence is not None
    low, high = evidence.interval_low, evidence.interval_high
    if evidence.effect is None or low is None or high is None:
        return Refused("inconclusive", f"the data say nothing about {evidence.metric}: {evidence.reason}")
    if low <= 0 <= high:
        return Refused("inconclusive", f"no change of {evidence.metric} is still possible (interval {low:.3g} to {high:.3g})")
    return None


def _warmed_up(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    evidence = wish.evidence
    assert evidence is not None
    samples = min(evidence.n_candidate, evidence.n_baseline)
    if samples >= limits.warm_up_samples:
        return None
    return Refused("warm_up", f"{samples} requests per release were seen, {limits.warm_up_samples} are needed")


def _undoes_current_promotion(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    target, evidence = situation.target, wish.evidence
    assert evidence is not None
    if evidence.target != target.name:
        return Refused("wrong_target", f"the evidence is about {evidence.target}, not {target.name}")
    if evidence.generation != target.generation:
        detail = f"the evidence is of generation {evidence.generation}, the target is at {target.generation} by now"
        return Refused("generation_changed", detail)
    if target.kind != "promotion" or evidence.candidate != target.current:
        detail = f"only the current promotion may be undone automatically, and {evidence.candidate} is not it"
        return Refused("not_current_promotion", detail)
    return None


def _goes_back(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    target, to = situation.target, destination(wish, situation.target)
    if to in (target.previous, target.last_known_good):
        return None
    return Refused(
        "not_predecessor",
        f"an automatic rollback of {target.name} may go to {target.previous} (before) or {target.last_known_good} "
        f"(last known good) only, not to {to}",
    )


def _not_on_unproven(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    executed = _executed(situation.history)
    if not executed:
        return None
    latest = max(executed, key=lambda rollback: rollback.executed_at or now)
    if latest.state == "succeeded":
        return None
    on_top = latest.generation == situation.target.generation or latest.to_release == destination(wish, situation.target)
    if not on_top:
        return None
    return Refused(
        "unproven_rollback",
        f"the last rollback ({latest.id} to {latest.to_release}) is {latest.state}: a person has to look at it first",
    )


def _cooled_down(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    for rollback in _executed(situation.history):
        assert rollback.executed_at is not None
        if now - rollback.executed_at < limits.cooldown:
            until = (rollback.executed_at + limits.cooldown).isoformat(timespec="seconds")
            return Refused("cool_down", f"rollback {rollback.id} was at {rollback.executed_at:%H:%M:%S} UTC: next at {until}")
    return None


def _within_day_limit(wish: Wish, situation: Situation, limits: Limits, now: datetime) -> Refused | None:
    counted = [
        rollback
        for rollback in _executed(situation.history)
        if rollback.automatic and rollback.executed_at is not None and now - rollback.executed_at < DAY
    ]
    if len(counted) < limits.max_per_day:
        return None
    return Refused(
        "day_limit", f"{len(counted)} automatic rollbacks of {situation.target.name} in 24 h, {limits.max_per_day} are allowed"
    )


ALWAYS: tuple[Check, ...] = (
    _generation_unchanged,
    _something_to_undo,
    _destination_known,
    _changes_something,
    _none_under_way,
)

AUTOMATIC: tuple[Check, ...] = (
    _not_switched_off,
    _data_present,
    _warmed_up,
    _undoes_current_promotion,
    _goes_back,
    _not_on_unproven,
    _cooled_down,
    _within_day_limit,
)


def _executed(history: Sequence[Rollback]) -> list[Rollback]:
    return [rollback for rollback in history if rollback.executed_at is not None]


def _other(release: str | None, current: str | None) -> str | None:
    return None if release == current else release


def _why(to: str, target: Target) -> str:
    if to == target.previous:
        return f"{to} is what {target.current} replaced"
    if to == target.last_known_good:
        return f"{to} is the last known good release"
    return f"{to} was asked for"
