"""What people and a scorer said about the same spans, as figures; pure."""

from __future__ import annotations

from collections.abc import Sequence

from analyzers.stats.agreement import (
    Confusion,
    Estimate,
    auroc,
    between_people,
    cohen_kappa,
    majority,
    wilson,
)
from schemas.api.feedback import AgreementFigures, ConfusionAnswer, EstimateAnswer, PeopleAnswer
from storage.labelled import Agreed


def figures_of(spans: Sequence[Agreed], *, falls: bool) -> AgreementFigures:
    """The scorer against what most people said; `falls`: low values are the bad ones."""
    said = [(span, majority([flagged for _, flagged in span.people])) for span in spans]
    decided = [(span, flagged) for span, flagged in said if flagged is not None]
    confusion = Confusion.of([(span.flagged, flagged) for span, flagged in decided])
    found = confusion.true_positive
    values = [-span.value if falls else span.value for span, _ in decided]
    return AgreementFigures(
        n=confusion.n,
        ties=len(said) - len(decided),
        confusion=ConfusionAnswer(**vars(confusion)),
        kappa=_shown(cohen_kappa(confusion)),
        auroc=_shown(auroc(values, [flagged for _, flagged in decided])),
        precision=_shown(wilson(found, found + confusion.false_positive)),
        recall=_shown(wilson(found, found + confusion.false_negative)),
    )


def people_of(spans: Sequence[Agreed]) -> PeopleAnswer | None:
    """People among themselves: those with a name, as one cannot tell the others apart."""
    found = between_people([{author: flagged for author, flagged in span.people if author} for span in spans])
    return None if found is None else PeopleAnswer(**vars(found))


def _shown(estimate: Estimate | None) -> EstimateAnswer | None:
    if estimate is None:
        return None
    known = estimate.low is not None and estimate.high is not None
    return EstimateAnswer(value=estimate.value, interval=(estimate.low or 0.0, estimate.high or 0.0) if known else None)
