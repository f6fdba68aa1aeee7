"""Spans whose price became known, or whose operator's price changed: which they are, and their new cost, in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from schemas.cost_sql import DICTIONARY, cost_expression, price_version_expression
from storage.clickhouse import ClickHouseStore, StoreError

MAX_PARTITIONS = 7

_ARGUMENTS = (
    "provider",
    "model",
    "time",
    "input_uncached_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
)
_COST = cost_expression(*_ARGUMENTS)
_VERSION = price_version_expression(*_ARGUMENTS)
_KNOWN = f"dictHas('{DICTIONARY}', (lower(provider), lower(model)))"

UNPRICED = "cost_usd IS NULL AND model != '' AND input_uncached_tokens IS NOT NULL"
"""Spans with usage and without a cost, as a condition."""

_STALE = "has({outdated:Array(String)}, price_version)"
_REWRITTEN = f"(({UNPRICED} AND {_KNOWN}) OR {_STALE})"
_DUE = f"(({UNPRICED} AND {_KNOWN} AND isNotNull({_COST})) OR {_STALE})"

# The parts of these statements are constants; versions come from the store as bound values.
_OUTDATED = """SELECT DISTINCT price_version FROM spans
WHERE received_at >= {since:DateTime64(3)} AND startsWith(price_version, 'operator/')
AND price_version NOT IN (SELECT price_version FROM model_resolution FINAL WHERE resolved = 1)"""

_COUNT = f"""SELECT toDate(received_at) AS day, count() AS spans FROM spans
PREWHERE cost_usd IS NULL OR {_STALE}
WHERE received_at >= {{since:DateTime64(3)}} AND {_DUE}
GROUP BY day ORDER BY day DESC LIMIT {MAX_PARTITIONS}"""  # noqa: S608  # made of constants

_UNFINISHED = """SELECT mutation_id, latest_fail_reason FROM system.mutations
WHERE database = currentDatabase() AND table = 'spans' AND NOT is_done AND position(command, 'price_version') > 0 LIMIT 1"""


async def reprice(store: ClickHouseStore, since: datetime | None = None) -> int:
    """Give every span that is due its cost; returns how many spans that were.

    Due are spans without a cost whose model has a price by now, and spans priced by an operator's price that is no
    longer in force. What is due is read from the data, so a repetition after a crash does no more than is missing.
    One rewrite runs at a time, at most `MAX_PARTITIONS` days a call, the latest first; only the two columns are written.

    Args:
        since: look only at spans that arrived from then on.

    Raises:
        StoreError: an earlier rewrite does not get on; the message says how to end it.
    """
    if await _busy(store):
        return 0
    bounds = {"since": since or datetime.fromtimestamp(0, UTC)}
    outdated = [row["price_version"] for row in await store.query(_OUTDATED, bounds)]
    due = await store.query(_COUNT, bounds | {"outdated": outdated})
    for row in due:
        await _rewrite(store, row["day"], outdated)
    return sum(row["spans"] for row in due)


def scan_start(now: datetime, last: datetime | None, last_full: datetime | None) -> datetime | None:
    """From which arrival time on to look for unpriced spans; None: everywhere.

    The latest minutes usually do. A writer that lags stores spans that arrived earlier, so once an hour all are looked at.
    """
    if last is None or last_full is None or now - last_full >= timedelta(hours=1):
        return None
    return last - timedelta(minutes=5)


async def _busy(store: ClickHouseStore) -> bool:
    rows = await store.query(_UNFINISHED)
    if rows and rows[0]["latest_fail_reason"]:
        raise StoreError(
            f"repricing cannot go on: {rows[0]['latest_fail_reason']}. Remove the cause, or end it with "
            f"KILL MUTATION WHERE mutation_id = '{rows[0]['mutation_id']}'"
        )
    return bool(rows)


async def _rewrite(store: ClickHouseStore, day: date, outdated: list[str]) -> None:
    await store.command(
        f"ALTER TABLE spans UPDATE cost_usd = {_COST}, price_version = {_VERSION}"
        f" IN PARTITION '{day.isoformat()}' WHERE {_REWRITTEN}",
        {"outdated": outdated},
        # A replica computes the rewrite from its own copy of the dictionary, which all fill from the same tables.
        settings={"mutations_sync": 1, "allow_nondeterministic_mutations": 1},
    )
