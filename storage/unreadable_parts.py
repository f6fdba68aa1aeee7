"""Parts that could not be read when the store was opened: ClickHouse puts them aside and goes on without a word."""

from __future__ import annotations

from storage.clickhouse import ClickHouseStore

_PUT_ASIDE = """
SELECT table, count() AS parts, any(path) AS example
FROM system.detached_parts
WHERE database = currentDatabase() AND startsWith(reason, 'broken')
GROUP BY table
ORDER BY table
"""


async def unreadable_parts(store: ClickHouseStore) -> str | None:
    """How many of which table, and what to do about it; None where all could be read.

    Raises:
        StoreError: the store cannot say.
    """
    found = await store.query(_PUT_ASIDE)
    if not found:
        return None
    counts = " and ".join(f"{row['parts']} of {row['table']}" for row in found)
    folders = ", ".join(row["example"].rpartition("/")[0] for row in found)
    return (
        f"parts could not be read and were put aside, {counts}: what was in them is missing. Restore a backup "
        f"(docs/operations.md), or do without and remove what begins with `broken` in {folders}"
    )
