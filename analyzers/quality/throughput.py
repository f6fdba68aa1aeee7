"""Output tokens a second."""

from __future__ import annotations

import math

from analyzers.quality.verdict import Verdict, abstained

_STREAMED_SHARE = 0.01
"""Where less than this share of the duration follows the first token, the answer came in one piece."""


def tokens_per_second(
    output_tokens: int | None, duration_ms: float | None, time_to_first_token_ms: float | None = None
) -> Verdict:
    """Output tokens over the time in which they were made: the duration, less the time to the first token where known.

    Label `after-first-token` or `whole-duration`: which of the two. Abstains without tokens or a duration above zero.
    """
    if not output_tokens or output_tokens < 0:
        return abstained("no-output-tokens")
    if duration_ms is None or not math.isfinite(duration_ms) or duration_ms <= 0:
        return abstained("no-duration")
    made_ms = duration_ms - _first(time_to_first_token_ms)
    streamed = _first(time_to_first_token_ms) > 0 and made_ms >= _STREAMED_SHARE * duration_ms
    over_ms = made_ms if streamed else duration_ms
    return Verdict(output_tokens / (over_ms / 1000), label="after-first-token" if streamed else "whole-duration")


def _first(time_ms: float | None) -> float:
    return time_ms if time_ms is not None and math.isfinite(time_ms) and time_ms > 0 else 0.0
