"""Which analyzers there are: the built-in ones, and those that installed packages register.

A package registers one as an entry point of the group `tracewarden.analyzers`, under the name that `analysis.analyzers`
lists: a function that takes `Resources` and returns an `Analyzer`. The metrics of its scores are an entry point of the group
`tracewarden.metrics`: a sequence of `ScoreMetric`s, which every process registers, also one that runs no analyzers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from analyzers.contract import Analyzer
from analyzers.resources import Resources
from schemas.metrics import register_score_metrics

GROUP = "tracewarden.analyzers"
METRICS_GROUP = "tracewarden.metrics"

BUILT_IN = {
    "drift": "analyzers.drift.analyzer:create",
    "toxicity": "analyzers.toxicity.analyzer:create",
    "grounding": "analyzers.grounding.analyzer:create",
    "quality": "analyzers.quality.analyzer:create",
}

Factory = Callable[[Resources], Analyzer]


class UnknownAnalyzerError(ValueError):
    """No such analyzer is built in or registered; the message lists those that are."""


def create(name: str, resources: Resources) -> Analyzer:
    """The analyzer called `name`; its modules are imported only now.

    Raises:
        UnknownAnalyzerError: there is none, or an installed package registers a built-in name.
        ImportError: what it needs is not installed.
    """
    factory: Factory = _entry(name).load()
    return factory(resources)


def register_metrics() -> None:
    """Add what installed packages declare to the catalogue of metrics.

    Raises:
        DuplicateMetricError: a name is taken.
        ImportError: a package is broken.
    """
    for entry in entry_points(group=METRICS_GROUP):
        register_score_metrics(*entry.load())


def _entry(name: str) -> EntryPoint:
    registered = {each.name: each for each in entry_points(group=GROUP)}
    if name in BUILT_IN:
        return EntryPoint(name, BUILT_IN[name], GROUP)
    if name in registered:
        return registered[name]
    known = ", ".join(sorted({*BUILT_IN, *registered}))
    raise UnknownAnalyzerError(f"analysis.analyzers names {name!r}, which is not installed: use {known}")
