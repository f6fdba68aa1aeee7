"""Is the stored cost the one that genai-prices computes? On usage that providers really reported.

Each row of `prices/genai_usage_bodies.jsonl.gz` is a provider's usage, as extracted for every provider that could have sent it.
Each becomes a span, goes through the view and the look-up of models, and its `cost_usd` is compared with genai-prices twice: on
the four buckets that spans keep (what the SQL must equal), and on everything that was reported (audio, images, searches and
caches kept for an hour, which are billed as text and usual caches: docs/cost.md, Limits).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog
from genai_prices import Usage, calc_price

from analyzers.cost.pricing import Pricing
from benchmarks.evaluation.row import Row
from schemas.settings import CostSettings
from storage.clickhouse import ClickHouseStore
from storage.migrations import migrate_store
from tests.ingest.spans import ingest_spans, make_span

TOLERANCE_USD = Decimal("1e-9")
SPANS_AT_ONCE = 500
_FILE = Path("prices") / "genai_usage_bodies.jsonl.gz"
_MODALITIES = ("audio", "image", "video")


@dataclass(frozen=True)
class Case:
    """One reported usage as one provider's; `usage` holds the counts of genai-prices."""

    provider: str
    model: str
    usage: Mapping[str, int]

    def tokens(self, name: str) -> int:
        """A count, 0 where it was not reported."""
        return int(self.usage.get(f"{name}_tokens") or 0)


@dataclass(frozen=True)
class Outcome:
    """What is stored, and what genai-prices says; None: no price. `bare`: of the name after its last slash."""

    case: Case
    stored: Decimal | None
    oracle: Decimal | None
    everything: Decimal | None
    bare: Decimal | None


def run(data: Path, seed: int) -> list[Row]:
    """Shares of equal rows and why others differ; nothing is drawn, so `seed` is not used."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # each unknown name would be a line
    outcomes = asyncio.run(_outcomes(list(_cases(data / _FILE))))
    return [*_equality(outcomes), *_differences(outcomes)]


def _cases(file: Path) -> Iterator[Case]:
    """Each usage once for every provider that the file gives a price for, and once for one that has none."""
    with gzip.open(file, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            for extracted in row["extracted"] if row["model"] else ():
                sold = {each["provider_id"]: "input_price" in each for each in extracted["extractors"]}
                others = sorted(provider for provider, has_price in sold.items() if not has_price)[:1]
                providers = [provider for provider, has_price in sorted(sold.items()) if has_price]
                yield from (Case(provider, row["model"], extracted["usage"]) for provider in providers + others)


async def _outcomes(cases: Sequence[Case]) -> list[Outcome]:
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="tracewarden-evaluate-cost-") as folder:
        store = ClickHouseStore(f"chdb://{folder}", threads=2)
        await migrate_store(store)
        await _store(store, cases, now)
        rows = await store.query("SELECT trace_id, any(cost_usd) AS cost FROM spans GROUP BY trace_id")
        await store.close()
    costs = {int.from_bytes(row["trace_id"], "big"): row["cost"] for row in rows}
    return [
        Outcome(
            case=case,
            stored=costs[number],
            oracle=_oracle(case, case.model, _buckets(case), now),
            everything=_oracle(case, case.model, case.usage, now),
            bare=_oracle(case, case.model.rpartition("/")[2], _buckets(case), now),
        )
        for number, case in enumerate(cases, 1)
    ]


async def _store(store: ClickHouseStore, cases: Sequence[Case], now: datetime) -> None:
    """The spans, then looks for their prices until nothing is due: names that need a pattern are known by then."""
    pricing = Pricing(store, CostSettings(), lambda: now)
    spans = [_span(number, case, now) for number, case in enumerate(cases, 1)]
    for first in range(0, len(spans), SPANS_AT_ONCE):
        await ingest_spans(store, "evaluation", spans[first : first + SPANS_AT_ONCE], received_at=now)
    for look in range(1, 20):
        done = await pricing.run_once(now + timedelta(seconds=look))
        if not done.names and not done.spans:
            return
    raise RuntimeError("prices are still being looked up after 20 looks: is the store overloaded?")


def _span(number: int, case: Case, now: datetime) -> Any:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": case.provider,
        "gen_ai.response.model": case.model,
        "gen_ai.usage.input_tokens": case.tokens("input"),
        "gen_ai.usage.output_tokens": case.tokens("output"),
        "gen_ai.usage.cache_read.input_tokens": case.tokens("cache_read"),
        "gen_ai.usage.cache_creation.input_tokens": case.tokens("cache_write"),
    }
    return make_span(trace_id=number.to_bytes(16, "big"), start=now, attributes=attributes)


def _buckets(case: Case) -> dict[str, int]:
    return {f"{name}_tokens": case.tokens(name) for name in ("input", "output", "cache_read", "cache_write")}


def _oracle(case: Case, model: str, usage: Mapping[str, int], now: datetime) -> Decimal | None:
    with suppress(LookupError):
        return calc_price(Usage(**usage), model, provider_id=case.provider, genai_request_timestamp=now).total_price
    return None


def _is_equal(one: Decimal | None, other: Decimal | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= TOLERANCE_USD


def _equality(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    known = [each for each in outcomes if each.oracle is not None]
    same = sum(_is_equal(each.stored, each.oracle) for each in known)
    unknown = [each for each in outcomes if each.oracle is None]
    everything = [each for each in outcomes if each.everything is not None]
    equal = sum(_is_equal(each.stored, each.everything) for each in everything)
    off = sum(each.stored or Decimal(0) for each in everything) / (sum(each.everything or 0 for each in everything) or 1) - 1
    yield Row("stored cost", f"equal to genai-prices on the same buckets, of {len(known)}", f"{same / len(known):.2%}", "100 %")
    if unknown:
        right = sum(each.stored is None or _is_equal(each.stored, each.bare) for each in unknown) / len(unknown)
        about = f"NULL, or the price of the name without its prefix, of {len(unknown)}"
        yield Row("names genai-prices does not know", about, f"{right:.2%}", "100 %")
    yield Row(
        "stored cost", f"equal to genai-prices on all that was reported, of {len(everything)}", f"{equal / len(everything):.2%}"
    )
    yield Row("stored cost", "sum against genai-prices on all that was reported", f"{off:+.2%}")


def _differences(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    reasons = Counter(_reason(each) for each in outcomes)
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
        if reason:
            yield Row("difference", reason, f"{count} ({count / len(outcomes):.1%})")


def _reason(each: Outcome) -> str:
    """Why the stored cost is not what everything that was reported costs; empty: it is."""
    if _is_equal(each.stored, each.everything) or (each.stored is None and each.everything is None):
        return ""
    if each.oracle is None:
        return "a prefix before the name, which genai-prices does not know"
    if each.stored is None:
        return "no price found for the name"
    if each.everything is None:
        return "genai-prices refuses all that was reported together"
    reported = {name for name, count in each.case.usage.items() if count}
    if not _is_equal(each.stored, each.oracle):
        return "differs on the same buckets"
    modalities = [name for name in _MODALITIES if any(name in key for key in reported)]
    if modalities:
        return f"{' and '.join(modalities)} tokens, billed as text"
    return f"{', '.join(sorted(reported - {'input_tokens', 'output_tokens'}))}: not billed apart"
