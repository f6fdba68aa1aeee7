"""Which spans an analyzer looks at when its budget is smaller than the traffic: the same ones however often it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

K = TypeVar("K")
Stratum = tuple[str, str, str, str]


@dataclass(frozen=True)
class Wanted:
    """A span that an analyzer would look at, before its text is read; `texts` tells identical texts from others."""

    project: str
    trace_id: str
    span_id: str
    received_at: datetime
    time: datetime
    service: str
    model: str
    target: str
    release: str
    texts: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """The spans to look at, in the order of the log, for how many spans each of them stands, and how many texts they are."""

    spans: tuple[Wanted, ...]
    weights: tuple[float, ...]
    texts: int


def stratum(wanted: Wanted) -> Stratum:
    """Small releases are not crowded out by large ones: each gets a share of the budget of its own."""
    return wanted.project, wanted.service, wanted.target, wanted.release


def sample(wanted: Sequence[Wanted], allowance: int | None) -> Sample:
    """At most about `allowance` texts (None: all), identical texts counted once; at least one span of each stratum.

    Within a stratum spans are taken in the order of the hash of their trace id, so a trace is looked at as a whole.
    """
    strata: dict[Stratum, list[Wanted]] = {}
    for each in wanted:
        strata.setdefault(stratum(each), []).append(each)
    costs = {key: _texts(members) for key, members in strata.items()}
    quotas = costs if allowance is None else share_out(allowance, costs)
    weights: dict[int, float] = {}
    for key, members in strata.items():
        taken = members if quotas[key] >= costs[key] else _first(members, quotas[key])
        weights.update({id(each): len(members) / len(taken) for each in taken})
    chosen = tuple(each for each in wanted if id(each) in weights)
    return Sample(chosen, tuple(weights[id(each)] for each in chosen), _texts(chosen))


def share_out(allowance: int, costs: Mapping[K, int]) -> dict[K, int]:
    """An equal part for everyone; what the small do not need goes to the others (max-min fairness)."""
    quotas: dict[K, int] = {}
    left, waiting = allowance, len(costs)
    for key, cost in sorted(costs.items(), key=lambda item: (item[1], repr(item[0]))):
        quotas[key] = min(cost, left // waiting)
        left -= quotas[key]
        waiting -= 1
    return quotas


def _texts(members: Sequence[Wanted]) -> int:
    return len({text for each in members for text in each.texts})


def _first(members: Sequence[Wanted], quota: int) -> list[Wanted]:
    seen: set[int] = set()
    taken: list[Wanted] = []
    for each in sorted(members, key=_rank):
        if taken and len(seen.union(each.texts)) > quota:
            break
        seen.update(each.texts)
        taken.append(each)
    return taken


def _rank(wanted: Wanted) -> bytes:
    return hashlib.blake2b(wanted.trace_id.encode(), digest_size=8).digest()
