"""What analyzers and people said about answers: shares with their interval, and how much was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analyzers.report.data import CoverageRow, Figure, Judgement
from analyzers.report.figures import NOTHING, Figures, has_metric
from storage.coverage import SliceCoverage

TOP_SERVICES = 8


@dataclass(frozen=True)
class Topic:
    """One metric of scores, in words."""

    metric: str
    title: str
    analyzer: str


TOPICS: tuple[Topic, ...] = (
    Topic("toxicity.share", "Toxic answers", "toxicity"),
    Topic("toxicity.prompt_share", "Toxic prompts", "toxicity"),
    Topic("grounding.unsupported_share", "Answers their context does not support", "grounding"),
    Topic("quality.refusal_share", "Refusals", "quality"),
    Topic("quality.empty_share", "Empty answers", "quality"),
    Topic("quality.truncated_share", "Answers cut off", "quality"),
    Topic("quality.repeated_share", "Answers that repeat themselves", "quality"),
    Topic("quality.language_mismatch_share", "Answers in another language than the prompt", "quality"),
    Topic("quality.injection_share", "Prompts that look like an injection", "quality"),
    Topic("feedback.negative_share", "Thumbs down", ""),
)


async def read_judgements(figures: Figures, coverage: Sequence[CoverageRow]) -> list[Judgement]:
    """Every topic whose metric there is."""
    return [await _judgement(figures, topic, coverage) for topic in TOPICS if has_metric(topic.metric)]


async def _judgement(figures: Figures, topic: Topic, coverage: Sequence[CoverageRow]) -> Judgement:
    whole = await figures.one(topic.metric)
    services = {} if whole.value is None else await figures.grouped(topic.metric, ("service",), pieces=True)
    order = sorted(services.values(), key=lambda figure: (-max(figure.n, figure.n_before), figure.labels["service"]))
    own = [row for row in coverage if row.analyzer == topic.analyzer]
    missing = why_missing(whole, own, topic.analyzer) if whole.value is None else ""
    return Judgement(
        title=topic.title,
        analyzer=topic.analyzer,
        figure=whole.model_copy(update={"missing": missing}),
        services=order[:TOP_SERVICES],
        more_services=max(0, len(order) - TOP_SERVICES),
        coverage=own,
        missing=missing,
    )


def why_missing(figure: Figure, coverage: Sequence[CoverageRow], analyzer: str) -> str:
    """Why a share has no value, as far as the coverage tells."""
    if not analyzer:
        return "nobody gave feedback"
    total = [row for row in coverage if row.service is None]
    if not total:
        return f"the analyzer {analyzer} has looked at nothing: it is off, or the spans have no text for it"
    reasons = merged(row.abstained for row in total)
    looked = sum(row.looked_at for row in total)
    if looked and reasons and sum(reasons.values()) >= looked:
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:4])
        return f"every one of {looked:,} looked at was abstained from ({told})"
    return figure.missing or NOTHING


def coverage_rows(found: Sequence[SliceCoverage]) -> list[CoverageRow]:
    """Each scorer over all services (service None), then by service."""
    scorers = dict.fromkeys((row.analyzer, row.scorer) for row in found)
    rows = []
    for analyzer, scorer in scorers:
        own = [row for row in found if (row.analyzer, row.scorer) == (analyzer, scorer)]
        rows.append(
            CoverageRow(
                analyzer=analyzer,
                scorer=scorer,
                service=None,
                wanted=sum(row.wanted for row in own),
                looked_at=sum(row.looked_at for row in own),
                failed=sum(row.failed for row in own),
                abstained=merged(row.abstained for row in own),
            )
        )
        rows += [CoverageRow(**vars(row)) for row in own]
    return rows


def merged(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums by reason."""
    found: dict[str, int] = {}
    for each in counts:
        for reason, count in each.items():
            found[reason] = found.get(reason, 0) + count
    return found
