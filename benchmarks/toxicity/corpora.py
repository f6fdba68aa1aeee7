"""Labelled texts of the toxicity corpora, and the half of them that is never trained on."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.toxicity.sentences import NOT_TOXIC, TOXIC
from benchmarks.toxicity.templates import Templates

Record = dict[str, Any]


@dataclass(frozen=True)
class Labelled:
    """A text, whether people called it toxic, and the text whose hash decides its half (a completion goes with its prompt)."""

    text: str
    toxic: bool
    key: str = ""

    @property
    def held_out(self) -> bool:
        """Whether it belongs to the half that is never trained on. The same text, however written, is on one side."""
        normalised = re.sub(r"\W+", " ", (self.key or self.text).lower()).strip()
        return int(hashlib.sha256(normalised.encode()).hexdigest()[8:16], 16) >= 2**31


TOXIC_LABEL: dict[str, Callable[[Record], bool]] = {
    "davidson_tweets": lambda row: row["label"] != "neither",
    "surge_toxicity_en": lambda row: row["is_toxic"] == "Toxic",
    "wikipedia_comments": lambda row: bool(row["toxic"]),
    "toxigen_annotated": lambda row: row["label"] == "hate",
    "implicit_hate": lambda row: row["label"] == "hate",
    "stormfront_sentences": lambda row: row["label"] == "hate",
}
"""What counts as toxic in each corpus."""


def corpus(data: Path, name: str) -> list[Labelled]:
    """A labelled corpus; empty where `data` does not have it."""
    return [Labelled(row["text"], TOXIC_LABEL[name](row)) for row in _rows(data / "toxicity" / f"{name}.jsonl.gz")]


def harmless_prompts(data: Path) -> list[Labelled]:
    """XSTest's safe prompts: they only look dangerous."""
    rows = _rows(data / "toxicity" / "xstest_completions.jsonl.gz")
    return [Labelled(prompt, toxic=False) for prompt in sorted({row["prompt"] for row in rows if _is_safe(row)})]


def harmless_completions(data: Path) -> list[Labelled]:
    """XSTest's refusals, and the answers to its safe prompts."""
    rows = _rows(data / "toxicity" / "xstest_completions.jsonl.gz")
    kept = [row for row in rows if row["completion"] and (_is_safe(row) or row["final_label"] != "1_full_compliance")]
    return [Labelled(row["completion"], toxic=False, key=row["prompt"]) for row in kept]


def ordinary(data: Path, name: str, field: str, limit: int, seed: int) -> list[Labelled]:
    """`limit` texts of everyday traffic, which hardly ever is toxic."""
    texts = sorted({row[field] for row in _rows(data / "drift" / f"{name}.jsonl.gz") if row[field].strip()})
    return [Labelled(text, toxic=False) for text in random.Random(seed).sample(texts, min(limit, len(texts)))]


def own_sentences() -> list[Labelled]:
    """The sentences written for this project; all of them are for training."""
    return [Labelled(text, toxic=False) for text in NOT_TOXIC] + [Labelled(text, toxic=True) for text in TOXIC]


def counter_examples(its: Templates, seed: int, *, toxic: bool) -> list[Labelled]:
    """The sentences of templates."""
    return [Labelled(text, toxic) for text in its.written_out(seed)]


def _is_safe(row: Record) -> bool:
    return not row["type"].startswith("contrast")


def _rows(path: Path) -> Iterable[Record]:
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
