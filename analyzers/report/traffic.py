"""Volume, errors, latency, tokens and cost: of the project, its services and their releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzers.report.data import Figure, ReleaseRow, ServiceRow, Traffic
from analyzers.report.figures import Figures, Labels
from storage.scope import QueryError

OVERVIEW = (
    "requests.count",
    "errors.rate",
    "latency.p95",
    "cost.usd",
    "tokens.input",
    "tokens.output",
    "time_to_first_token.p50",
)
PER_SERVICE = ("requests.count", "errors.rate", "latency.p50", "latency.p95", "tokens.input", "tokens.output", "cost.usd")

TOP_SERVICES = 10
TOP_RELEASES = 5
NAMED_OTHERS = 40

Table = Mapping[str, Mapping[Labels, Figure]]


async def read_overview(figures: Figures) -> dict[str, Figure]:
    """The project as a whole, with stretches."""
    return {name: await figures.one(name) for name in OVERVIEW}


async def read_traffic(figures: Figures) -> Traffic:
    """The busiest services and releases."""
    try:
        services = {name: await figures.grouped(name, ("service",), pieces=True) for name in PER_SERVICE}
        releases = {name: await figures.grouped(name, ("service", "target", "release")) for name in PER_SERVICE}
    except QueryError as error:
        return Traffic(services=[], missing=f"the services could not be listed: {error}")
    order = [labels[0] for labels in _by_volume(services)]
    rest = order[TOP_SERVICES:]
    return Traffic(
        services=[_service(name, services, releases) for name in order[:TOP_SERVICES]],
        others=rest[:NAMED_OTHERS],
        more_others=max(0, len(rest) - NAMED_OTHERS),
    )


def _service(name: str, services: Table, releases: Table) -> ServiceRow:
    volume = releases["requests.count"]
    own = [labels for labels in _by_volume(releases) if labels[0] == name and volume[labels].value is not None]
    rows = [ReleaseRow(target=labels[1], release=labels[2], figures=_row(releases, labels)) for labels in own[:TOP_RELEASES]]
    return ServiceRow(
        service=name, figures=_row(services, (name,)), releases=rows, more_releases=max(0, len(own) - TOP_RELEASES)
    )


def _by_volume(table: Table) -> Sequence[Labels]:
    volume = table["requests.count"]
    return sorted(volume, key=lambda labels: (-max(volume[labels].n, volume[labels].n_before), labels))


def _row(table: Table, labels: Labels) -> dict[str, Figure]:
    return {name: found[labels] for name, found in table.items() if labels in found}
