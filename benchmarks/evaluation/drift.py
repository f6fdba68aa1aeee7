"""How often streams without drift alarm, and how soon new topics are found, on intents of Banking77 and CLINC150.

Each stream holds out a fifth of the intents, drawn anew. Its reference are ten days of 500 texts of the other intents; 28 days
of 500 texts follow. `new`: from the eighth day on that share of the texts is of the held-out intents; `out of scope`: of
CLINC's texts that belong to no intent, which are of other domains to Banking77, and near its own to CLINC. Delays are of the
streams that did not alarm before; how many did, the first row tells. Looks are made once a day, at the product's windows, by
the product's own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from analyzers.drift.decision import Seen, decide
from analyzers.drift.reference import HORIZON_UNITS, Reference, alpha_of, build, scan_of
from analyzers.drift.references import reference_units
from analyzers.stats.drift_scan import Scan
from analyzers.stats.mean_embedding import FeatureMap, Sketch, median_distance, merged
from benchmarks.evaluation.embedded import embedded, lines
from benchmarks.evaluation.row import Row
from schemas.analysis import DriftSettings
from storage.drift import LookRow

Floats = NDArray[np.float64]
Draw = Callable[[int], NDArray[np.int_]]

STREAMS = 200
PER_DAY = 500
REFERENCE_DAYS = 10
QUIET_DAYS = 7
WATCHED_DAYS = 10
ALPHA = 0.05
OUTSIDE = "oos"
DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
HOURLY_STREAMS = 40
QUIET, QUIET_HOURLY = "no drift", "no drift, default settings: every hour and every day"
UNEVEN = 20.0
"""Parameter of the Dirichlet distribution from which each day's mix of intents is drawn, for streams that vary by day."""


@dataclass(frozen=True)
class Corpus:
    """Features of every text with its intent; `oos` marks texts of none."""

    name: str
    features: Floats
    intents: NDArray[np.str_]


def run(data: Path, seed: int) -> list[Row]:
    """Rows of both corpora."""
    banking = lines(data / "drift" / "banking77_train.jsonl.gz")
    clinc = lines(data / "drift" / "clinc150.jsonl.gz")
    outside = [row["text"] for row in clinc if row["intent"] == OUTSIDE]
    texts = [row["text"] for row in banking] + outside
    corpora = [
        _corpus("Banking77", texts, [row["category"] for row in banking] + [OUTSIDE] * len(outside)),
        _corpus("CLINC150", [row["text"] for row in clinc], [row["intent"] for row in clinc]),
    ]
    return [row for corpus in corpora for row in _rows(corpus, np.random.default_rng(seed))]


def _corpus(name: str, texts: list[str], intents: list[str]) -> Corpus:
    embeddings = embedded(texts)
    feature_map = FeatureMap(embeddings.shape[1], median_distance(embeddings))
    return Corpus(name, feature_map(embeddings), np.array(intents))


def _rows(corpus: Corpus, rng: np.random.Generator) -> list[Row]:
    found: dict[str, list[float]] = {}
    for _ in track(range(STREAMS), description=f"{corpus.name}, {STREAMS} streams"):
        for what, delay in _stream(corpus, rng).items():
            found.setdefault(what, []).append(delay)
    rows = [_null_row(corpus, what, found.pop(what)) for what in (QUIET, "no drift, a mix that varies by day")]
    both = [_both_scales(corpus, rng) for _ in track(range(HOURLY_STREAMS), description=f"{corpus.name}, every hour and day")]
    rows.append(_null_row(corpus, QUIET_HOURLY, both))
    return rows + [_found_row(corpus, what, delays) for what, delays in found.items()]


