"""The multi-window scan: one decision a unit of time, and a threshold that covers every window and every look.

After each unit, for windows of w units, T_w = n_w‖A(μ̂_w - μ̂_ref)‖² is standardised by its moments under the null model,

    z_w = (‖A(μ̂_w - μ̂_ref)‖² - tr V) / √(2 tr V²),

and the look alarms when max_w z_w > c. c is the (1-α) quantile of the largest z over all windows and all looks of the
horizon, over simulated paths without drift. Each path has one reference error that all of its looks share: a finite
reference is never exactly the population. The counts of texts of its units are resampled from the reference's.
The method follows the multi-window scans of Choi & Kim (2024) and Keriven, Garreau & Poli (2020), "NEWMA".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.stats.drift_null import Moments, NullModel
from analyzers.stats.mean_embedding import Sketch, merged

Floats = NDArray[np.float64]

MOST_PATHS, FEWEST_PATHS = 2_000, 400
_UNIT_DRAWS = 200_000
_AT_ONCE = 8_000


@dataclass(frozen=True)
class Scan:
    """What is looked at: lengths of the windows in units, looks within the horizon, texts that a window needs."""

    windows: tuple[int, ...]
    looks: int
    min_window: int

    @property
    def paths(self) -> int:
        """How many null paths are simulated: fewer where each is long."""
        return min(MOST_PATHS, max(FEWEST_PATHS, _UNIT_DRAWS // self.looks))


@dataclass(frozen=True)
class Window:
    """One window of one look; `units` counts those of its time, with texts or not."""

    units: int
    sketch: Sketch
    score: float


@dataclass(frozen=True)
class Look:
    """All windows of one look that had enough texts, and since when the stream has differed most."""

    windows: tuple[Window, ...]
    onset_units: int
    """Length of the stretch up to the look that differs most from the reference: drift began at its start."""

    @property
    def strongest(self) -> Window:
        """The window with the largest score."""
        return max(self.windows, key=lambda window: window.score)


def look(model: Moments, reference: Sketch, units: Sequence[Sketch], scan: Scan) -> Look | None:
    """The decision's figures from the units since the reference, the newest last (empty units have no texts).

    Reference and units are seen through the model's lens.

    None where no window has enough texts.
    """
    reach = max(scan.windows)
    recent = list(units)[-reach:]
    scored = {length: _window(model, reference, recent[-length:], scan) for length in range(1, len(recent) + 1)}
    windows = [window for length in scan.windows if (window := scored.get(length)) is not None]
    if not windows:
        return None
    onset = max((window for window in scored.values() if window is not None), key=lambda window: window.score)
    return Look(tuple(windows), onset.units)


def _window(model: Moments, reference: Sketch, units: Sequence[Sketch], scan: Scan) -> Window | None:
    filled = [unit for unit in units if unit.count]
    if sum(unit.count for unit in filled) < scan.min_window:
        return None
    sketch = merged(filled)
    concentration = sum(unit.weight**2 for unit in filled) / sketch.weight**2
    square = float(np.sum((sketch.mean - reference.mean) ** 2))
    return Window(len(units), sketch, standardised(model, square, sketch.n, concentration))


def standardised(model: Moments, square: float, n: float, concentration: float) -> float:
    """z of a squared distance of means."""
    weights = model.weights(n, concentration)
    return (square - float(weights @ model.traces)) / math.sqrt(2 * float(weights @ model.products @ weights))


def threshold(model: NullModel, scan: Scan, alpha: float, seed: int) -> float:
    """c: exceeded by the largest z of a path without drift with probability `alpha` at most.

    Raises:
        ValueError: no window of the scan ever has enough texts at the reference's rate of traffic.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // scan.looks)
    largest = np.concatenate(
        [_largest(model, scan, min(at_once, scan.paths - done), rng) for done in range(0, scan.paths, at_once)]
    )
    if not np.isfinite(largest).any():
        raise ValueError(f"windows never reach {scan.min_window} texts at the reference's rate of traffic")
    rank = math.ceil((1 - alpha) * (len(largest) + 1))
    return float(np.sort(largest)[min(rank, len(largest)) - 1])


def _largest(model: NullModel, scan: Scan, paths: int, rng: np.random.Generator) -> Floats:
    """The largest z of each of `paths` paths without drift; minus infinity where no window has enough texts."""
    counts = rng.choice(model.unit_counts, (paths, scan.looks)).astype(np.float64)
    noise = rng.standard_normal((paths, scan.looks, len(model.eigenvalues)), dtype=np.float32)
    noise *= np.sqrt(model.eigenvalues / counts[..., None]).astype(np.float32)
    noise += _tolerated(model, paths, scan.looks, rng)
    noise -= _reference_error(model, paths, rng)[:, None, :]
    noise *= counts[..., None].astype(np.float32)
    sums = np.concatenate([np.zeros_like(noise[:, :1]), np.cumsum(noise, axis=1, dtype=np.float64)], axis=1)
    largest = np.full(paths, -np.inf)
    for length in scan.windows:
        if length <= scan.looks:
            largest = np.maximum(largest, _of_length(model, scan, length, counts, sums))
    return largest


def _of_length(model: NullModel, scan: Scan, length: int, counts: Floats, sums: Floats) -> Floats:
    n, squares = (_moving(values, length) for values in (counts, counts**2))
    square = np.sum((sums[:, length:] - sums[:, :-length]) ** 2, axis=2) / n**2
    moments = model.moments
    own = np.stack([1 / n, squares / n**2, np.minimum(1.0, model.block * squares / n**2)], axis=-1)
    weights = own + moments.own_weights
    spread = np.sqrt(2 * np.sum((weights @ moments.products) * weights, axis=-1))
    score = (square - weights @ moments.traces) / spread
    return np.asarray(np.where(n >= scan.min_window, score, -np.inf).max(axis=1))


def _moving(values: Floats, length: int) -> Floats:
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray(sums[:, length:] - sums[:, :-length])


def _tolerated(model: NullModel, paths: int, looks: int, rng: np.random.Generator) -> Floats:
    """What units and blocks of them add to the means; shape (paths, looks, features)."""
    fast = rng.standard_normal((paths, looks, len(model.fast)), dtype=np.float32) @ model.fast.astype(np.float32)
    blocks = rng.standard_normal((paths, looks // model.block + 2, len(model.slow)), dtype=np.float32)
    slow = np.repeat(blocks @ model.slow.astype(np.float32), model.block, axis=1)
    start = int(rng.integers(model.block))
    return np.asarray(fast + slow[:, start : start + looks])


def _reference_error(model: NullModel, paths: int, rng: np.random.Generator) -> Floats:
    own = np.sqrt(model.moments.own_weights)
    texts = rng.standard_normal((paths, len(model.eigenvalues))) * np.sqrt(model.eigenvalues) * own[0]
    fast = rng.standard_normal((paths, len(model.fast))) @ model.fast * own[1]
    slow = rng.standard_normal((paths, len(model.slow))) @ model.slow * own[2]
    return np.asarray(texts + fast + slow, dtype=np.float32)
