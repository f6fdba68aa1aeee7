"""How well a scorer agrees with people, and people with each other."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; `low` and `high` are None where the data cannot say."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Confusion:
    """Counts of spans: what the scorer flagged, by what people flagged."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    @classmethod
    def of(cls, pairs: Sequence[tuple[bool, bool]]) -> "Confusion":
        """From (scorer flagged, people flagged)."""
        counts = Counter(pairs)
        return cls(counts[True, True], counts[True, False], counts[False, True], counts[False, False])

    @property
    def n(self) -> int:
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def table(self) -> list[list[int]]:
        """Rows: the scorer; columns: people."""
        return [[self.true_positive, self.false_positive], [self.false_negative, self.true_negative]]


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate | None:
    """A share with Wilson's interval (1927); None without trials."""
    if n == 0:
        return None
    z = _quantile(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def cohen_kappa(confusion: Confusion, confidence: float = CONFIDENCE) -> Estimate | None:
    """Agreement beyond chance (Cohen 1960); None where chance alone explains all: both always say the same.

    The interval uses the large-sample variance of Fleiss, Cohen & Everitt (1969), taken from the table with ½ added to
    every cell, so that a small table without disagreement does not look certain, and is widened to hold the figure itself.
    """
    table = np.array(confusion.table, dtype=float)
    if table.sum() == 0 or _by_chance(table) >= 1:
        return None
    kappa = _kappa(table)
    smoothed = table + 0.5
    centre, half = _kappa(smoothed), _quantile(confidence) * math.sqrt(_kappa_variance(smoothed))
    return Estimate(kappa, max(-1.0, min(kappa, centre - half)), min(1.0, max(kappa, centre + half)))


def _by_chance(table: np.ndarray) -> float:
    shares = table / table.sum()
    return float(shares.sum(axis=1) @ shares.sum(axis=0))


def _kappa(table: np.ndarray) -> float:
    chance = _by_chance(table)
    return float((np.trace(table) / table.sum() - chance) / (1 - chance))


def _kappa_variance(table: np.ndarray) -> float:
    shares = table / table.sum()
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    chance, kappa = _by_chance(table), _kappa(table)
    diagonal = np.diag(shares) @ (1 - (rows + columns) * (1 - kappa)) ** 2
    crossed = shares * (columns[:, None] + rows[None, :]) ** 2
    off = (1 - kappa) ** 2 * (crossed.sum() - np.trace(crossed))
    spread = float(diagonal + off - (kappa - chance * (1 - kappa)) ** 2)
    return max(0.0, spread) / (float(table.sum()) * (1 - chance) ** 2)


def auroc(values: Sequence[float], flagged: Sequence[bool], confidence: float = CONFIDENCE) -> Estimate | None:
    """Chance that a flagged case has a higher value than one that is not, ties counting half; None without both.

    Interval: DeLong, DeLong & Clarke-Pearson (1988) on the logit scale; None at 0 and 1, and with fewer than two of a kind.
    """
    marks = np.asarray(flagged, dtype=bool)
    cases, controls = np.asarray(values, dtype=float)[marks], np.asarray(values, dtype=float)[~marks]
    if not len(cases) or not len(controls):
        return None
    ranks = rankdata(np.concatenate([cases, controls]))
    above = (ranks[: len(cases)] - rankdata(cases)) / len(controls)
    below = 1 - (ranks[len(cases) :] - rankdata(controls)) / len(cases)
    area = float(above.mean())
    if min(len(cases), len(controls)) < 2 or not 0 < area < 1:
        return Estimate(area)
    error = math.sqrt(above.var(ddof=1) / len(cases) + below.var(ddof=1) / len(controls)) / (area * (1 - area))
    half = _quantile(confidence) * error
    return Estimate(area, float(expit(logit(area) - half)), float(expit(logit(area) + half)))


@dataclass(frozen=True)
class BetweenPeople:
    """How people who judged the same spans agree. `alpha` is None where everybody always said the same."""

    spans: int
    pairs: int
    agreement: float
    alpha: float | None


def between_people(units: Sequence[Mapping[str, bool]]) -> BetweenPeople | None:
    """From what each author said about each unit; None where no unit was judged by two.

    `agreement` is the share of pairs of people, over all units, who said the same; `alpha` Krippendorff's for nominal data
    (2004), which allows any number of people, and others at every unit.
    """
    several = [list(unit.values()) for unit in units if len(unit) > 1]
    if not several:
        return None
    pairs = [a == b for unit in several for a, b in combinations(unit, 2)]
    return BetweenPeople(len(several), len(pairs), sum(pairs) / len(pairs), krippendorff_alpha(several))


def krippendorff_alpha(units: Sequence[Sequence[object]]) -> float | None:
    """Krippendorff's α for nominal data; None where it is not defined: no unit with two values, or one value throughout."""
    paired = [unit for unit in units if len(unit) > 1]
    totals = Counter(value for unit in paired for value in unit)
    n = totals.total()
    if len(totals) < 2:
        return None
    disagreeing = sum(count * (len(unit) - count) / (len(unit) - 1) for unit in paired for count in Counter(unit).values())
    expected = sum(count * (n - count) for count in totals.values()) / (n - 1)
    return 1 - disagreeing / expected


def majority(judgements: Sequence[bool]) -> bool | None:
    """What most said; None for a tie."""
    yes = sum(judgements)
    no = len(judgements) - yes
    return None if yes == no else yes > no


def _quantile(confidence: float) -> float:
    return float(ndtri((1 + confidence) / 2))
