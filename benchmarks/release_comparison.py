"""False alarms and requests to detection of release comparisons, simulated and on public traces.

    python -m benchmarks.release_comparison                       # simulated requests only
    python -m benchmarks.release_comparison AzureLLMInferenceTrace_conv.csv conversation_trace.jsonl windows.jsonl

Traces, also gzipped: *.csv of Azure/AzurePublicDataset (TIMESTAMP, ContextTokens, GeneratedTokens), *.jsonl of
kvcache-ai/Mooncake (timestamp in ms, input_length, output_length), and token histograms of alibaba/ServeGen, one line
a client and window: {"client": …, "t_s": …, "input_tokens": {tokens: share}, "output_tokens": {tokens: share}}.
"""

import argparse
import csv
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from analyzers.stats.msprt import LOG_TAU, MIN_SAMPLES, half_width
from analyzers.stats.rates import difference_interval
from analyzers.stats.summary import Arm, RateArm
from analyzers.stats.tolerance import sequential_tolerance

Floats = NDArray[np.float64]

MARGIN = math.log(1.1)
RISE = math.log(1.6)
ALPHAS = (0.05, 0.001)
BLOCKS = 12
SHORTEST_BLOCK_S = 10.0


@dataclass(frozen=True)
class Stream:
    """Arrival times in seconds and a log metric, in order of arrival."""

    name: str
    at_s: Floats
    value: Floats


@dataclass(frozen=True)
class Run:
    """One comparison, look by look: the difference, its variance, and the tolerance, each of shape (looks,)."""

    n: NDArray[np.int_]
    difference: Floats
    variance: Floats
    tolerance: Floats

    def first_alarm(
        self, alpha: float, *, tolerant: bool, either_side: bool = False, rise: float = 0.0, tau: float = LOG_TAU
    ) -> float:
        """Requests of the candidate at the first look that leaves the margin; infinity when none does."""
        difference = self.difference + rise
        reach = np.abs(difference) if either_side else difference
        allowed = MARGIN + (self.tolerance if tolerant else 0.0)
        beyond = reach - half_width(self.variance, tau, alpha) > allowed
        return float(self.n[int(np.argmax(beyond))]) if beyond.any() else math.inf


def looks(count: int) -> NDArray[np.int_]:
    """Every 10 requests from 30 on."""
    return np.arange(MIN_SAMPLES, count + 1, 10)


