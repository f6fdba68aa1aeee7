"""Follows the analyzers through the story: tells what they find as they find it, and what they should have found."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from demo.findings import (
    LIMITS_S,
    Analyzer,
    Finding,
    calm_since,
    coverage_line,
    false_alarm,
    findings_of,
    is_behind,
    overdue,
    waiting_for,
)
from demo.screen import Screen
from demo.survey import Survey, Surveyor

LOOK_EVERY_S = 1.0
NEEDED = tuple(LIMITS_S)
CALM_S = 20.0
"""In the healthy story drift must have looked at so many seconds of the new release's traffic."""


class ObserverError(Exception):
    """An analyzer found nothing in time, or found what is not there."""


class Observer:
    """`healthy`: nothing new is asked, so drift must find nothing."""

    def __init__(self, surveyor: Surveyor, screen: Screen, *, healthy: bool) -> None:
        self._surveyor = surveyor
        self._screen = screen
        self._healthy = healthy
        self._looked = float("-inf")
        self._latest: Survey | None = None
        self._behind: dict[str, datetime] = {}
        self.told: dict[str, Finding] = {}

    async def look(self, began: datetime, zero: datetime) -> None:
        """Tell what is new, in seconds after `zero`; at most once a second. `began`: the first request.

        Raises:
            ObserverError: something was found that is not there, or was not found in time.
        """
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        survey = self._latest = await self._surveyor.survey(began)
        problem = false_alarm(survey, healthy=self._healthy)
        for finding in findings_of(survey) if problem is None else []:
            if finding.name not in self.told:
                self.told[finding.name] = finding
                self._screen.finding(finding.title, finding.lines, (finding.at - zero).total_seconds())
        self._behind |= {name: survey.now for name in NEEDED if is_behind(survey, name)}
        problem = problem or overdue(survey, list(self.told), began, self._behind, healthy=self._healthy)
        if problem is not None:
            raise ObserverError(problem)

    def missing(self, promoted: datetime) -> list[Analyzer]:
        """The analyzers that are still to be heard of."""
        needed = [name for name in NEEDED if name not in self.told]
        if not self._healthy:
            return needed
        calm = self._latest is not None and calm_since(self._latest, promoted + timedelta(seconds=CALM_S))
        return [name for name in needed if name != "drift" or not calm]

    def waiting(self, promoted: datetime) -> str:
        """The same in words, with how far they are."""
        missing = self.missing(promoted)
        return waiting_for(self._latest, missing) if self._latest is not None and missing else ""

    def figures(self) -> dict[str, Any]:
        """What was found when, for machines."""
        return {name: {"at": finding.at.isoformat(), "lines": list(finding.lines)} for name, finding in self.told.items()}

    def coverage(self) -> list[tuple[str, str]]:
        """How much each analyzer looked at, as of the last look."""
        survey = self._latest
        return [] if survey is None else [(name, coverage_line(survey, name)) for name in NEEDED if name in survey.analyzers]
