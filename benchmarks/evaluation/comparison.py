"""How often release comparison calls equal releases worse: 40 looks on simulated requests, and unchanged public traffic.

On the traces nothing was released: each candidate is the stretch that follows its baseline in time, at every 15 s, or the next
window of the same client. What alarms there is time itself, which the tolerance of sequential comparisons is for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.evaluation.embedded import lines
from benchmarks.evaluation.row import Row
from benchmarks.release_comparison import Run, alarmed, azure, servegen, stretches, windows_apart

ALPHA = 0.05
BAR = "≤ 5 %"
RUNS = 100_000
LENGTHS_S = ((60, 60), (120, 120), (300, 150), (600, 300))
WINDOWS = (1, 4, 12)


def run(data: Path, seed: int) -> list[Row]:
    """Simulated requests first, then the traces."""
    rng = np.random.default_rng(seed)
    traces = data / "traces"
    rows = [_simulated(sigma, history, rng) for sigma in (0.3, 0.5, 1.0) for history in (None, 600)]
    for name in track(("azure2023_conv", "azure2023_code"), description="Azure traces"):
        for stream in azure(traces / f"{name}.csv.gz"):
            rows += [
                _unchanged(f"{stream.name}, {history} s and the {watch} s after", list(stretches(stream, history, watch)))
                for history, watch in LENGTHS_S
            ]
    drawn = servegen(lines(traces / "servegen_m-small_token_pmf.jsonl.gz"), rng)
    for history in WINDOWS:
        paths = [path for windows in drawn.values() for path in windows_apart(windows, history)]
        rows.append(_unchanged(f"ServeGen, {history} windows of 6 h and the next", paths))
    return rows


def _simulated(sigma: float, history: int | None, rng: np.random.Generator) -> Row:
    share = float(alarmed(sigma, history, (ALPHA,), RUNS, rng)[0])
    what = f"equal releases, σ = {sigma}, baseline of {history or 'equal size'}, no margin"
    return Row(what, f"called different in 40 looks, n = {RUNS:,}", f"{share:.2%}", BAR)


def _unchanged(what: str, paths: Sequence[Run]) -> Row:
    """Shares called worse at the settings of the API: margin, tolerance."""
    plain, tolerant = (
        float(np.mean([path.first_alarm(ALPHA, tolerant=each) < math.inf for path in paths])) for each in (False, True)
    )
    return Row(what, f"called worse, n = {len(paths)} (overlapping)", f"{tolerant:.1%} (without tolerance {plain:.1%})", BAR)
