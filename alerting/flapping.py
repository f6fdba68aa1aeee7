"""When an alert changes its mind too often, people get one notice, then a digest once it has calmed down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

HOUR = timedelta(hours=1)
MANY = 4
FEW = 2

Flap = Literal["tell", "started", "goes_on", "calmed"]


def judge(changes: Sequence[datetime], now: datetime, *, flapping: bool) -> Flap:
    """What to do about an alert whose notified transitions happened at `changes` (the present one included).

    tell: pass it on as it is. started: one notice instead. goes_on: say nothing. calmed: send the digest.
    """
    recent = sum(1 for at in changes if now - at < HOUR)
    if flapping:
        return "calmed" if recent <= FEW else "goes_on"
    return "started" if recent > MANY else "tell"
