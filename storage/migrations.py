"""Numbered, forward-only SQL files and the generated view, the same on chDB and on a server.

`store_migrations` in the store records what ran. What differs between one machine and replicas is substituted. The view is
replaced with `ALTER TABLE … MODIFY QUERY`, which must happen while no writer runs: changing it between a write and the
replay of that write would store the batch twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import unquote, urlsplit

from schemas.view import KEY_VALUE, TARGET, VIEW, view_hash, view_select
from storage.clickhouse import ClickHouseStore, StoreError

DEDUPLICATION_S = 14 * 24 * 3600

RETAINED = {
    TARGET: "received_at",
    "scores": "received_at",
    "analysis_coverage": "received_at",
    "embedding_samples": "received_at",
    "drift_looks": "time",
}
"""Tables with texts, or judgements of them, that `ingest.retention_days` holds for, each with the time that it counts from."""

COLD_AFTER_DAYS = 1
COLD_CODEC = "ZSTD(6, 24)"
"""Of texts whose day is over: 16 MiB are searched for what was there before (docs/decisions.md)."""

_LEDGER = """CREATE TABLE IF NOT EXISTS store_migrations
(name String, hash String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = {merge_tree} ORDER BY (name, applied_at) SETTINGS {durable}"""


@dataclass(frozen=True)
class Migration:
    """One SQL file as it will run here; `hash` is of the file, before the substitution."""

    name: str
    hash: str
    statements: tuple[str, ...]


class SchemaMismatchError(StoreError):
    """The store's schema is not the one this version writes; the message names the fix."""


def migrations(store: ClickHouseStore, *, replicated: bool = False) -> tuple[Migration, ...]:
    """The SQL files of this version, in order."""
    names = engine_names(replicated=replicated) | {"database": store.database, "key_value": KEY_VALUE}
    names["dictionary_access"] = _dictionary_access(store.url)
    names["light_codec"] = "" if store.embedded else "ZSTD(1)"
    folder = files("schemas") / "ddl"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)
    found = []
    for path in paths:
        text = path.read_text()
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        found.append(Migration(path.name.removesuffix(".sql"), digest, tuple(_statements(text, names))))
    return tuple(found)


def engine_names(*, replicated: bool) -> dict[str, str]:
    """What differs between one machine and a replicated cluster."""
    prefix = "Replicated" if replicated else ""
    # Replicas also forget by age, after an hour by default: a batch is repeated as long as Kafka keeps its records.
    aged = f"replicated_deduplication_window_seconds = {DEDUPLICATION_S}, replicated_deduplication_window"
    window = aged if replicated else "non_replicated_deduplication_window"
    durable = "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1"
    if not replicated:
        # Deleted parts go every second, a few files at once: behind the thousands of half a minute inserts wait. Replicas would
        # ask their keeper as often.
        durable += ", cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 1"
    return {
        "merge_tree": f"{prefix}MergeTree",
        "replacing_merge_tree": f"{prefix}ReplacingMergeTree",
        "deduplication_window": window,
        "durable": durable,
    }


async def migrate_store(store: ClickHouseStore, *, retention_days: int = 30) -> list[str]:
    """Bring the store to this version's schema; returns the names of what ran. Safe to run again."""
    await store.create_database()
    replicated = await _is_replicated(store)
    await store.command(_LEDGER.format(**engine_names(replicated=replicated)))
    applied = await _ledger(store)
    ran = []
    for migration in migrations(store, replicated=replicated):
        if migration.name in applied:
            _refuse_changed(migration, applied[migration.name])
            continue
        for statement in migration.statements:
            await store.command(statement)
        await _record(store, migration.name, migration.hash)
        ran.append(migration.name)
    if applied.get(VIEW) != view_hash():
        await _replace_view(store, exists=VIEW in applied)
        ran.append(VIEW)
    await _set_retention(store, retention_days)
    if ran and store.embedded:
        # Its thread sleeps as long as the settings of before said.
        await store.command(f"SYSTEM STOP CLEANUP {TARGET}")
        await store.command(f"SYSTEM START CLEANUP {TARGET}")
    return ran