def _stream(corpus: Corpus, rng: np.random.Generator) -> dict[str, float]:
    """Days to the first alarm of each kind of stream: since its start without drift, else since the drift."""
    intents = np.array([intent for intent in np.unique(corpus.intents) if intent != OUTSIDE])
    new = rng.choice(intents, len(intents) // 5, replace=False)
    outside = np.flatnonzero(corpus.intents == OUTSIDE)
    is_new = np.isin(corpus.intents, new)
    known, fresh = np.flatnonzero(~is_new & (corpus.intents != OUTSIDE)), np.flatnonzero(is_new)

    def even(count: int) -> NDArray[np.int_]:
        return rng.choice(known, count)

    def uneven(count: int) -> NDArray[np.int_]:
        _, kinds = np.unique(corpus.intents[known], return_inverse=True)
        sizes = np.bincount(kinds)
        mix = rng.dirichlet(np.full(len(sizes), UNEVEN) * sizes / sizes.mean())
        return rng.choice(known, count, p=(mix / sizes)[kinds])

    def mixed(share: float, others: NDArray[np.int_]) -> Draw:
        return lambda count: np.concatenate([even(count - round(share * count)), rng.choice(others, round(share * count))])

    reference = _reference(corpus, even, rng)
    found = {
        QUIET: _alarm(corpus, reference, even, even, HORIZON_UNITS),
        "no drift, a mix that varies by day": _alarm(corpus, _reference(corpus, uneven, rng), uneven, uneven, HORIZON_UNITS),
    }
    drifts = {"10 % new intents": mixed(0.1, fresh), "20 % new intents": mixed(0.2, fresh)}
    drifts["10 % out of scope"] = mixed(0.1, outside)
    for what, draw in drifts.items():
        found[what] = _alarm(corpus, reference, even, draw, QUIET_DAYS + WATCHED_DAYS) - QUIET_DAYS
    return found


def _both_scales(corpus: Corpus, rng: np.random.Generator) -> float:
    """Hours to the first alarm at the default settings, looked at every hour and every day; infinity where none comes."""
    settings = DriftSettings()
    known = np.flatnonzero(corpus.intents != OUTSIDE)
    alarms = [math.inf]
    history = [corpus.features[rng.choice(known, rng.poisson(PER_DAY / 24))] for _ in range(24 * settings.reference_units)]
    watched = [Sketch.of(corpus.features[rng.choice(known, rng.poisson(PER_DAY / 24))]) for _ in range(24 * HORIZON_UNITS)]
    for scale, hours in (("1h", 1), ("1d", 24)):
        unit = timedelta(hours=hours)
        before = history[-reference_units(settings, unit) * hours :]
        units = _merged_by([Sketch.of(hour) for hour in before], hours)
        sample = rng.permutation(np.concatenate(before))[:4000]
        seed = int(rng.integers(2**31))
        reference = build(units, sample, scan_of(settings, unit), alpha_of(settings), settings.min_reference, seed)
        alarms.append(hours * _first_alarm(reference, _merged_by(watched, hours), unit, scale))
    return min(alarms)


def _merged_by(hours: list[Sketch], count: int) -> list[Sketch]:
    return [merged(hours[start : start + count]) for start in range(0, len(hours), count)]


def _first_alarm(reference: Reference, units: list[Sketch], unit: timedelta, scale: str) -> float:
    blank = LookRow("", START, "prompt", scale, "", "", "", "", "", "no-data", "", 0, START)
    reach = max(reference.scan.windows)
    for number in range(1, len(units) + 1):
        if decide(blank, reference, Seen(units[max(0, number - reach) : number], unit, ())).alarm:
            return float(number)
    return math.inf


def _day(corpus: Corpus, draw: Draw) -> Sketch:
    return Sketch.of(corpus.features[draw(PER_DAY)])


def _reference(corpus: Corpus, draw: Draw, rng: np.random.Generator) -> Reference:
    settings = DriftSettings()
    drawn = [corpus.features[draw(PER_DAY)] for _ in range(REFERENCE_DAYS)]
    sample = rng.permutation(np.concatenate(drawn))[:4000]
    scan = Scan(settings.windows, HORIZON_UNITS, settings.min_window)
    days = [Sketch.of(day) for day in drawn]
    return build(days, sample, scan, ALPHA, settings.min_reference, int(rng.integers(2**31)))


def _alarm(corpus: Corpus, reference: Reference, before: Draw, after: Draw, days: int) -> float:
    """The first day whose look alarms; infinity where none does."""
    blank = LookRow("", START, "prompt", "1d", "", "", "", "", "", "no-data", "", 0, START)
    units: list[Sketch] = []
    wealth: tuple[float, ...] = ()
    for day in range(1, days + 1):
        units.append(_day(corpus, before if day <= QUIET_DAYS else after))
        found = decide(blank, reference, Seen(units[-HORIZON_UNITS:], DAY, wealth))
        if found.alarm:
            return float(day)
        wealth = found.wealth
    return math.inf


def _null_row(corpus: Corpus, what: str, delays: list[float]) -> Row:
    share = float(np.mean(np.isfinite(delays)))
    error = math.sqrt(max(share * (1 - share), ALPHA * (1 - ALPHA)) / len(delays))
    bar = "≤ 6 %" if what in (QUIET, QUIET_HOURLY) else ""
    return Row(f"{corpus.name}: {what}", f"alarms within {HORIZON_UNITS} days", f"{share:.1%} ± {error:.1%}", bar)


BARS = {
    "10 % new intents": "≥ 69 % at 10 days",
    "20 % new intents": "≥ 99 %, median 2",
    "10 % out of scope": "≥ 95 % at 4 days",
}


def _found_row(corpus: Corpus, what: str, delays: list[float]) -> Row:
    clean = np.array([delay for delay in delays if delay > 0])
    shares = ", ".join(f"{np.mean(clean <= days):.1%} in {days}" for days in (2, 4, 10))
    figure = f"found within days; median; n = {len(clean)}"
    return Row(f"{corpus.name}: {what}", figure, f"{shares}; {np.median(clean):.0f}", BARS[what])