def grown(values: Floats, n: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """Mean and sample variance of the first n values."""
    mean = values.cumsum()[n - 1] / n
    return mean, np.maximum(0.0, np.square(values).cumsum()[n - 1] - n * mean**2) / (n - 1)


def concurrent(baseline: Floats, candidate: Floats) -> Run:
    n = looks(min(len(baseline), len(candidate)))
    (mean, variance), (other_mean, other_variance) = grown(baseline, n), grown(candidate, n)
    return Run(n, other_mean - mean, (variance + other_variance) / n, np.zeros(len(n)))


def sequential(blocks: Sequence[Floats], candidate: Floats, horizon: Floats) -> Run:
    """A finished baseline, in blocks, against a growing candidate; `horizon` at each of its requests."""
    n, baseline = looks(len(candidate)), np.concatenate(blocks)
    mean, variance = grown(candidate, n)
    arms = [Arm.from_values(block.tolist()) for block in blocks]
    near = sequential_tolerance(arms).value
    growth = np.asarray([sequential_tolerance([], horizon=h).value for h in horizon[n - 1]])
    tolerance = near * growth / sequential_tolerance([]).value
    total = variance / n + baseline.var(ddof=1) / len(baseline)
    return Run(n, mean - baseline.mean(), total, tolerance)


def stretches(stream: Stream, history_s: float, watch_s: float) -> Iterator[Run]:
    """Every 15 s a release that changes nothing: the history before it against the traffic after it."""
    count = max(1, min(BLOCKS, int(history_s / SHORTEST_BLOCK_S)))
    for start in np.arange(stream.at_s[0] + history_s, stream.at_s[-1] - watch_s, 15.0):
        edges = np.searchsorted(stream.at_s, [*np.linspace(start - history_s, start, count + 1), start + watch_s])
        *blocks, candidate = np.split(stream.value, edges)[1:-1]
        if min(sum(map(len, blocks)), len(candidate)) >= MIN_SAMPLES:
            ahead = (stream.at_s[edges[-2] : edges[-1]] - start) / history_s
            yield sequential(blocks, candidate, ahead)


def split_at_random(stream: Stream, rng: np.random.Generator, count: int) -> Iterator[Run]:
    """Every 15 s two concurrent arms: each request goes to one of them by a coin."""
    for start in np.arange(stream.at_s[0], stream.at_s[-1] - 120, 15.0):
        values = stream.value[np.searchsorted(stream.at_s, start) :][:count]
        side = rng.random(len(values)) < 0.5
        if min(side.sum(), (~side).sum()) >= MIN_SAMPLES:
            yield concurrent(values[side], values[~side])


def windows_apart(windows: Sequence[Floats], history: int) -> Iterator[Run]:
    """The windows before against the next one."""
    for k in range(history, len(windows)):
        candidate = windows[k]
        yield sequential(windows[k - history : k], candidate, np.linspace(0, 1 / history, len(candidate)))


def simulated(sigma: float, rng: np.random.Generator, runs: int, *, history: int | None) -> list[Run]:
    """Lognormal requests; `history` of them in blocks of 50 come first, or both arms grow together."""

    def one() -> Run:
        candidate = rng.normal(0, sigma, 600)
        if history is None:
            return concurrent(rng.normal(0, sigma, 600), candidate)
        return sequential(np.split(rng.normal(0, sigma, history), history // 50), candidate, np.zeros(600))

    return [one() for _ in range(runs)]


def report_nulls(name: str, paths: Sequence[Run]) -> None:
    for alpha in ALPHAS:
        shares = [
            np.mean([path.first_alarm(alpha, tolerant=tolerant, either_side=either) < math.inf for path in paths])
            for tolerant in (False, True)
            for either in (False, True)
        ]
        plain, plain_either, tolerant, tolerant_either = (f"{100 * share:.1f} %" for share in shares)
        print(
            f"{name:44} n={len(paths):4} α={alpha:<6} worse: {plain:>6} → {tolerant:>6} with tolerance,"
            f" either side: {plain_either:>6} → {tolerant_either:>6}"
        )


def report_detection(name: str, paths: Sequence[Run], alpha: float = 0.001) -> None:
    found = sorted(path.first_alarm(alpha, tolerant=True, rise=RISE) for path in paths)
    median, p90 = found[len(found) // 2], found[int(0.9 * len(found))]
    tolerance = np.mean([path.tolerance.mean() for path in paths])
    print(
        f"{name:44} n={len(paths):4} α={alpha:<7.2g} 1.6×: median {median:.0f}, p90 {p90:.0f} requests,"
        f" found {100 * np.mean(np.isfinite(found)):.0f} %, tolerance {tolerance:.3f}"
    )


def open_text(path: Path) -> TextIO:
    return cast(TextIO, gzip.open(path, "rt")) if path.suffix == ".gz" else path.open()


def streams_of(name: str, at_s: Sequence[float], tokens_in: Any, tokens_out: Any) -> list[Stream]:
    """Output tokens, and a cost with output four times as dear as input, on the log scale."""
    came, went = np.maximum(1.0, np.asarray(tokens_in, float)), np.maximum(1.0, np.asarray(tokens_out, float))
    at = np.asarray(at_s, float)
    return [Stream(f"{name} {what}", at, np.log(x)) for what, x in (("output", went), ("cost", came + 4 * went))]


def azure(path: Path) -> list[Stream]:
    with open_text(path) as file:
        rows = list(csv.DictReader(file))
    at = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    tokens = [[float(row[key]) for row in rows] for key in ("ContextTokens", "GeneratedTokens")]
    return streams_of(path.name.split(".")[0], at, *tokens)


def mooncake(path: Path, rows: Sequence[dict[str, Any]]) -> list[Stream]:
    at = [row["timestamp"] / 1000 for row in rows]
    tokens = [[row[key] for row in rows] for key in ("input_length", "output_length")]
    return streams_of(path.name.split(".")[0], at, *tokens)


def servegen(rows: Sequence[dict[str, Any]], rng: np.random.Generator) -> dict[str, list[Floats]]:
    """1,000 requests drawn from each window's histogram, by client and side."""
    drawn: dict[str, list[Floats]] = {}
    for row in sorted(rows, key=lambda row: float(row["t_s"])):
        for side in ("input_tokens", "output_tokens"):
            share = np.asarray(list(row[side].values()), float)
            tokens = np.log(np.maximum(1.0, np.asarray(list(row[side]), float)))
            requests = rng.choice(tokens, 1000, p=share / share.sum())
            drawn.setdefault(f"client {row['client']} {side}", []).append(requests)
    return drawn


def report_stream(stream: Stream, rng: np.random.Generator) -> None:
    for history_s, watch_s in ((60, 60), (120, 60), (120, 120), (300, 150), (600, 300), (600, 600)):
        report_nulls(f"{stream.name} {history_s} s, then {watch_s} s", list(stretches(stream, history_s, watch_s)))
    for alpha in ALPHAS:
        report_detection(f"{stream.name} concurrent", list(split_at_random(stream, rng, 2000)), alpha)
    for history_s in (60, 120, 300):
        report_detection(f"{stream.name} after {history_s} s", list(stretches(stream, history_s, 300)))


def report_windows(rows: Sequence[dict[str, Any]], rng: np.random.Generator) -> None:
    drawn = servegen(rows, rng)
    for history in (1, 4, 8, 12):
        paths = [path for windows in drawn.values() for path in windows_apart(windows, history)]
        report_nulls(f"ServeGen, the next window after {history}", paths)


@dataclass(frozen=True)
class Growing:
    """Many normal arms at once: one count, means and squared deviations of shape (runs,)."""

    n: int
    mean: Floats
    deviations: Floats

    @classmethod
    def drawn(cls, n: int, sigma: float, runs: int, rng: np.random.Generator) -> "Growing":
        return cls(n, rng.normal(0, sigma / math.sqrt(n), runs), sigma**2 * rng.chisquare(n - 1, runs))

    def merge(self, other: "Growing") -> "Growing":
        n, step = self.n + other.n, other.mean - self.mean
        deviations = self.deviations + other.deviations + step**2 * self.n * other.n / n
        return Growing(n, self.mean + step * other.n / n, deviations)

    @property
    def variance_of_mean(self) -> Floats:
        return self.deviations / (self.n - 1) / self.n


def alarmed(sigma: float, history: int | None, alphas: Sequence[float], runs: int, rng: np.random.Generator) -> Floats:
    """Shares of equal releases whose interval ever leaves 0 (no margin), in 40 looks, at each level."""
    ever = np.zeros((len(alphas), runs), bool)
    baseline = Growing.drawn(history or MIN_SAMPLES, sigma, runs, rng)
    candidate = Growing.drawn(MIN_SAMPLES, sigma, runs, rng)
    for _ in range(40):
        variance, difference = baseline.variance_of_mean + candidate.variance_of_mean, candidate.mean - baseline.mean
        for row, alpha in zip(ever, alphas, strict=True):
            row |= np.abs(difference) > half_width(variance, LOG_TAU, alpha)
        candidate = candidate.merge(Growing.drawn(10, sigma, runs, rng))
        if history is None:
            baseline = baseline.merge(Growing.drawn(10, sigma, runs, rng))
    return np.asarray(ever.mean(axis=1))


def report_levels(rng: np.random.Generator) -> None:
    alphas = (0.05, 0.001, 1e-4, 1e-5)
    for sigma in (0.3, 0.5, 1.0):
        for history in (None, 600):
            shares = np.mean([alarmed(sigma, history, alphas, 100_000, rng) for _ in range(10)], axis=0)
            found = ", ".join(f"{share:.2g} at α={alpha:g}" for share, alpha in zip(shares, alphas, strict=True))
            print(f"equal releases, no margin, σ={sigma}, baseline of {history or 'equal size'}: {found}")


def requests_to_rise(base: float, rise: float, alpha: float, rng: np.random.Generator) -> float:
    """Requests of the candidate, after 600 of the baseline, until the rates differ by more than 2 points."""
    baseline = RateArm(600, int(rng.binomial(600, base)))
    events = (rng.random(3000) < base + rise).cumsum()
    for n in looks(3000):
        if difference_interval(baseline, RateArm(int(n), int(events[n - 1])), alpha)[0] > 0.02:
            return float(n)
    return math.inf


def report_rates(rng: np.random.Generator) -> None:
    for base, rise in ((0.0, 1.0), (0.0, 0.3), (0.01, 0.09), (0.02, 0.18), (0.05, 0.1), (0.01, 0.0), (0.1, 0.0)):
        for alpha in ALPHAS:
            found = sorted(requests_to_rise(base, rise, alpha, rng) for _ in range(100))
            print(
                f"rate {base:.0%} → {base + rise:.0%}, margin 2 points, α={alpha}: median {found[50]:.0f},"
                f" p90 {found[90]:.0f} requests, found {np.mean(np.isfinite(found)):.0%}"
            )


def report_taus(rng: np.random.Generator) -> None:
    for sigma in (0.3, 0.4, 0.5, 0.7):
        runs = simulated(sigma, rng, 1000, history=None)
        for tau in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
            found = [run.first_alarm(0.001, tolerant=False, rise=RISE, tau=tau) for run in runs]
            print(f"lognormal σ={sigma} concurrent, τ={tau}: 1.6× in {np.mean(found):.0f} requests on average")


def report_simulated(rng: np.random.Generator) -> None:
    for sigma in (0.25, 0.3, 0.4, 0.5):
        for history in (None, 300, 600):
            name = f"lognormal σ={sigma} " + ("concurrent" if history is None else f"after {history} requests")
            paths = simulated(sigma, rng, 1000, history=history)
            report_nulls(name, paths)
            for alpha in (0.001, 0.001 / 4, 0.001 / 4 * 6 / math.pi**2):
                report_detection(name, paths, alpha)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", nargs="*", type=Path, help="public trace files; simulated requests without any")
    rng = np.random.default_rng(7)
    files = parser.parse_args().trace
    if not files:
        for report in (report_levels, report_rates, report_taus, report_simulated):
            report(np.random.default_rng(7))
    for path in files:
        if ".csv" in path.suffixes:
            streams = azure(path)
        else:
            with open_text(path) as file:
                rows = [json.loads(line) for line in file]
            if "output_tokens" in rows[0]:
                report_windows(rows, rng)
                continue
            streams = mooncake(path, rows)
        for stream in streams:
            report_stream(stream, rng)


if __name__ == "__main__":
    main()
