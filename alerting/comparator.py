"""Which side of a threshold a value is on: the one comparison of the alerting engine, for bad sides above and below."""

from __future__ import annotations

import math
from typing import Literal

from schemas.rules import Direction

Signal = Literal["breach", "between", "clear", "unsure", "missing", "failed"]
"""What one evaluation says.

breach: beyond the threshold. between: back on the good side of it, not yet of the recovery threshold. clear: recovered.
unsure: there is data, too little to say. missing: there is no data. failed: it could not be evaluated.
"""


def side(value: float | None, direction: Direction, threshold: float, recovery: float) -> Signal:
    """Where `value` lies; a value on the threshold is not beyond it, one on the recovery threshold has recovered."""
    if value is None or math.isnan(value):
        return "missing"
    sign = 1 if direction == "above" else -1
    if sign * (value - threshold) > 0:
        return "breach"
    return "clear" if sign * (value - recovery) <= 0 else "between"
