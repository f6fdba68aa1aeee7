"""The part of a process that keeps prices in the store and prices the spans whose model was not known on arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog

from analyzers.cost.prices import Price, bundled_prices
from analyzers.cost.repricing import UNPRICED, reprice, scan_start
from analyzers.cost.resolution import PriceBook, Resolution
from schemas.cost_sql import DICTIONARY
from schemas.sections import PriceOverride
from schemas.settings import CostSettings
from storage.clickhouse import ClickHouseStore, StoreError

MAX_NAMES = 500

_log = structlog.get_logger("pricing")

_PRICE_COLUMNS = [
    "version",
    "price_key",
    "valid_from",
    "from_minute",
    "from_input_tokens",
    "source",
    "input_usd_per_mtok",
    "cache_read_usd_per_mtok",
    "cache_write_usd_per_mtok",
    "output_usd_per_mtok",
    "request_usd_per_million",
    "updated_at",
]
_RESOLUTION_COLUMNS = [
    "provider",
    "model",
    "resolved",
    "price_key",
    "price_version",
    "resolver",
    "reason",
    "updated_at",
]
_UNSEEN = f"""SELECT lower(provider) AS provider, lower(model) AS model, count() AS spans FROM spans
WHERE {UNPRICED} AND received_at >= {{since:DateTime64(3)}}
AND (lower(toString(provider)), lower(toString(model))) NOT IN (SELECT provider, model FROM model_resolution)
GROUP BY provider, model ORDER BY spans DESC LIMIT {MAX_NAMES}"""  # noqa: S608  # made of constants


@dataclass(frozen=True)
class PricingRun:
    """What a look for unpriced spans did: names found (with a price or without), spans priced."""

    names: int
    spans: int


async def sync_prices(store: ClickHouseStore, settings: CostSettings, now: datetime) -> PriceBook:
    """Bring prices and names in the store to the bundled list and the operator's prices; does nothing when they are.

    Names that spans have shown are looked up again whenever a list changed, so a model that was unknown may become known.

    Raises:
        ValueError: the operator's prices contradict themselves.
        StoreError: the dictionary cannot be loaded; the message says what it needs.
    """
    book = await asyncio.to_thread(_book, settings.prices)
    await _sync_lists(store, book, now)
    rows = await store.query("SELECT provider, model, resolver FROM model_resolution FINAL")
    known = {(row["provider"], row["model"]): row["resolver"] for row in rows}
    stale = [name for name, resolver in known.items() if resolver != book.resolver]
    found = await asyncio.to_thread(_resolve_all, book, stale, set(known))
    await _store_resolutions(store, book, found, now)
    await reload_dictionary(store)
    return book


async def resolve_unseen(store: ClickHouseStore, book: PriceBook, now: datetime, since: datetime | None = None) -> int:
    """Look up the models of unpriced spans that were never looked up; returns how many names that were.

    An unknown one is remembered too, and asked for again only when a list changes. At most `MAX_NAMES` a call, those
    with the most spans first.
    """
    rows = await store.query(_UNSEEN, {"since": since or datetime.fromtimestamp(0, UTC)})
    found = [book.resolve(row["provider"], row["model"]) for row in rows]
    for each in found:
        if each.price is None:
            _log.warning("no_price", provider=each.provider, model=each.model, reason=each.reason)
    await _store_resolutions(store, book, found, now)
    if any(each.price for each in found):
        await reload_dictionary(store)
    return len(found)


async def reload_dictionary(store: ClickHouseStore) -> None:
    """Make the tables' prices those of the next insert.

    Raises:
        StoreError: the server cannot read its own tables for the dictionary.
    """
    try:
        await store.command(f"SYSTEM RELOAD DICTIONARY {DICTIONARY}")
    except StoreError as error:
        raise StoreError(
            f"the price dictionary cannot be loaded: {error}. Its source reads the store as the user of clickhouse_url; "
            "after a change of that user or its password, recreate it as docs/cost.md describes"
        ) from error


class Pricing:
    """Prices at start, then a look for unpriced spans every `refresh_s`. A failed look is logged and made again."""

    def __init__(self, store: ClickHouseStore, settings: CostSettings, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._book: PriceBook | None = None
        self._last: datetime | None = None
        self._last_full: datetime | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when spans that arrive are priced."""
        self._book = await sync_prices(self._store, self._settings, self._clock())
        self._task = asyncio.create_task(self._repeat(), name="pricing")

    async def stop(self) -> None:
        """Wait for the look that is under way. Idempotent."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def run_once(self, now: datetime) -> PricingRun:
        """One look: new names first, then the spans they price."""
        if self._book is None:
            self._book = await sync_prices(self._store, self._settings, now)
        since = scan_start(now, self._last, self._last_full)
        names = await resolve_unseen(self._store, self._book, now, since)
        spans = await reprice(self._store, since)
        if names < MAX_NAMES:
            self._last = now
            self._last_full = now if since is None else self._last_full
        return PricingRun(names, spans)

    async def _repeat(self) -> None:
        while not self._stopping.is_set():
            try:
                run = await self.run_once(self._clock())
                if run.spans:
                    _log.info("repriced", names=run.names, spans=run.spans)
            except StoreError as error:
                _log.error("pricing_failed", error=str(error))
            try:
                await asyncio.wait_for(self._stopping.wait(), self._settings.refresh_s)
            except TimeoutError:
                continue


@lru_cache(maxsize=4)
def _book(overrides: tuple[PriceOverride, ...]) -> PriceBook:
    """The book with everything that it has looked up, which takes a second."""
    return PriceBook(bundled_prices(), overrides)


def _resolve_all(book: PriceBook, stale: list[tuple[str, str]], known: set[tuple[str, str]]) -> list[Resolution]:
    """Names of spans again, and names of the lists for the first time; of the latter only those with a price."""
    first = [each for each in book.priced_names if (each.provider, each.model) not in known]
    return [book.resolve(*name) for name in stale] + first


async def _sync_lists(store: ClickHouseStore, book: PriceBook, now: datetime) -> None:
    wanted: dict[str, list[Price]] = {}
    for price in book.prices():
        wanted.setdefault(price.version, []).append(price)
    rows = await store.query("SELECT version, count() AS steps FROM prices FINAL GROUP BY version")
    stored = {row["version"]: row["steps"] for row in rows}
    missing = [prices for version, prices in wanted.items() if stored.get(version) != sum(len(p.steps) for p in prices)]
    steps = [row for prices in missing for row in _price_rows(prices, now)]
    if steps:
        await store.insert_rows("prices", _PRICE_COLUMNS, steps)


def _price_rows(prices: Iterable[Price], now: datetime) -> Iterable[list[Any]]:
    for price in prices:
        for step in price.steps:
            start = [step.valid_from, step.from_minute, step.from_input_tokens]
            rates = [step.input, step.cache_read, step.cache_write, step.output, step.request]
            yield [price.version, price.key, *start, price.source, *rates, now]


async def _store_resolutions(store: ClickHouseStore, book: PriceBook, found: list[Resolution], now: datetime) -> None:
    rows: list[list[Any]] = []
    for each in found:
        key, version = (each.price.key, each.price.version) if each.price else ("", "")
        rows.append([each.provider, each.model, int(each.price is not None), key, version, book.resolver, each.reason, now])
    if rows:
        await store.insert_rows("model_resolution", _RESOLUTION_COLUMNS, rows)
