"""Calibrations of analyzers from people's feedback."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.api.base import Answer, Body, Time
from schemas.patterns import TEXT

# PostgreSQL keeps no NUL in text.
Service = Annotated[str, Field(max_length=256, pattern=TEXT, description="As the spans name it.")]


class CalibrationRequest(Body):
    """Which service's feedback to learn from."""

    service: Service
    analyzer: Literal["grounding"] = "grounding"


class CalibrationAnswer(Answer):
    """Weights that hold for a service from then on; the scorer of its scores ends in `+` and this id."""

    id: str
    analyzer: str
    service: str
    labels: int = Field(description="Answers with a verdict that it was fitted from.")
    threshold: float = Field(description="Support below which a sentence is unsupported.")
    scorer: str = Field(description="What measured the answers; while another one runs, this calibration is not used.")
    quality: dict[str, float] = Field(
        description="On answers left out of the fit, beside the same of the default weights (`…_before`)."
    )
    created_at: Time
    created_by: str
    withdrawn_at: Time | None = Field(description="Since when it holds no more; null: it was not withdrawn.")


class CalibrationList(Answer):
    """Calibrations of the project, newest first; of each service the first that was not withdrawn holds."""

    calibrations: list[CalibrationAnswer]
