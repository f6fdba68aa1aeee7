"""How far the margin of a comparison widens when the candidate runs after the baseline, not beside it.

Traffic changes with time even when nothing is released. The baseline's own consecutive blocks of time show by how
much: the variance of their means beyond sampling noise, by the method of moments (DerSimonian & Laird 1986; with a
pooled variance within blocks it is the one-way random-effects estimate of Searle 1971),

    σ̂_b² = max(0, (Σ n_i (m_i - m̄)² - (k-1) s²) / (N - Σ n_i²/N)).

From few blocks that estimate is noisy and often 0, so it is moderated by a prior of ν₀ = 4 blocks (Smyth 2004),

    s_b² = (ν₀ s₀² + (k-1) σ̂_b²) / (ν₀ + k - 1),

which is the prior itself, a conservative floor, with fewer than two blocks. The candidate counts as one new block
against the mean of k, and the margin widens by two standard deviations of that:

    tolerance = 2 · s_b · √(1 + 1/k) · max(1, (1 + h)/1.5),

h = time the candidate has been compared / time of baseline history. The last factor is the growth of the distance
between the two arms' centres under a steady trend: a baseline says less the longer it lies back. Candidates that run
beside their baseline need none of this: their tolerance is 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analyzers.stats.summary import Arm, RateArm, merged, merged_rates

PRIOR_LOG_SD = 0.05
"""s₀ on the log scale: 5 %, the usual size of drift between minutes in public LLM traffic."""

PRIOR_RATE_SHARE = 0.1
"""s₀ of a rate p: this share of √(p(1-p))."""

_PRIOR_BLOCKS = 4
_DEVIATIONS = 2.0
_FREE_HORIZON = 0.5


@dataclass(frozen=True)
class Tolerance:
    """What to add to the margin, in the unit of the block means, and where it comes from."""

    value: float
    between_sd: float
    blocks: int
    reason: str


def sequential_tolerance(blocks: Sequence[Arm], *, horizon: float = _FREE_HORIZON, prior_sd: float = PRIOR_LOG_SD) -> Tolerance:
    """The tolerance from the baseline's blocks, on the scale of their means.

    Blocks of equal time, about twelve over the baseline's history with ten or more requests each, serve well; empty
    ones are left out. `horizon` is the candidate's time over the baseline's. `prior_sd` is s₀.
    """
    filled = [block for block in blocks if block.n > 0 and math.isfinite(block.mean)]
    k = max(1, len(filled))
    observed = between_block_sd(filled)
    moderated = math.sqrt((_PRIOR_BLOCKS * prior_sd**2 + (k - 1) * observed**2) / (_PRIOR_BLOCKS + k - 1))
    growth = max(1.0, (1 + horizon) / (1 + _FREE_HORIZON))
    value = _DEVIATIONS * moderated * math.sqrt(1 + 1 / k) * growth
    return Tolerance(value, moderated, len(filled), _reason(len(filled), observed, prior_sd))


def sequential_rate_tolerance(blocks: Sequence[RateArm], *, horizon: float = _FREE_HORIZON) -> Tolerance:
    """The same for rates, in rate units (0.02 is two percentage points)."""
    whole = merged_rates(blocks)
    rate = (whole.events + 0.5) / (whole.n + 1)
    prior_sd = PRIOR_RATE_SHARE * math.sqrt(rate * (1 - rate))
    return sequential_tolerance([_as_arm(block) for block in blocks], horizon=horizon, prior_sd=prior_sd)


def between_block_sd(blocks: Sequence[Arm]) -> float:
    """σ̂_b: standard deviation of the block means beyond sampling noise; 0 when noise explains it all."""
    whole, k = merged(blocks), len(blocks)
    within = sum(block.squared_deviations for block in blocks)
    if k < 2 or whole.n <= k:
        return 0.0
    noise = within / (whole.n - k)
    size = whole.n - sum(block.n**2 for block in blocks) / whole.n
    between = whole.squared_deviations - within
    return math.sqrt(max(0.0, (between - (k - 1) * noise) / size))


def _as_arm(block: RateArm) -> Arm:
    return Arm.from_sums(block.n, float(block.events), float(block.events))


def _reason(blocks: int, observed: float, prior_sd: float) -> str:
    if blocks < 2:
        return f"{blocks} block of baseline history: the floor, a drift of sd {prior_sd:.3g}, stands in"
    return f"{blocks} blocks of baseline history vary by sd {observed:.3g} beyond noise (prior {prior_sd:.3g})"
