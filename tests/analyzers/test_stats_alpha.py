import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.stats import alpha


@given(st.floats(1e-6, 0.2), st.integers(1, 12))
def test_everything_spent_over_a_thousand_promotions_stays_within_the_budget(budget: float, metrics: int) -> None:
    total = sum(metrics * alpha.spent(budget, metrics=metrics, episode=k) for k in range(1, 1001))
    assert 0.999 * budget < total <= budget


def test_shares_as_documented() -> None:
    assert alpha.per_episode(1.0, 1) == pytest.approx(0.6079, abs=1e-4)
    assert alpha.per_episode(1.0, 10) == pytest.approx(0.0061, abs=1e-4)
    assert alpha.per_metric(0.001, 4) == 0.00025


def test_counting_starts_at_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        alpha.per_episode(0.05, 0)
    with pytest.raises(ValueError, match="at least one metric"):
        alpha.per_metric(0.05, 0)
