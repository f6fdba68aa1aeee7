"""Replaying a rule over stored history: how often it would have fired, had it been enabled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from alerting.observation import Observation
from alerting.promotions import Generation, Promotion, promotion_of, read_history
from alerting.reach import Analyzed, reach
from alerting.records import timing_of
from alerting.states import AlertState, decide, initial
from alerting.threshold import observe_threshold
from alerting.watch import ReleaseWatch, in_trial, watched_targets
from schemas.metrics import find_metric
from schemas.rules import RegressionRule, Rule, ThresholdRule
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase

MAX_EVALUATIONS = 500
LOOKS_AT_A_PROMOTION = 40
FIRST_LOOK = timedelta(seconds=4)


@dataclass(frozen=True)
class Firing:
    """One alert that would have been; `resolved_at` None: it would still fire at the end."""

    labels: dict[str, str]
    fired_at: datetime
    resolved_at: datetime | None
    reason: str


@dataclass(frozen=True)
class Backtest:
    """What a replay found. `step` is the time between evaluations of a threshold; releases are looked at ever more rarely."""

    start: datetime
    end: datetime
    step: timedelta
    evaluations: int
    observations: int
    firings: tuple[Firing, ...]


async def backtest(
    store: ClickHouseStore,
    control: ControlDatabase,
    rule: Rule,
    project: str,
    start: datetime,
    end: datetime,
    every: timedelta,
    analyzed: Analyzed | None = None,
) -> Backtest:
    """Replay a rule from `start` to `end`, in steps of `every` or as many as `MAX_EVALUATIONS` allow.

    Raises:
        StoreError, QueryError: history cannot be read.
    """
    if isinstance(rule, RegressionRule):
        return await _replay_releases(ReleaseWatch(store, control, analyzed), control, rule, project, start, end)
    known_to = await reach(find_metric(rule.metric), end, analyzed)
    return await _replay_threshold(store, rule, project, start, max(start, known_to or start), every)


async def _replay_threshold(
    store: ClickHouseStore, rule: ThresholdRule, project: str, start: datetime, end: datetime, every: timedelta
) -> Backtest:
    step = max(every, (end - start) / MAX_EVALUATIONS)
    replay = Replay(rule, step)
    at = start + step
    while at <= end:
        replay.see(await observe_threshold(store, rule, project, at, replay.identities))
        at += step
    return replay.result(start, end)


async def _replay_releases(
    watch: ReleaseWatch, control: ControlDatabase, rule: RegressionRule, project: str, start: datetime, end: datetime
) -> Backtest:
    trials = await control.read(lambda connection: past_trials(connection, rule, project, end))
    looks = [(promotion, at) for promotion, until in trials for at in look_times(promotion, start, min(until, end))]
    due = [(promotion, at) for promotion, at in looks if in_trial(rule, promotion, at, ())]
    every = -(-len(due) // MAX_EVALUATIONS) or 1
    replay = Replay(rule, timedelta(0))
    for promotion, at in due[::every]:
        replay.see([await watch.judge(rule, project, promotion, at)])
    return replay.result(start, end)


def past_trials(connection: Connection, rule: RegressionRule, project: str, end: datetime) -> list[tuple[Promotion, datetime]]:
    """Every trial of the rule's targets that began before `end`, and when the next generation ended it."""
    found = []
    for target in watched_targets(connection, rule, project):
        history = read_history(connection, project, target)
        for place, generation in enumerate(history):
            promotion = promotion_of(target, history[place:], rule.baseline)
            if promotion is not None and generation.at < end:
                found.append((promotion, _ended(history, place, end)))
    return found[::-1]


def look_times(promotion: Promotion, start: datetime, until: datetime) -> list[datetime]:
    """Moments at which a release is looked at: close together when it is fresh, ever further apart later."""
    length = until - promotion.promoted_at
    if length <= FIRST_LOOK:
        return []
    growth = (length / FIRST_LOOK) ** (1 / (LOOKS_AT_A_PROMOTION - 1))
    times = [promotion.promoted_at + FIRST_LOOK * growth**number for number in range(LOOKS_AT_A_PROMOTION)]
    return [at for at in times if start <= at <= until + timedelta(milliseconds=1)]


def _ended(history: Sequence[Generation], place: int, end: datetime) -> datetime:
    return history[place - 1].at if place else end


class Replay:
    """The state machines of one rule over a replay."""

    def __init__(self, rule: Rule, step: timedelta) -> None:
        self._step = step
        self._timing = timing_of(rule)
        if step > self._timing.patience:  # the replay is coarser than the rule: what lies between two looks counts as watched
            self._timing = replace(self._timing, patience=step)
        self._states: dict[str, AlertState] = {}
        self._open: dict[str, Firing] = {}
        self._done: list[Firing] = []
        self._evaluations = 0
        self._observations = 0
        self.identities: list[dict[str, str]] = []

    def see(self, observations: Sequence[Observation]) -> None:
        """Take in one evaluation."""
        self._evaluations += 1
        for observation in observations:
            self._observations += 1
            self._decide(observation)

    def _decide(self, observation: Observation) -> None:
        key = observation.fingerprint
        if key not in self._states:
            self._states[key] = initial(observation.at)
            self.identities.append(dict(observation.identity))
        decision = decide(self._timing, self._states[key], observation.signal, observation.at)
        self._states[key] = decision.state
        if "firing" in decision.transitions:
            self._open[key] = Firing(dict(observation.identity), observation.at, None, observation.reason)
        if "resolved" in decision.transitions:
            self._done.append(replace(self._open.pop(key), resolved_at=observation.at))

    def result(self, start: datetime, end: datetime) -> Backtest:
        """What was found."""
        firings = sorted([*self._done, *self._open.values()], key=lambda firing: firing.fired_at)
        return Backtest(start, end, self._step, self._evaluations, self._observations, tuple(firings))
