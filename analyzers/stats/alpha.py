"""Spending one false-alarm budget over metrics and over successive promotions (union bound, nothing assumed)."""

import math


def per_metric(alpha: float, metrics: int) -> float:
    """Bonferroni: with α/m each, the chance that any of m metrics alarms falsely stays below α."""
    if metrics < 1:
        raise ValueError(f"the budget is spent over at least one metric, not {metrics}")
    return alpha / metrics


def per_episode(alpha: float, episode: int) -> float:
    """α_k = α·6/(π²k²) for promotion k = 1, 2, …: the sum over all promotions, ever, is α.

    The first promotion gets 61 % of the budget, the tenth 0.6 %. Whoever counts episodes decides when k starts
    again at 1 (a new quarter, say); α is then the budget of that period.
    """
    if episode < 1:
        raise ValueError(f"promotions are counted from 1, not {episode}")
    return alpha * 6 / (math.pi * episode) ** 2


def spent(alpha: float, *, metrics: int, episode: int) -> float:
    """The level of one metric in promotion `episode`, when α covers every metric of every promotion."""
    return per_metric(per_episode(alpha, episode), metrics)
