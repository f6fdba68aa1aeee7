"""How far people and scorers agree, on spans that both judged: the figures of /v1/feedback/agreement."""

from __future__ import annotations

from analyzers.report import wording
from analyzers.report.figures import Figures
from analyzers.stats.agreement import Confusion, Estimate, cohen_kappa, majority
from storage.labelled import Agreed, ScoreQuery, read_agreed
from storage.scope import ProjectReader, Range

JUDGED = (("toxicity", "completion"), ("toxicity", "prompt"), ("grounding", "completion"), ("refusal", "completion"))
FEWEST = 10


async def read_feedback(figures: Figures) -> list[str]:
    """One sentence for each scorer that people judged as well."""
    reader = ProjectReader(figures.store, figures.project, figures.bounds)
    span = Range(figures.ranges.start, figures.ranges.end)
    told = []
    for name, part in JUDGED:
        async with figures.gate:
            scorer, spans = await read_agreed(reader, ScoreQuery(name, part, span))
        if spans:
            told.append(_sentence(f"{name} of {part}s", scorer, spans))
    return told


def _sentence(what: str, scorer: str, spans: list[Agreed]) -> str:
    said = [(span, majority([flagged for _, flagged in span.people])) for span in spans]
    confusion = Confusion.of([(span.flagged, flagged) for span, flagged in said if flagged is not None])
    ties = len(said) - confusion.n
    head = f"{wording.short(scorer)} and people judged {confusion.n:,} spans both ({what}"
    head += f"; {ties:,} more where people were of two minds)" if ties else ")"
    if confusion.n < FEWEST:
        return f"{head}: too few to say how far they agree."
    agreed = (confusion.true_positive + confusion.true_negative) / confusion.n
    return f"{head}: they agree on {wording.percent(agreed)}, Cohen’s κ {_estimate(cohen_kappa(confusion))}."


def _estimate(found: Estimate | None) -> str:
    if found is None:
        return "not defined, as all verdicts are alike"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} (95 %: {found.low:.2f} to {found.high:.2f})"
