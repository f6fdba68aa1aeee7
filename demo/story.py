"""The two stories: a release that gets longer and dearer, and one that is as good as the one before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo.observer import Observer
from demo.releases import BASELINE, CANDIDATE, TARGET, content_of
from demo.screen import Screen
from demo.timeline import (
    LIMITS_S,
    Event,
    Saving,
    Step,
    comparison_line,
    disturbance_of,
    events_of,
    failure_of,
    overdue,
    saving_of,
    seconds_since_first_span,
)
from demo.watch import Snapshot, Watch

LOOK_EVERY_S = 0.3
TRAFFIC_LIMIT_S = 60.0
GUARDED = ("cost.usd", "tokens.output", "latency", "errors.rate")


class StoryError(Exception):
    """A step did not happen, or happened wrongly."""


@dataclass(frozen=True)
class Pace:
    """How long things take: traffic on v1 alone, and how long an equal v2 is watched."""

    baseline_s: float = 40.0
    healthy_s: float = 60.0
    healthy_requests: int = 300


class Storyteller:
    """Plays one story. `alive` raises when a process of the demo is gone."""

    def __init__(self, watch: Watch, observer: Observer, screen: Screen, pace: Pace, alive: Callable[[], None]) -> None:
        self._watch = watch
        self._observer = observer
        self._screen = screen
        self._pace = pace
        self._alive = alive

    async def prepare(self, wording: str) -> datetime:
        """Register both releases, promote v1; when that was."""
        await self._watch.register(BASELINE, content_of("v1"))
        await self._watch.register(CANDIDATE, content_of(wording))
        self._screen.entry("releases", f"{BASELINE} and {CANDIDATE} of {TARGET} are registered, {BASELINE} is promoted")
        return await self._watch.promote(BASELINE)

    async def baseline(self, since: datetime) -> None:
        """Wait until v1 has served for a while.

        Raises:
            StoryError: there is no traffic.
        """
        self._screen.title(f"Timeline, in seconds after {BASELINE} was promoted: it serves alone")
        begun = time.monotonic()
        first: float | None = None
        while first is None or time.monotonic() - first < self._pace.baseline_s:
            self._alive()
            served = (await self._watch.requests(since)).get(BASELINE, 0)
            now = time.monotonic()
            if served and first is None:
                first = now
            if first is None and now - begun > TRAFFIC_LIMIT_S:
                raise StoryError(f"no request of {BASELINE} was visible within {TRAFFIC_LIMIT_S:g} s")
            left = self._pace.baseline_s - (now - first) if first is not None else self._pace.baseline_s
            self._screen.progress(f"{BASELINE} serves alone: {served} requests so far, {max(left, 0):.0f} s to go")
            await self._observer.look(since, since)
            await asyncio.sleep(1)
        self._screen.entry("baseline", f"{served} requests of {BASELINE} in {self._pace.baseline_s:g} s")

    async def regress(self, since: datetime) -> dict[str, Any]:
        """Promote the v2 that makes answers longer, and follow what happens to it; the measured figures.

        Raises:
            StoryError: a step went wrong or did not come in time.
        """
        promoted = await self._promote("its prompt asks for thorough answers")
        told: dict[Step, Event] = {}
        while len(told) < len(LIMITS_S) or self._observer.missing(promoted):
            snapshot = await self._look(promoted)
            for event in events_of(snapshot):
                if event.step not in told:
                    told[event.step] = event
                    self._screen.event(event, (event.at - promoted).total_seconds())
            problem = failure_of(snapshot) or overdue(told, _elapsed_s(promoted))
            if problem is not None:
                raise StoryError(problem)
            await self._observer.look(since, promoted)
            self._screen.progress(self._progress(snapshot, told, promoted))
            await asyncio.sleep(LOOK_EVERY_S)
        return await self._account(since, promoted, told)

    async def stay_calm(self, since: datetime) -> dict[str, Any]:
        """Promote an equal v2 and see that nothing happens; the figures of the comparison.

        Raises:
            StoryError: something happened.
        """
        promoted = await self._promote("other words, same behaviour")
        while True:
            snapshot = await self._look(promoted)
            problem = disturbance_of(snapshot)
            if problem is not None:
                raise StoryError(problem)
            served, elapsed_s = snapshot.requests.get(CANDIDATE, 0), _elapsed_s(promoted)
            await self._observer.look(since, promoted)
            missing = self._observer.missing(promoted)
            if elapsed_s >= self._pace.healthy_s and served >= self._pace.healthy_requests and not missing:
                break
            if elapsed_s > self._pace.healthy_s + 10 * TRAFFIC_LIMIT_S:
                waited = f", and {' and '.join(missing)} said nothing" if missing else ""
                raise StoryError(f"{CANDIDATE} served {served} requests; {self._pace.healthy_requests} are needed{waited}")
            self._screen.progress(f"no alert after {elapsed_s:.0f} s and {served} requests of {CANDIDATE}")
            await asyncio.sleep(LOOK_EVERY_S)
        self._screen.line(
            f"  {elapsed_s:+6.1f} s  no alert, no message, no rollback, no drift: {served} requests of {CANDIDATE}", "green"
        )
        return {"watched_s": round(elapsed_s, 1), "requests": served, "comparisons": await self._compare(since)}

    async def _promote(self, why: str) -> datetime:
        self._screen.title(f"Timeline, in seconds after {CANDIDATE} was promoted ({why})")
        return await self._watch.promote(CANDIDATE)

    async def _look(self, promoted: datetime) -> Snapshot:
        self._alive()
        return await self._watch.look(promoted)

    def _progress(self, snapshot: Snapshot, told: dict[Step, Event], promoted: datetime) -> str:
        waiting = self._observer.waiting(promoted) if len(told) == len(LIMITS_S) else ""
        return waiting or _progress(snapshot, told)

    async def _account(self, since: datetime, promoted: datetime, told: dict[Step, Event]) -> dict[str, Any]:
        figures = seconds_since_first_span(list(told.values()))
        requests = await self._watch.requests(since)
        saving = saving_of(await self._watch.total("cost.usd", since), requests, _elapsed_s(since))
        self._screen.seconds(figures)
        self._screen.saving(saving, requests[CANDIDATE])
        return {"seconds": figures, "requests": requests, "saving": _saving(saving)}

    async def _compare(self, since: datetime) -> dict[str, Any]:
        """Nothing found means something only when there was something to be seen."""
        self._screen.title(f"{CANDIDATE} against {BASELINE}, as GET /v1/compare tells it")
        found = {}
        for metric in GUARDED:
            names = {"target": TARGET, "baseline": BASELINE, "candidate": CANDIDATE, "metric": metric}
            answer = await self._watch.get("/v1/compare", **names, **{"from": since.isoformat()})
            if answer["effect"] is None or answer["interval"] is None:
                raise StoryError(f"{metric} could not be compared, so that its calm says nothing: {answer['reason']}")
            low, high = answer["interval"]
            counts = {"n_candidate": answer["n"]["candidate"], "n_baseline": answer["n"]["baseline"]}
            self._screen.line("  " + comparison_line(answer | counts | {"interval_low": low, "interval_high": high}))
            found[metric] = {"effect": answer["effect"], "low": low, "high": high, "verdict": answer["verdict"]}
        return found


def _elapsed_s(since: datetime) -> float:
    return (datetime.now(UTC) - since).total_seconds()


def _progress(snapshot: Snapshot, told: dict[Step, Event]) -> str:
    counts = ", ".join(f"{count} of {release}" for release, count in sorted(snapshot.requests.items()))
    if snapshot.rollback is not None:
        doing = f"the rollback is {snapshot.rollback['state']}"
    else:
        doing = "the alert is out" if "regression" in told else f"{CANDIDATE} is being judged"
    return f"{doing}; requests since the promotion: {counts or 'none visible yet'}"


def _saving(saving: Saving) -> dict[str, float]:
    return {
        "baseline_usd_per_request": saving.baseline_usd,
        "candidate_usd_per_request": saving.candidate_usd,
        "requests_per_s": round(saving.requests_per_s, 2),
        "usd_per_hour": round(saving.usd_per_hour, 4),
    }
