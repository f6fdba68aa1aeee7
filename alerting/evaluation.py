"""Which evaluator a kind of rule has: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from alerting.observation import Observation
from alerting.reach import Analyzed
from alerting.threshold import identity_of, observe_threshold
from alerting.watch import ReleaseWatch
from schemas.rules import RegressionRule, Rule
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase


class Evaluator:
    """Evaluates rules of every kind, up to a given watermark; it writes nothing."""

    def __init__(self, store: ClickHouseStore, control: ControlDatabase, analyzed: Analyzed | None = None) -> None:
        self._store = store
        self._analyzed = analyzed
        self._watch = ReleaseWatch(store, control, analyzed)

    async def observe(
        self, rule: Rule, project: str, at: datetime, known: Sequence[Mapping[str, str]] = ()
    ) -> list[Observation]:
        """What the rule finds at `at`; `known` are the identities of its alerts that are not over.

        Raises:
            StoreError, QueryError, ControlError: it cannot be evaluated.
        """
        if isinstance(rule, RegressionRule):
            return await self._watch.observe(rule, project, at, known)
        return await observe_threshold(self._store, rule, project, at, known, self._analyzed)


def failed(rule: Rule, project: str, at: datetime, known: Sequence[Mapping[str, str]], reason: str) -> list[Observation]:
    """The observations of an evaluation that failed: one for each alert it would have looked at, else one for the rule."""
    base: Mapping[str, str] = {"alertname": rule.name, "project": project}
    if not isinstance(rule, RegressionRule):
        base = identity_of(rule, project, {})
    return [Observation(identity, "failed", reason, at) for identity in (known or [base])]


def is_kept(rule: Rule, state: Mapping[str, object]) -> bool:
    """Whether a stored state is looked at although nothing speaks of it: a series that fell silent, a release that left."""
    if isinstance(rule, RegressionRule):
        return state["phase"] in ("pending", "firing", "recovering") or bool(state["reported"])
    return True
