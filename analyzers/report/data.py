"""What a report says, as typed values: its JSON form, and what HTML, Markdown and the short text are written from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.api.base import Time

Severity = Literal["alarm", "watch", "good", "note"]


class Part(BaseModel):
    """Frozen, and without members it does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(Part):
    """This range against the one before. `effect`: 0.1 = 10 % more (relative), or ten percentage points (points).

    The interval (95 %) and `p` (two-sided, of no change) rest on how much the change differed between `stretches` days or
    hours; None with fewer than four. Of totals, `left_out` stretches are not in it: they are not whole in both ranges.
    """

    kind: Literal["relative", "points"]
    effect: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    stretches: int = 0
    left_out: int = 0


class Point(Part):
    """A value over one stretch. `value` None: no data. `whole` false: the range begins or ends within the stretch."""

    start: Time
    end: Time
    value: float | None
    n: int
    before: float | None = None
    whole: bool = True


class Figure(Part):
    """A metric's value over the report's range, resting on `n` observations; the API gives the same for metric and labels.

    `interval`: 95 %, of shares only (Wilson). `value` None: no data, for the reason in `missing`.
    """

    metric: str
    unit: str
    worse: Literal["up", "down", "none"]
    labels: dict[str, str] = {}
    value: float | None
    n: int
    interval: tuple[float, float] | None = None
    before: float | None = None
    n_before: int = 0
    change: Change | None = None
    points: list[Point] = []
    missing: str = ""


class Finding(Part):
    """One sentence that matters, and the section that proves it."""

    severity: Severity
    text: str
    section: str


class ReleaseRow(Part):
    """What one release of a target did, as far as a service of it was called."""

    target: str
    release: str
    figures: dict[str, Figure]


class ServiceRow(Part):
    """One service, the releases it served by volume, and names of further ones that are not listed."""

    service: str
    figures: dict[str, Figure]
    releases: list[ReleaseRow]
    more_releases: int = 0


class Traffic(Part):
    """The busiest services; the others are named, the last of them only counted."""

    services: list[ServiceRow]
    others: list[str] = []
    more_others: int = 0
    missing: str = ""


class CostPart(Part):
    """One addend of a change of cost, in dollars; `value` names the service, model or factor it belongs to."""

    name: str
    meaning: str
    usd: float


class CostGroup(Part):
    """The change of one group of responses."""

    name: str
    before_usd: float
    after_usd: float


class CostHour(Part):
    """An hour whose cost stands out among the same hours of earlier weeks, by `z` spreads."""

    start: Time
    cost_usd: float
    expected_usd: float
    z: float


class CostStep(Part):
    """A level that changed: `ratio` 1.5 is half as much again. `silent`: no span of anybody arrived in a part of it."""

    onset: Time
    detected: Time
    ratio: float
    silent: bool = False


class CostBudget(Part):
    """A monthly budget as it stood when the report was made: of everything, or of what has `value` in `dimension`."""

    dimension: str
    value: str
    usd_per_month: float
    start: Time
    end: Time
    spent_usd: float
    expected_usd: float | None
    low_usd: float | None
    high_usd: float | None
    verdict: str
    reason: str


class Cost(Part):
    """Why cost changed: the parts add up to `after_usd - before_usd`. Responses without a price are counted apart.

    `hours` (the largest first) and `steps` stand out as `unusual` says.
    """

    before_usd: float | None
    after_usd: float | None
    parts: list[CostPart] = []
    groups: list[CostGroup] = []
    unpriced: Figure | None = None
    waste: list[str] = []
    hours: list[CostHour] = []
    steps: list[CostStep] = []
    unusual: str = ""
    budgets: list[CostBudget] = []
    missing: str = ""


class Exemplar(Part):
    """A text typical of a drift, and the most similar one of the reference."""

    text: str
    witness: float
    trace_id: str
    span_id: str
    nearest: str = ""


class Cluster(Part):
    """Similar texts: their share of the reference and of the window, and the text nearest to their centre."""

    text: str
    share_before: float
    share_now: float


class DriftPoint(Part):
    """One look at a stream, at the end of a unit."""

    at: Time
    score: float | None
    n: int


