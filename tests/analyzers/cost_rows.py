"""Usages in a table, priced by the store's SQL; and what genai-prices says about the same usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal

from genai_prices import Usage, calc_price

from schemas.cost_sql import cost_expression, cost_stages, price_version_expression
from storage.clickhouse import ClickHouseStore

COLUMNS = ("provider", "model", "at", "uncached", "cache_read", "cache_write", "output")
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TOLERANCE_USD = Decimal("1e-9")


@dataclass(frozen=True)
class Used:
    """One request's usage in disjoint buckets."""

    provider: str
    model: str
    at: datetime = NOW
    uncached: int | None = 1000
    cache_read: int | None = 0
    cache_write: int | None = 0
    output: int | None = 100


async def costs(store: ClickHouseStore, rows: Sequence[Used]) -> list[tuple[Decimal | None, str]]:
    """Cost and price version of each row: as the stages of an insert compute them, and as the one expression does."""
    await store.command(
        "CREATE OR REPLACE TABLE usages (n UInt32, provider LowCardinality(String), model LowCardinality(String),"
        " at DateTime64(3, 'UTC'), uncached Nullable(UInt64), cache_read Nullable(UInt64), cache_write Nullable(UInt64),"
        " output Nullable(UInt64)) ENGINE = Memory"
    )
    await store.insert_rows("usages", ["n", *COLUMNS], [[n, *astuple(row)] for n, row in enumerate(rows)])
    cost, version = cost_expression(*COLUMNS), price_version_expression(*COLUMNS)
    at_once = await store.query(f"SELECT {cost} AS cost_usd, {version} AS price_version FROM usages ORDER BY n")
    staged = await store.query(f"SELECT cost_usd, price_version FROM ({_in_stages()}) ORDER BY n")
    assert at_once == staged
    return [(row["cost_usd"], row["price_version"]) for row in staged]


def _in_stages() -> str:
    sql = "SELECT * FROM usages"
    for stage in cost_stages(*COLUMNS):
        columns = ", ".join(f"{expression} AS {name}" for name, expression in stage.items())
        sql = f"SELECT *, {columns} FROM ({sql})"
    return sql


def oracle(row: Used) -> Decimal:
    """The cost by genai-prices, whose provider names the row must use."""
    total = (row.uncached or 0) + (row.cache_read or 0) + (row.cache_write or 0)
    usage = Usage(
        input_tokens=total,
        cache_read_tokens=row.cache_read or 0,
        cache_write_tokens=row.cache_write or 0,
        output_tokens=row.output or 0,
    )
    return calc_price(usage, row.model, provider_id=row.provider, genai_request_timestamp=row.at).total_price
