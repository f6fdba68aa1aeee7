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

from analyzers.drift.decision import Seen, decide, likeness_sketch
from analyzers.drift.reference import HORIZON_UNITS, SAMPLES, Reference, Sample, alpha_of, build_both, scan_of
from analyzers.drift.references import reference_units
from analyzers.stats.drift_scan import Scan
from analyzers.stats.mean_embedding import FeatureMap, Sketch, median_distance
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
    """Every text's embedding, features and intent; `oos` marks texts of none."""

    name: str
    embeddings: Floats
    feature_map: FeatureMap
    features: Floats
    intents: NDArray[np.str_]


@dataclass(frozen=True)
class Watch:
    """A reference, and ν of every text of the corpus seen from it."""

    corpus: Corpus
    reference: Reference
    likeness: Floats

    @classmethod
    def of(cls, corpus: Corpus, reference: Reference) -> Watch:
        """Ready to draw units from."""
        assert reference.novelty is not None
        return cls(corpus, reference, reference.novelty.topics.likeness(corpus.embeddings))

    def unit(self, drawn: NDArray[np.int_]) -> Unit:
        """The sums of a unit of these texts."""
        likeness = likeness_sketch(len(drawn), float(self.likeness[drawn].sum()))
        return Unit(Sketch.of(self.corpus.features[drawn]), likeness)


@dataclass(frozen=True)
class Unit:
    """What is kept of a unit of time."""

    means: Sketch
    likeness: Sketch


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
    embeddings = embedded(texts).astype(np.float64)
    feature_map = FeatureMap(embeddings.shape[1], median_distance(embeddings))
    return Corpus(name, embeddings, feature_map, feature_map(embeddings), np.array(intents))


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

    watch = _watch(corpus, even, rng)
    found = {
        QUIET: _alarm(watch, even, even, HORIZON_UNITS),
        "no drift, a mix that varies by day": _alarm(_watch(corpus, uneven, rng), uneven, uneven, HORIZON_UNITS),
    }
    drifts = {"10 % new intents": mixed(0.1, fresh), "20 % new intents": mixed(0.2, fresh)}
    drifts["10 % out of scope"] = mixed(0.1, outside)
    for what, draw in drifts.items():
        found[what] = _alarm(watch, even, draw, QUIET_DAYS + WATCHED_DAYS) - QUIET_DAYS
    return found


def _both_scales(corpus: Corpus, rng: np.random.Generator) -> float:
    """Hours to the first alarm at the default settings, looked at every hour and every day; infinity where none comes."""
    settings = DriftSettings()
    known = np.flatnonzero(corpus.intents != OUTSIDE)
    alarms = [math.inf]
    history = [rng.choice(known, rng.poisson(PER_DAY / 24)) for _ in range(24 * settings.reference_units)]
    watched = [rng.choice(known, rng.poisson(PER_DAY / 24)) for _ in range(24 * HORIZON_UNITS)]
    for scale, hours in (("1h", 1), ("1d", 24)):
        unit = timedelta(hours=hours)
        before = _joined(history[-reference_units(settings, unit) * hours :], hours)
        watch = _built(corpus, before, scan_of(settings, unit), alpha_of(settings), rng)
        alarms.append(hours * _first_alarm(watch, _joined(watched, hours), unit, scale))
    return min(alarms)


def _joined(hours: list[NDArray[np.int_]], count: int) -> list[NDArray[np.int_]]:
    return [np.concatenate(hours[start : start + count]) for start in range(0, len(hours), count)]


def _first_alarm(watch: Watch, drawn: list[NDArray[np.int_]], unit: timedelta, scale: str) -> float:
    units = [watch.unit(each) for each in drawn]
    reach = max(watch.reference.scan.windows)
    for number in range(1, len(units) + 1):
        if _look(watch, units[max(0, number - reach) : number], unit, scale, ()).alarm:
            return float(number)
    return math.inf


def _look(watch: Watch, units: list[Unit], unit: timedelta, scale: str, wealth: tuple[float, ...]) -> LookRow:
    blank = LookRow("", START, "prompt", scale, "", "", "", "", "", "no-data", "", 0, START)
    seen = Seen([each.means for each in units], unit, wealth, [each.likeness for each in units])
    return decide(blank, watch.reference, seen)


def _watch(corpus: Corpus, draw: Draw, rng: np.random.Generator) -> Watch:
    settings = DriftSettings()
    days = [draw(PER_DAY) for _ in range(REFERENCE_DAYS)]
    return _built(corpus, days, Scan(settings.windows, HORIZON_UNITS, settings.min_window), ALPHA, rng)


def _built(corpus: Corpus, drawn: list[NDArray[np.int_]], scan: Scan, alpha: float, rng: np.random.Generator) -> Watch:
    """A reference of these units' texts, as the product makes it."""
    of_units = np.repeat(np.arange(len(drawn)), [len(each) for each in drawn])
    chosen = rng.permutation(len(of_units))[:SAMPLES]
    rows = np.concatenate(drawn)[chosen]
    sample = Sample(corpus.embeddings[rows], [START + int(number) * DAY for number in of_units[chosen]])
    units = [Sketch.of(corpus.features[each]) for each in drawn]
    least, seed = DriftSettings().min_reference, int(rng.integers(2**31))
    return Watch.of(corpus, build_both(units, sample, corpus.feature_map, scan, alpha, least, seed))


def _alarm(watch: Watch, before: Draw, after: Draw, days: int) -> float:
    """The first day whose look alarms; infinity where none does."""
    units: list[Unit] = []
    wealth: tuple[float, ...] = ()
    for day in range(1, days + 1):
        units.append(watch.unit((before if day <= QUIET_DAYS else after)(PER_DAY)))
        found = _look(watch, units[-HORIZON_UNITS:], DAY, "1d", wealth)
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
