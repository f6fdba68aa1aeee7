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
from analyzers.stats.mean_embedding import Sketch

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
    """One window of one look: its length, of which some units may be empty, its texts and its z."""

    units: int
    count: int
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

    Reference and units are seen through the model's lens. None where no window has enough texts.
    """
    recent = list(units)[-max(scan.windows) :]
    counts = np.cumsum([unit.count for unit in reversed(recent)])
    lengths = np.flatnonzero(counts >= scan.min_window)
    if not len(lengths):
        return None
    scores = np.full(len(recent), -np.inf)
    scores[lengths] = _scores(model, reference, recent)[lengths]
    windows = [
        Window(length, int(counts[length - 1]), float(scores[length - 1]))
        for length in scan.windows
        if length <= len(recent) and counts[length - 1] >= scan.min_window
    ]
    return Look(tuple(windows), int(np.argmax(scores)) + 1) if windows else None


def _scores(model: Moments, reference: Sketch, units: Sequence[Sketch]) -> Floats:
    """z of every stretch that ends with the newest unit, the shortest first; not a number where it has no texts."""
    empty = np.zeros_like(reference.total)
    totals = np.cumsum([unit.total if unit.count else empty for unit in reversed(units)], axis=0)
    each = np.array([(unit.weight, unit.squares, unit.weight**2) for unit in reversed(units)])
    weight, squares, of_units = np.cumsum(each, axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.sum((totals / weight[:, None] - reference.mean) ** 2, axis=1)
        return standardised(model, square, weight**2 / squares, of_units / weight**2)


def standardised(model: Moments, square: Floats, n: Floats, concentration: Floats) -> Floats:
    """z of squared distances of means, of windows of `n` texts; `concentration` is q."""
    weights = np.stack([1 / n, concentration, np.minimum(1.0, model.block * concentration)], axis=-1) + model.own_weights
    spread = np.sqrt(2 * np.sum((weights @ model.products) * weights, axis=-1))
    return np.asarray((square - weights @ model.traces) / spread)


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
    fast = _deviations(model, paths, rng)
    noise += _tolerated(model, fast, scan.looks, rng)
    noise -= _reference_error(model, fast, rng)[:, None, :]
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
    score = standardised(model.moments, square, n, squares / n**2)
    return np.asarray(np.where(n >= scan.min_window, score, -np.inf).max(axis=1))


def _moving(values: Floats, length: int) -> Floats:
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray(sums[:, length:] - sums[:, :-length])


def _deviations(model: NullModel, paths: int, rng: np.random.Generator) -> Floats:
    """√f of each path, shape (paths, 1): around its estimate, by the error of that."""
    drawn = model.tolerance.fast + model.tolerance.fast_error * rng.standard_normal((paths, 1))
    return np.asarray(np.sqrt(np.maximum(0.0, drawn)))


def _tolerated(model: NullModel, fast: Floats, looks: int, rng: np.random.Generator) -> Floats:
    """What units and blocks of them add to the means; shape (paths, looks, features)."""
    own, paths = model.tolerance, len(fast)
    rows = own.directions.astype(np.float32)
    of_units = rng.standard_normal((paths, looks, len(rows)), dtype=np.float32) * fast[:, None].astype(np.float32)
    of_blocks = rng.standard_normal((paths, looks // own.block + 2, len(rows)), dtype=np.float32)
    repeated = np.repeat(of_blocks * np.float32(math.sqrt(own.slow)), own.block, axis=1)
    start = int(rng.integers(own.block))
    return np.asarray((of_units + repeated[:, start : start + looks]) @ rows)


def _reference_error(model: NullModel, fast: Floats, rng: np.random.Generator) -> Floats:
    own, rows, paths = np.sqrt(model.moments.own_weights), model.tolerance.directions, len(fast)
    texts = rng.standard_normal((paths, len(model.eigenvalues))) * np.sqrt(model.eigenvalues) * own[0]
    of_units = rng.standard_normal((paths, len(rows))) * fast * own[1]
    of_blocks = rng.standard_normal((paths, len(rows))) * math.sqrt(model.tolerance.slow) * own[2]
    return np.asarray(texts + (of_units + of_blocks) @ rows, dtype=np.float32)
