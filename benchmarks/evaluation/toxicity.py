"""The toxicity screen on texts that it was not trained on: does it rank, is it calibrated, what does it leave to Detoxify?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.embedding.model import SentenceModel
from analyzers.embedding.windows import windows
from analyzers.toxicity.analyzer import MAX_WINDOWS, WINDOW_CHARS
from analyzers.toxicity.judgement import is_doubtful
from analyzers.toxicity.screen import Screen, load_screen
from benchmarks.evaluation.row import Row
from benchmarks.toxicity.corpora import Labelled, corpus, counter_examples, harmless_completions, harmless_prompts, ordinary
from benchmarks.toxicity.templates import UNSEEN
from benchmarks.toxicity.train import embed
from schemas.analysis import EmbedderSettings, ToxicitySettings

BARS = {"davidson_tweets": ".95", "surge_toxicity_en": ".94", "wikipedia_comments": ".95"}
SHOWN = (*BARS, "toxigen_annotated", "implicit_hate", "stormfront_sentences")
RESAMPLES = 1_000
BINS = 10
EVERYDAY = (
    ("Banking77", "banking77_train", "text"),
    ("Arena-Hard prompts", "arena_hard_v01_answers", "prompt"),
    ("Arena-Hard answers", "arena_hard_v01_answers", "answer"),
)
EVERYDAY_TEXTS = 1_500


@dataclass(frozen=True)
class Judged:
    """What the screen said of labelled texts."""

    toxic: NDArray[np.bool_]
    probability: NDArray[np.float64]

    def doubtful(self) -> float:
        """The share that would go to the big model."""
        doubt = ToxicitySettings().doubt
        return float(np.mean([is_doubtful(value, doubt) for value in self.probability]))

    def flagged(self) -> float:
        """The share at or above the threshold."""
        return float(np.mean(self.probability >= ToxicitySettings().threshold))


def run(data: Path, seed: int) -> list[Row]:
    """Figures of the screen that comes with the package, on the half of each corpus that was held out."""
    screen, model = load_screen(), SentenceModel(EmbedderSettings())
    rows: list[Row] = []
    for name in SHOWN:
        if held_out := [row for row in corpus(data, name) if row.held_out]:
            rows += _corpus_rows(name, _judged(screen, model, held_out), seed)
    for what, texts in _harmless(data, seed).items():
        if texts:
            rows += _harmless_rows(what, _judged(screen, model, texts))
    for what, texts in _unseen(seed).items():
        rows.append(_flagged_row(f"unseen templates, {what}", _judged(screen, model, texts)))
    return rows


def _unseen(seed: int) -> dict[str, list[Labelled]]:
    """Sentences about people and with strong words: no template and no filling of them was trained on."""
    return {what: counter_examples(its, seed, toxic=toxic) for (what, toxic), its in UNSEEN.items()}


def _harmless(data: Path, seed: int) -> dict[str, list[Labelled]]:
    found = {"XSTest safe prompts": harmless_prompts(data), "XSTest completions": harmless_completions(data)}
    found |= {what: ordinary(data, name, field, EVERYDAY_TEXTS, seed) for what, name, field in EVERYDAY}
    return {what: [row for row in rows if row.held_out] for what, rows in found.items()}


def _judged(screen: Screen, model: SentenceModel, rows: Sequence[Labelled]) -> Judged:
    cut = [windows(row.text, WINDOW_CHARS, MAX_WINDOWS) for row in rows]
    pieces = [window.of(row.text) for row, its in zip(rows, cut, strict=True) for window in its]
    probability = screen.probabilities(pieces, embed(model, pieces))
    firsts = np.cumsum([0] + [len(its) for its in cut[:-1]])
    return Judged(np.array([row.toxic for row in rows]), np.maximum.reduceat(probability, firsts))


def _corpus_rows(name: str, judged: Judged, seed: int) -> list[Row]:
    value = auroc(judged.toxic, judged.probability)
    low, high = _interval(judged, seed)
    what = f"{name} (n = {len(judged.toxic)})"
    toxic = Judged(judged.toxic[judged.toxic], judged.probability[judged.toxic])
    other = Judged(judged.toxic[~judged.toxic], judged.probability[~judged.toxic])
    settled = float(np.mean(toxic.probability < ToxicitySettings().doubt[0]))
    return [
        Row(what, "AUROC (95 % interval)", f"{value:.3f} ({low:.3f}–{high:.3f})", f"≥ {BARS[name]}" if name in BARS else ""),
        Row(what, "flagged: of toxic / of others", f"{toxic.flagged():.1%} / {other.flagged():.1%}"),
        Row(what, "expected calibration error", f"{calibration_error(judged.toxic, judged.probability):.3f}"),
        Row(what, "sent to the big model", f"{judged.doubtful():.1%}"),
        Row(what, "toxic, yet settled as harmless", f"{settled:.1%}"),
    ]


def _harmless_rows(what: str, judged: Judged) -> list[Row]:
    return [
        _flagged_row(what, judged),
        Row(f"{what} (n = {len(judged.toxic)})", "sent to the big model", f"{judged.doubtful():.1%}"),
    ]


def _flagged_row(what: str, judged: Judged) -> Row:
    return Row(f"{what} (n = {len(judged.toxic)})", "flagged by the screen alone", f"{judged.flagged():.1%}")


def auroc(toxic: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """Chance that a toxic text gets the higher probability; ties count half (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    ranks, positives = rankdata(probability), int(toxic.sum())
    return float((ranks[toxic].sum() - positives * (positives + 1) / 2) / (positives * (len(toxic) - positives)))


def _interval(judged: Judged, seed: int) -> tuple[float, float]:
    """Percentile bootstrap, the classes apart."""
    random = np.random.default_rng(seed)
    groups = (np.flatnonzero(judged.toxic), np.flatnonzero(~judged.toxic))
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([random.choice(group, len(group)) for group in groups])
        values.append(auroc(judged.toxic[drawn], judged.probability[drawn]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def calibration_error(toxic: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """Mean distance of probability and frequency over equal bins, the two classes weighing the same (Naeini et al. 2015)."""
    weight = np.where(toxic, 0.5 / toxic.sum(), 0.5 / (~toxic).sum())
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    signed = [float((weight * (toxic - probability))[bins == each].sum()) for each in range(BINS)]
    return float(np.abs(signed).sum())
