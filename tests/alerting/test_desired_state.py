"""From one desired state to the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.desired_state import KNOWN_GOOD_AFTER, promote, restore, shifted
from alerting.refusals import TargetRefusedError
from storage.targets import Target
from tests.alerting.rollback_world import START

NEW = Target("default", "chat", 1, {}, None, None, None, "created", START, "desired", None, None, START)


def ship(target: Target, release: str, weight: float = 100, *, after: timedelta = timedelta(0), bad: bool = False) -> Target:
    now = target.changed_at + after
    return replace(promote(target, release, weight, rolled_back=bad, now=now), changed_at=now)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0.01, 100)), min_size=1, max_size=12))
def test_weights_always_add_up_to_100(shifts: list[tuple[str, float]]) -> None:
    weights: dict[str, float] = {"a": 100.0}
    for release, weight in shifts:
        if set(weights) == {release} and round(100 - weight, 6):
            continue
        weights = shifted(weights, release, weight)
        assert sum(weights.values()) == pytest.approx(100, abs=1e-9)
        assert all(0 < share <= 100 for share in weights.values())
        assert weights[release] == pytest.approx(weight, abs=1e-4)


def test_the_others_keep_their_proportions() -> None:
    assert shifted({"a": 90.0, "b": 10.0}, "c", 50) == {"a": 45.0, "b": 5.0, "c": 50.0}


@pytest.mark.parametrize("weight", [0, -1, 100.1, float("nan"), float("inf")])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(TargetRefusedError, match="above 0 and up to 100"):
        shifted({"a": 100.0}, "b", weight)


def test_the_first_release_carries_everything() -> None:
    with pytest.raises(TargetRefusedError, match="promote v1 with weight 100"):
        ship(NEW, "v1", 50)
    first = ship(NEW, "v1")
    assert (first.weights, first.current, first.previous) == ({"v1": 100.0}, "v1", None)


def test_widening_a_canary_keeps_what_it_replaces() -> None:
    canary = ship(ship(NEW, "v1"), "v2", 5)
    wider = ship(ship(canary, "v2", 50), "v2")
    assert (wider.weights, wider.current, wider.previous) == ({"v2": 100.0}, "v2", "v1")


def test_a_promotion_over_a_canary_replaces_the_main_release() -> None:
    third = ship(ship(ship(NEW, "v1"), "v2", 5), "v3")
    assert (third.current, third.previous) == ("v3", "v1")


def test_going_back_to_the_main_release_replaces_nothing() -> None:
    back = ship(ship(ship(NEW, "v1"), "v2", 5), "v1")
    assert (back.weights, back.current, back.previous) == ({"v1": 100.0}, "v1", None)


def test_a_release_is_good_after_an_hour_of_all_traffic() -> None:
    first = ship(NEW, "v1")
    assert ship(first, "v2", after=KNOWN_GOOD_AFTER).last_known_good == "v1"
    assert ship(first, "v2", after=KNOWN_GOOD_AFTER - timedelta(seconds=1)).last_known_good is None
    assert ship(first, "v2", after=KNOWN_GOOD_AFTER, bad=True).last_known_good is None
    shared = ship(first, "v2", 5)
    assert ship(shared, "v3", after=KNOWN_GOOD_AFTER).last_known_good is None


def test_a_hotfix_over_a_bad_release_keeps_the_good_one() -> None:
    bad = ship(ship(NEW, "v1"), "v2", after=timedelta(days=1))
    fixed = ship(bad, "v3", after=timedelta(minutes=4))
    assert (fixed.previous, fixed.last_known_good) == ("v2", "v1")


def test_a_restored_release_has_no_predecessor() -> None:
    restored = restore(ship(ship(NEW, "v1"), "v2"), "v1")
    assert (restored.weights, restored.current, restored.previous, restored.kind) == ({"v1": 100.0}, "v1", None, "rollback")