class DriftStream(Part):
    """One stream of texts against its reference, as the strongest drifting look of the range says, else the latest.

    `effect` is the MMD of the strongest window (0: alike, 1.41: nothing in common) with its 95 % interval; `n` its texts.
    Score and threshold are of the scan that found it. `until`: a later look of the range found no drift any more.
    """

    labels: dict[str, str]
    part: str
    scale: str
    verdict: str
    reason: str
    at: Time
    effect: float | None
    low: float | None
    high: float | None
    scan: Literal["means", "novelty"] = "means"
    score: float | None
    threshold: float | None
    window_units: int
    n: int
    n_reference: int | None
    onset: Time | None = None
    detected_at: Time | None = None
    until: Time | None = None
    second_opinion: float | None = None
    looks: list[DriftPoint] = []
    slices: list[str] = []
    clusters: list[Cluster] = []
    exemplars: list[Exemplar] = []
    reference: str = ""
    embedder: str = ""


class Drift(Part):
    """Every stream that was looked at: drifting ones first, the last of them only counted."""

    streams: list[DriftStream] = []
    more: int = 0
    missing: str = ""


class CoverageRow(Part):
    """What an analyzer looked at in the range, in spans; sums over the service's traffic (all of it: service None)."""

    analyzer: str
    scorer: str
    service: str | None
    wanted: int
    looked_at: int
    failed: int
    abstained: dict[str, int]

    @property
    def scored(self) -> int:
        """Spans that have a value."""
        return max(0, self.looked_at - self.failed - sum(self.abstained.values()))

    @property
    def share(self) -> float | None:
        """Looked at and not given up, of the wanted spans: as in /v1/status."""
        return (self.looked_at - self.failed) / self.wanted if self.wanted else None


class Judgement(Part):
    """One score metric: over everything, and by service; with what the analyzer looked at."""

    title: str
    analyzer: str
    figure: Figure
    services: list[Figure]
    more_services: int = 0
    coverage: list[CoverageRow]
    missing: str = ""


class AlertRow(Part):
    """One alert that was firing within the range."""

    id: str
    rule: str
    kind: str
    severity: str
    target: str
    title: str
    fired_at: Time
    resolved_at: Time | None
    reason: str
    rollback: str


class RollbackRow(Part):
    """One rollback that was begun within the range, and what came of it."""

    id: str
    target: str
    from_release: str
    to_release: str
    state: str
    outcome: str
    automatic: bool
    actor: str
    created_at: Time
    finished_at: Time | None


class Incidents(Part):
    """Alerts and rollbacks, newest first; `more_…` could not be listed."""

    alerts: list[AlertRow]
    rollbacks: list[RollbackRow]
    more_alerts: int = 0
    more_rollbacks: int = 0


class BudgetRow(Part):
    """One stated chance of a false alarm, and how much of it the range's looks could have spent."""

    what: str
    subject: str
    rate: float | None
    per: str
    used: float | None
    detail: str


class Budget(Part):
    """The false-alarm budgets. `comparisons` of this report itself share `level`: each is called clear at `level_each`."""

    rows: list[BudgetRow]
    level: float
    comparisons: int
    level_each: float


class Lag(Part):
    """How far an analyzer is. `watermark`: everything that arrived before it is analyzed."""

    analyzer: str
    watermark: Time | None
    behind_s: float | None
    failures: int
    last_error: str | None


class Gap(Part):
    """A stretch without any span, or something else that is not known, and why."""

    what: str
    start: Time | None = None
    end: Time | None = None
    why: str = ""


class Completeness(Part):
    """What the report could not see."""

    gaps: list[Gap]
    lags: list[Lag]
    coverage: list[CoverageRow]


class Fact(Part):
    """A version, seed or reference that the figures depend on."""

    name: str
    value: str


class Report(Part):
    """One report, whole. It compares [start, end) with [before_start, before_end), `weeks` earlier."""

    version: Literal[1] = 1
    id: str
    project: str
    start: Time
    end: Time
    before_start: Time
    before_end: Time
    weeks: int
    time_zone: str
    stretch: Literal["day", "part"]
    created_at: Time
    created_by: str
    headline: str
    alarming: bool
    findings: list[Finding]
    overview: dict[str, Figure]
    traffic: Traffic
    cost: Cost
    drift: Drift
    judgements: list[Judgement]
    feedback: list[str]
    incidents: Incidents
    budget: Budget
    completeness: Completeness
    provenance: list[Fact]

    def figures(self) -> list[Figure]:
        """Every figure that the API would give for the same range."""
        rows: list[ServiceRow | ReleaseRow] = [*self.traffic.services]
        rows += [release for service in self.traffic.services for release in service.releases]
        found = [*self.overview.values(), *(figure for row in rows for figure in row.figures.values())]
        found += [figure for judgement in self.judgements for figure in (judgement.figure, *judgement.services)]
        return found + ([self.cost.unpriced] if self.cost.unpriced else [])
