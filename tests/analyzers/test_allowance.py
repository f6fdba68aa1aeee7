"""How many texts an analyzer is given: its budget, saved up, and what it can do."""

from __future__ import annotations

from analyzers.runner import Allowance


def test_a_budget_is_saved_up_and_what_is_not_needed_is_given_back() -> None:
    now = [100.0]
    budget = Allowance(5.0, lambda: now[0])
    assert budget.take(behind=False) == 50
    budget.settle(50, 10, 0.1)
    assert budget.take(behind=False) == 40
    now[0] += 2
    assert budget.take(behind=False) == 10
    now[0] += 1000
    assert budget.take(behind=False) == 300
    assert Allowance(None).take(behind=True) is None


def test_one_slower_than_its_budget_is_given_what_it_can_do() -> None:
    now = [0.0]
    budget = Allowance(100.0, lambda: now[0])
    for _ in range(20):
        given = budget.take(behind=True)
        assert given is not None
        now[0] += given / 8
        budget.settle(given, given, given / 8)
    assert given == 8
    assert budget.take(behind=False) in range(75, 90)
