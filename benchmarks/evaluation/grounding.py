"""Grounding on BEGIN (Wizard of Wikipedia), MTRAG and HaluEval: default weights as shipped, then calibrated from labels."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.contract import Context, Message, SpanText
from analyzers.embedding.embedder import Embedder
from analyzers.grounding.assessment import Assessed, assess
from analyzers.grounding.calibration import Labelled, auroc, balanced_accuracy, fit_weights, said_by_default
from analyzers.grounding.passages import Passages
from analyzers.grounding.support import DEFAULT, Weights
from analyzers.grounding.terms import Analysed
from analyzers.hosting import ModelUnavailableError
from benchmarks.evaluation.row import Row
from schemas.analysis import EmbedderSettings, GroundingSettings

RESAMPLES = 1_000
LABELS = (50, 200, 500)
REPEATS = 20
FAITHFUL = 3.0
"""Mean of people's ratings from 1 to 4 from which on an answer of MTRAG counts as supported."""
EPOCH = datetime.fromtimestamp(0, UTC)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """An answer with its context, and whether people (or its maker) call it unsupported."""

    documents: tuple[str, ...]
    question: str
    answer: str
    unsupported: bool


@dataclass(frozen=True)
class Scored:
    """The examples of a set that were not abstained from, with what the scorers make of them."""

    assessed: Sequence[Assessed]
    examples: Sequence[Example]
    unsupported: NDArray[np.bool_]
    abstained: dict[str, int]
    took_s: float


def run(data: Path, seed: int) -> list[Row]:
    """The figures of docs/evaluation.md."""
    return asyncio.run(_run(data / "grounding", seed))


async def _run(folder: Path, seed: int) -> list[Row]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ThreadPoolExecutor(1) as threads:
        embedder = Embedder(EmbedderSettings(), threads)
        rows: list[Row] = []
        for name, read in SETS.items():
            examples = list(read(folder))
            lexical = _scored(examples)
            rows += _figures(name, lexical, await _with_similarity(lexical, embedder), seed)
        return rows


def _figures(name: str, lexical: Scored, embedded: Scored | None, seed: int) -> list[Row]:
    missing = ", ".join(f"{reason} {count}" for reason, count in sorted(lexical.abstained.items())) or "none"
    truth = lexical.unsupported
    rows = [
        Row(name, "answers, share unsupported; abstained", f"{len(truth)}, {truth.mean():.2f}; {missing}"),
        _row(name, "AUROC length of the answer alone", [len(each.answer) for each in lexical.examples], truth, seed),
        _row(name, "AUROC trigram coverage alone", [-_trigrams(each) for each in lexical.examples], truth, seed),
        _row(name, "AUROC words alone (1-lexical)", -_supports(lexical, DEFAULT), truth, seed),
        Row(name, "answers/s, words alone", f"{len(truth) / lexical.took_s:.0f}"),
    ]
    if embedded is not None:
        support = _supports(embedded, DEFAULT)
        flagged = ~said_by_default(_labelled(embedded))
        rows += [
            _row(name, "AUROC with embeddings (shipped)", -support, truth, seed),
            Row(
                name, "at .5: flagged of supported / unsupported", f"{flagged[~truth].mean():.2f} / {flagged[truth].mean():.2f}"
            ),
            Row(name, "answers/s, with embeddings", f"{len(truth) / embedded.took_s:.0f}"),
        ]
    return rows + _learned(name, embedded or lexical, seed)


def _row(name: str, figure: str, score: Iterable[float], truth: NDArray[np.bool_], seed: int) -> Row:
    """AUROC with its 95 % percentile bootstrap interval."""
    values = np.asarray(list(score), dtype=np.float64)
    random = np.random.default_rng(seed)
    found: list[float] = []
    while len(found) < RESAMPLES:
        chosen = random.integers(0, len(values), len(values))
        if 0 < truth[chosen].sum() < len(values):
            found.append(auroc(values[chosen], truth[chosen]))
    low, high = np.percentile(found, [2.5, 97.5])
    return Row(name, figure, f"{auroc(values, truth):.3f} [{low:.3f}, {high:.3f}]")


def _learned(name: str, scored: Scored, seed: int) -> list[Row]:
    """Calibrated from N labels of the same set, tested on the rest: the mean over random draws, beside the default there."""
    rows = []
    labelled = _labelled(scored)
    before = _supports(scored, DEFAULT)
    for count in LABELS:
        if 2 * count > len(labelled):
            continue
        pairs = [_one_draw(labelled, before, scored.unsupported, count, seed + number) for number in range(REPEATS)]
        (default, own), (plain, fitted) = np.mean(pairs, axis=0)
        rows.append(Row(name, f"AUROC from {count} labels, on the rest (default)", f"{own:.3f} ({default:.3f})"))
        rows.append(Row(name, f"balanced accuracy from {count} labels (default)", f"{fitted:.3f} ({plain:.3f})"))
    return rows