async def check_store(store: ClickHouseStore) -> None:
    """Refuse to write through a schema that is missing, older or newer than this version's.

    An insert into a Null table without its view succeeds and stores nothing, so a writer asks this first.

    Raises:
        SchemaMismatchError: saying what to run.
    """
    fix = "stop every writer and run `tracewarden migrate` with this version"
    tables = {row["name"] for row in await store.query("SELECT name FROM system.tables WHERE database = currentDatabase()")}
    if "store_migrations" not in tables or VIEW not in tables:
        raise SchemaMismatchError(f"the trace store has no schema yet: {fix}")
    applied = await _ledger(store)
    missing = [m.name for m in migrations(store) if applied.get(m.name) != m.hash]
    if missing or applied.get(VIEW) != view_hash():
        raise SchemaMismatchError(f"the trace store has another schema ({', '.join(missing) or 'the view differs'}): {fix}")


def _statements(text: str, names: dict[str, str]) -> Iterator[str]:
    """The statements of a file: each ends with `;` at the end of a line; comment lines are left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        body = statement.strip().removesuffix(";").strip()
        if body:
            for name, value in names.items():
                body = body.replace("{" + name + "}", value)
            yield body


def _dictionary_access(url: str) -> str:
    """How a dictionary reads a table of its own server: as this user; the embedded store has no users."""
    parts = urlsplit(url)
    if not parts.username:
        return ""
    user, password = (
        unquote(text or "").replace("\\", "\\\\").replace("'", "\\'") for text in (parts.username, parts.password)
    )
    return f"USER '{user}' PASSWORD '{password}'"


def _refuse_changed(migration: Migration, applied: str) -> None:
    if applied != migration.hash:
        raise SchemaMismatchError(
            f"the file {migration.name}.sql changed after it ran ({applied} then, {migration.hash} now): "
            "applied files are never edited; put the change into a new numbered file"
        )


async def _ledger(store: ClickHouseStore) -> dict[str, str]:
    rows = await store.query("SELECT name, argMax(hash, applied_at) AS hash FROM store_migrations GROUP BY name")
    return {row["name"]: row["hash"] for row in rows}


async def _record(store: ClickHouseStore, name: str, digest: str) -> None:
    await store.insert_rows("store_migrations", ["name", "hash"], [[name, digest]])


async def _replace_view(store: ClickHouseStore, *, exists: bool) -> None:
    if exists:
        await store.command(f"ALTER TABLE {VIEW} MODIFY QUERY {view_select()}")
    else:
        await store.command(f"CREATE MATERIALIZED VIEW IF NOT EXISTS {VIEW} TO {TARGET} AS {view_select()}")
    await _record(store, VIEW, view_hash())


async def _set_retention(store: ClickHouseStore, days: int) -> None:
    tables = await store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    engines = {row["name"]: row["engine_full"] for row in tables}
    for table, time in RETAINED.items():
        wanted = f"TTL toDateTime({time}) + toIntervalDay({int(days)})"
        if table == TARGET:
            wanted += f", toDateTime({time}) + toIntervalDay({COLD_AFTER_DAYS}) RECOMPRESS CODEC({COLD_CODEC})"
        if wanted not in engines[table]:
            # What is stored already follows too. Only its age is looked at: large parts are not written again.
            await store.command(f"ALTER TABLE {table} MODIFY SETTING materialize_ttl_recalculate_only = 1")
            await store.command(f"ALTER TABLE {table} MODIFY {wanted}")


async def _is_replicated(store: ClickHouseStore) -> bool:
    """A server with a replica macro runs a replicated cluster."""
    if store.embedded:
        return False
    rows = await store.query("SELECT count() AS n FROM system.macros WHERE macro = 'replica'")
    return bool(rows[0]["n"])
