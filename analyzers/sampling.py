"""Which spans an analyzer looks at when its budget is smaller than the traffic: the same ones however often it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from analyzers.contract import SpanText

K = TypeVar("K")
Stratum = tuple[str, str, str, str]


@dataclass(frozen=True)
class Wanted:
    """A span and the texts of it that an analyzer would look at."""

    span: SpanText
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The spans to look at, in the order of the log, and for how many spans each of them stands."""

    spans: tuple[SpanText, ...]
    weights: tuple[float, ...]


def stratum(span: SpanText) -> Stratum:
    """Small releases are not crowded out by large ones: each gets a share of the budget of its own."""
    return span.project, span.service, span.target, span.release


def sample(wanted: Sequence[Wanted], allowance: int | None) -> Sample:
    """At most about `allowance` texts (None: all), identical texts counted once; at least one span of each stratum.

    Within a stratum spans are taken in the order of the hash of their trace id, so a trace is looked at as a whole.
    """
    strata: dict[Stratum, list[Wanted]] = {}
    for each in wanted:
        strata.setdefault(stratum(each.span), []).append(each)
    costs = {key: _texts(members) for key, members in strata.items()}
    quotas = costs if allowance is None else share_out(allowance, costs)
    weights: dict[int, float] = {}
    for key, members in strata.items():
        taken = members if quotas[key] >= costs[key] else _first(members, quotas[key])
        weights.update({id(each): len(members) / len(taken) for each in taken})
    chosen = [each for each in wanted if id(each) in weights]
    return Sample(tuple(each.span for each in chosen), tuple(weights[id(each)] for each in chosen))


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
    seen: set[str] = set()
    taken: list[Wanted] = []
    for each in sorted(members, key=_rank):
        if taken and len(seen.union(each.texts)) > quota:
            break
        seen.update(each.texts)
        taken.append(each)
    return taken


def _rank(wanted: Wanted) -> bytes:
    return hashlib.blake2b(wanted.span.trace_id.encode(), digest_size=8).digest()