def _one_draw(
    labelled: Sequence[Labelled], before: Values, unsupported: NDArray[np.bool_], count: int, seed: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    order = np.random.default_rng(seed).permutation(len(labelled))
    known, rest = order[:count], order[count:]
    weights = fit_weights([labelled[number] for number in map(int, known)])
    others = [labelled[number] for number in map(int, rest)]
    after = np.array([_least(each.signals, weights) for each in others])
    truth = unsupported[rest]
    areas = auroc(-before[rest], truth), auroc(-after, truth)
    return areas, (balanced_accuracy(~said_by_default(others), truth), balanced_accuracy(after < 0.5, truth))


def _scored(examples: Sequence[Example]) -> Scored:
    started = time.perf_counter()
    pairs = [(example, _assessed(example)) for example in examples]
    took_s = time.perf_counter() - started
    abstained = [found.reason for _, found in pairs if found.reason]
    kept = [(example, found) for example, found in pairs if not found.reason]
    return Scored(
        [found for _, found in kept],
        [example for example, _ in kept],
        np.array([example.unsupported for example, _ in kept]),
        {reason: abstained.count(reason) for reason in set(abstained)},
        took_s,
    )


async def _with_similarity(scored: Scored, embedder: Embedder) -> Scored | None:
    """The same with embeddings; None where there is no embedder."""
    started = time.perf_counter()
    texts = [text for each in scored.assessed for found in each.measured for text in (found.best.text, found.sentence.text)]
    try:
        rows = await embedder.embed(texts)
    except ModelUnavailableError:
        return None
    cosines = iter(np.einsum("ij,ij->i", rows[0::2].astype(np.float64), rows[1::2].astype(np.float64)))
    assessed = [
        replace(each, measured=tuple(replace(found, similarity=float(next(cosines))) for found in each.measured))
        for each in scored.assessed
    ]
    return replace(scored, assessed=assessed, took_s=scored.took_s + time.perf_counter() - started)


def _assessed(example: Example) -> Assessed:
    texts = ("project", "trace_id", "span_id", "service", "environment", "provider", "model", "target", "release", "user")
    given: dict[str, Any] = dict.fromkeys((*texts, "conversation", "status", "error_type"), "")
    given |= {"log_partition": 0, "log_offset": 0, "received_at": EPOCH, "time": EPOCH, "operation": "chat"}
    asked, answer = Message("user", example.question), Message("assistant", example.answer)
    span = SpanText(**given, finish_reasons=(), input=(asked,), output=(answer,))
    return assess(span, Context(documents=example.documents), GroundingSettings().max_context_chars)


def _supports(scored: Scored, weights: Weights) -> Values:
    return np.array([_least(each.signals, weights) for each in _labelled(scored)])


def _labelled(scored: Scored) -> list[Labelled]:
    signals = [np.array([list(each.signals().values()) for each in found.measured]) for found in scored.assessed]
    return [Labelled(each, not bad) for each, bad in zip(signals, scored.unsupported, strict=True)]


def _least(signals: Values, weights: Weights) -> float:
    return min(weights.support(list(row)) for row in signals)


def _trigrams(example: Example) -> float:
    """Share of the answer's 3-grams that the context has, all alike: the baseline."""
    answer, known = Analysed(example.answer), Passages(example.documents)
    n = min(3, len(answer.stems))
    ngrams = answer.ngrams(n)
    pool = known.ngrams if n > 1 else {(word,) for word in known.stems}
    return sum(ngram in pool for ngram in ngrams) / len(ngrams) if ngrams else 0.0


def _lines(file: Path) -> Iterable[dict[str, Any]]:
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def _begin(split: str) -> Callable[[Path], Iterable[Example]]:
    def read(folder: Path) -> Iterable[Example]:
        for row in _lines(folder / f"begin_wow_{split}.jsonl.gz"):
            yield Example((row["knowledge"],), row["message"], row["response"], row["begin_label"] != "Fully attributable")

    return read


def _mtrag(folder: Path) -> Iterable[Example]:
    for row in _lines(folder / "mtrag_human_eval.jsonl.gz"):
        if row["contexts"]:
            documents = tuple(each["text"] for each in row["contexts"])
            rated = float(np.mean(row["faithfulness"]))
            yield Example(documents, row["messages"][-1]["text"], row["response"], rated < FAITHFUL)


def _swapped(folder: Path) -> Iterable[Example]:
    """Reference answers with their own passages, and with those of another conversation in the same collection."""
    rows = [
        row
        for row in _lines(folder / "mtragun_reference.jsonl.gz")
        if row["contexts"] and row["answerability"] == ["ANSWERABLE"]
    ]
    for number, row in enumerate(rows):
        others = [each for each in rows if _elsewhere(each, row)]
        asked, answer = row["input"][-1]["text"], row["targets"][0]["text"]
        for source, bad in ((row, False), (others[number % len(others)], True)):
            yield Example(tuple(each["text"] for each in source["contexts"]), asked, answer, bad)


def _elsewhere(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["Collection"] == other["Collection"] and one["conversation_id"] != other["conversation_id"])


def _halueval(folder: Path) -> Iterable[Example]:
    for row in _lines(folder / "halueval_qa500.jsonl.gz"):
        yield Example((row["knowledge"],), row["question"], row["right_answer"], False)
        yield Example((row["knowledge"],), row["question"], row["hallucinated_one_turn"], True)


SETS: dict[str, Callable[[Path], Iterable[Example]]] = {
    "BEGIN-WoW dev": _begin("dev"),
    "BEGIN-WoW test": _begin("test"),
    "MTRAG, rated by people": _mtrag,
    "MTRAG-UN, passages swapped": _swapped,
    "HaluEval-QA (length gives it away)": _halueval,
}
