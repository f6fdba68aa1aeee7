"""Agreement against scikit-learn, SciPy, published examples and simulation."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from analyzers.stats.agreement import (
    Confusion,
    auroc,
    between_people,
    cohen_kappa,
    krippendorff_alpha,
    majority,
    wilson,
)

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(pairs=pairs)
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    found = cohen_kappa(Confusion.of(pairs))
    ours, theirs = zip(*pairs, strict=True)
    if len({*ours, *theirs}) < 2:
        assert found is None
        return
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(cohen_kappa_score(ours, theirs), abs=1e-12)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_the_interval_of_kappa_holds_it() -> None:
    """Two judges with known errors: the true kappa lies within in about 95 of 100 samples, also small ones."""
    chance = random.Random(4)
    truth, share, right = 0.64 / 1.0, 0.5, 0.9  # agreement .82 and chance .5: kappa .64
    for n, least in ((25, 0.92), (200, 0.93)):
        held = 0
        for _ in range(1500):
            pairs = []
            for _ in range(n):
                bad = chance.random() < share
                pairs.append((bad == (chance.random() < right), bad == (chance.random() < right)))
            found = cohen_kappa(Confusion.of(pairs))
            held += found is not None and found.low is not None and found.high is not None and found.low <= truth <= found.high
        assert held / 1500 > least, n


def test_a_perfect_but_small_table_is_not_certain() -> None:
    found = cohen_kappa(Confusion(3, 0, 0, 3))
    assert found is not None
    assert found.value == 1
    assert found.low is not None
    assert found.low < 0.8
    assert cohen_kappa(Confusion()) is None
    assert cohen_kappa(Confusion(5, 0, 0, 0)) is None


@given(successes=st.integers(0, 50), more=st.integers(0, 50))
def test_wilson_is_that_of_scipy(successes: int, more: int) -> None:
    n = successes + more
    found = wilson(successes, n)
    if n == 0:
        assert found is None
        return
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert found is not None
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=1e-9)


@given(rows=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_auroc_is_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    values, flagged = [float(value) for value, _ in rows], [mark for _, mark in rows]
    found = auroc(values, flagged)
    if len(set(flagged)) < 2:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(flagged, values))
    assert found.low is None or found.high is None or 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_of_the_auroc_holds_it() -> None:
    rng = np.random.default_rng(2)
    truth = 0.5 * (1 + math.erf(1.2 / 2))  # two normals 1.2 apart
    held = 0
    for _ in range(600):
        values = np.concatenate([rng.normal(1.2, 1, 40), rng.normal(0, 1, 60)])
        found = auroc(list(values), [True] * 40 + [False] * 60)
        held += found is not None and found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert 0.92 < held / 600 < 0.98


# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C: four observers, twelve units, α = 0.743.
OBSERVERS = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]


def test_alpha_is_the_published_one() -> None:
    units = [[value for value in unit if value != "."] for unit in zip(*(row.split() for row in OBSERVERS), strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_people_among_themselves() -> None:
    found = between_people([{"ann": True, "bob": True}, {"ann": False, "bob": True, "cy": False}, {"ann": True}])
    assert found is not None
    assert (found.spans, found.pairs, found.agreement) == (2, 4, 0.5)
    assert between_people([{"ann": True}, {}]) is None
    same = between_people([{"ann": True, "bob": True}])
    assert same is not None
    assert (same.agreement, same.alpha) == (1.0, None)


def test_a_tie_is_no_majority() -> None:
    assert [majority(said) for said in ([True], [True, False], [True, False, False], [])] == [True, None, False, None]
