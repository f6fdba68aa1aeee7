"""The API over three weeks of made-up traffic, and what makes reports of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from analyzers.report.sources import Sources
from api.reporting import Reporter
from api.services import Services
from schemas.analysis import AnalysisSettings, ReportSettings


class MovedClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **length: float) -> None:
        self.now += timedelta(**length)


def with_report(services: Services, clock: MovedClock, **report: Any) -> Services:
    """Services with settings of the report, at the time of `clock`."""
    analysis = AnalysisSettings(report=ReportSettings(**report))
    return replace(services, settings=services.settings.model_copy(update={"analysis": analysis}), clock=clock)


def reporter(services: Services) -> Reporter:
    """What makes reports of `services`."""
    return Reporter(Sources(services.store, services.control, services.settings, services.clock, "test"))


def figures_in(data: Any) -> list[Mapping[str, Any]]:
    """Every figure anywhere in a report's JSON."""
    if isinstance(data, Mapping):
        own = [data] if {"metric", "labels", "value"} <= set(data) else []
        return own + [found for value in data.values() for found in figures_in(value)]
    if isinstance(data, list):
        return [found for value in data for found in figures_in(value)]
    return []
