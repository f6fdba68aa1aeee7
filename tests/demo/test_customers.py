"""Who asks what, and how often."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest

from demo.customers import NEW_INTENT_SHARE, TOXIC_SHARE, Question, ask


def asked(*, new_intents: bool, seed: int = 1, count: int = 10_000) -> list[Question]:
    rng = random.Random(seed)
    return [ask(rng, new_intents=new_intents) for _ in range(count)]


def test_a_share_is_toxic_and_only_from_a_moment_on_something_is_new() -> None:
    before = Counter(question.kind for question in asked(new_intents=False))
    after = Counter(question.kind for question in asked(new_intents=True))
    assert before["toxic"] / 10_000 == pytest.approx(TOXIC_SHARE, rel=0.2)
    assert after["toxic"] / 10_000 == pytest.approx(TOXIC_SHARE, rel=0.2)
    assert before["new"] == 0
    assert after["new"] / 10_000 == pytest.approx(NEW_INTENT_SHARE, rel=0.1)


def test_kinds_share_no_question() -> None:
    texts = {kind: {one.text for one in asked(new_intents=True) if one.kind == kind} for kind in ("usual", "toxic", "new")}
    assert sum(map(len, texts.values())) == len(set.union(*texts.values()))
    assert all(len(found) >= 10 for found in texts.values())


def test_new_questions_are_about_as_long_as_usual_ones() -> None:
    size = {kind: [len(one.text) for one in asked(new_intents=True) if one.kind == kind] for kind in ("usual", "new")}
    assert statistics.mean(size["new"]) < 1.4 * statistics.mean(size["usual"])


def test_the_seed_decides_everything() -> None:
    assert asked(new_intents=True, seed=3, count=50) == asked(new_intents=True, seed=3, count=50)
    assert asked(new_intents=True, seed=3, count=50) != asked(new_intents=True, seed=4, count=50)
