"""What moves open rollbacks on: calls executors, looks at gateways and at new spans."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from alerting.executors import ExecutionError, Executor, Order
from alerting.rollback_state import (
    GATEWAY_ACTIVE,
    RECENT,
    RETRY_AFTER_S,
    MetricState,
    Step,
    Timing,
    judge_proof,
    judge_propagation,
    restored,
    superseded,
)
from alerting.rollback_steps import RollbackSteps
from storage.clickhouse import StoreError
from storage.control import ControlDatabase
from storage.rollbacks import Rollback, claim, read_open
from storage.targets import Target, read_pollers, read_target

_log = structlog.get_logger("rollback")

EXECUTE_WITHIN_S = 45.0
# Longer than any executor's call may take.
CLAIM_FOR = timedelta(seconds=60)

# Spans by release of requests of a target that began at a moment or later: (project, target, since).
ReleaseShare = Callable[[str, str, datetime], Awaitable[Mapping[str, int]]]
# Whether the breached metric is back on the restored release, from requests that began at a moment or later.
Recovery = Callable[[Rollback, datetime], Awaitable[MetricState]]


class RollbackWorker:
    """Advances rollbacks of every project; several processes may do so at once."""

    def __init__(
        self,
        control: ControlDatabase,
        steps: RollbackSteps,
        timing: Timing,
        *,
        executors: Mapping[str, Executor],
        release_share: ReleaseShare,
        recovery: Recovery,
    ) -> None:
        self._control = control
        self._steps = steps
        self._timing = timing
        self._executors = executors
        self._release_share = release_share
        self._recovery = recovery
        self._owner = secrets.token_hex(8)

    async def run_once(self, now: datetime) -> int:
        """Advance every open rollback by at most one step; how many advanced."""
        advanced = 0
        for rollback, generation in await self._control.read(read_open):
            try:
                advanced += await self._advance(rollback, generation, now)
            except Exception as error:  # one rollback that cannot go on must not hold up the others; logged with its trace
                _log.error("rollback_step_failed", rollback=rollback.id, state=rollback.state, exc_info=error)
        return advanced

    async def _advance(self, rollback: Rollback, generation: int, now: datetime) -> bool:
        step = superseded(rollback, generation)
        if step is None and rollback.state == "executing":
            return await self._carry_out(rollback, now)
        if step is None:
            step = await self._look(rollback, now)
        if step is None:
            return False
        final = step
        return await self._control.write(lambda connection: self._steps.step(connection, rollback, final, now))

    async def _look(self, rollback: Rollback, now: datetime) -> Step | None:
        if rollback.state == "propagating":
            return await self._look_at_gateways(rollback, now)
        if rollback.state == "verifying":
            return await self._look_at_proof(rollback, now)
        return None

    async def _look_at_gateways(self, rollback: Rollback, now: datetime) -> Step | None:
        assert rollback.executed_at is not None
        active_since = rollback.executed_at - GATEWAY_ACTIVE
        gateways = await self._control.read(
            lambda connection: read_pollers(connection, rollback.project, rollback.target, active_since)
        )
        recent = None if gateways else await self._spans(rollback, max(rollback.executed_at, now - RECENT))
        return judge_propagation(rollback, gateways, recent, self._timing, now)

    async def _look_at_proof(self, rollback: Rollback, now: datetime) -> Step | None:
        assert rollback.verify_from is not None
        spans = await self._spans(rollback, rollback.verify_from)
        metric = None
        if rollback.evidence is not None:
            metric = MetricState("not_yet", "too few spans to look at the metric", {})
            if restored(rollback, spans, self._timing):
                metric = await self._metric(rollback, rollback.verify_from)
        return judge_proof(rollback, spans, metric, self._timing, now)

    async def _spans(self, rollback: Rollback, since: datetime) -> Mapping[str, int] | None:
        try:
            return await self._release_share(rollback.project, rollback.target, since)
        except StoreError as error:
            _log.warning("release_share_unreadable", rollback=rollback.id, error=str(error))
            return None

    async def _metric(self, rollback: Rollback, since: datetime) -> MetricState:
        try:
            return await self._recovery(rollback, since)
        except StoreError as error:
            _log.warning("metric_unreadable", rollback=rollback.id, error=str(error))
            return MetricState("not_yet", "the trace store could not be read", {})
        except (LookupError, ValueError) as error:  # a metric that cannot be compared (any more) must end as unverified
            return MetricState("not_yet", f"the metric cannot be compared: {error}", {})

    async def _carry_out(self, rollback: Rollback, now: datetime) -> bool:
        """Call the executor under a claim, so that of two processes only one does."""
        until = now + CLAIM_FOR
        claimed = await self._control.write(lambda connection: claim(connection, rollback.id, self._owner, now, until))
        if claimed is None:
            return False
        target = await self._control.read(lambda connection: read_target(connection, claimed.project, claimed.target))
        assert target is not None
        after = await self._ask_executor(claimed, target, now)
        return await self._control.write(
            lambda connection: self._steps.finish_attempt(connection, claimed, after, self._owner, now)
        )

    async def _ask_executor(self, rollback: Rollback, target: Target, now: datetime) -> Rollback:
        """The rollback after this attempt: propagating, failed, or due again later."""
        executor = self._executors.get(target.executor)
        try:
            if executor is None:
                raise ExecutionError(f"there is no executor {target.executor!r}", permanent=True)
            await asyncio.wait_for(executor.execute(_order(rollback, target)), EXECUTE_WITHIN_S)
        except TimeoutError:
            return _after_failure(rollback, ExecutionError(f"no answer within {EXECUTE_WITHIN_S:g} s"), now)
        except ExecutionError as error:
            return _after_failure(rollback, error, now)
        return replace(
            rollback, state="propagating", state_reason=f"executor {target.executor} took the order", next_attempt_at=None
        )


def _after_failure(rollback: Rollback, error: ExecutionError, now: datetime) -> Rollback:
    attempts = rollback.attempts + 1
    if error.permanent or attempts > len(RETRY_AFTER_S):
        return replace(
            rollback,
            state="failed",
            state_reason=f"attempt {attempts}: {error}",
            attempts=attempts,
            next_attempt_at=None,
            finished_at=now,
        )
    due = now + timedelta(seconds=RETRY_AFTER_S[attempts - 1])
    return replace(rollback, state_reason=f"attempt {attempts}: {error}", attempts=attempts, next_attempt_at=due)


def _order(rollback: Rollback, target: Target) -> Order:
    assert rollback.generation is not None
    return Order(
        rollback_id=rollback.id,
        project=rollback.project,
        target=rollback.target,
        from_release=rollback.from_release,
        to_release=rollback.to_release,
        generation=rollback.generation,
        webhook=target.webhook,
    )
