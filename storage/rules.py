"""Alert rules as rows of the control database: those of the file beside those of the API."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from schemas.control.alerting import rules
from schemas.rule_file import EVERY_PROJECT
from schemas.rules import InvalidRuleError, Rule, dump_rule, parse_rule, revision_of

Origin = Literal["file", "api"]


@dataclass(frozen=True)
class StoredRule:
    """A rule and where it comes from; `project` is * for one that holds in every project."""

    id: str
    project: str
    origin: Origin
    rule: Rule
    revision: str
    created_at: datetime
    updated_at: datetime
    updated_by: str


def list_rules(connection: Connection, project: str | None = None) -> list[StoredRule]:
    """The rules that hold in a project, or all of them, by name. Those of `unreadable_rules` are left out."""
    query = select(rules).order_by(rules.c.name, rules.c.project)
    if project is not None:
        query = query.where(or_(rules.c.project == project, rules.c.project == EVERY_PROJECT))
    return _readable(connection.execute(query).mappings().all())


def unreadable_rules(connection: Connection) -> dict[str, str]:
    """Rules that an earlier version stored and this one does not know how to read: name → what is wrong."""
    found = {}
    for row in connection.execute(select(rules)).mappings():
        try:
            parse_rule(row["spec"])
        except InvalidRuleError as error:
            found[row["name"]] = str(error)
    return found


def discard_unreadable(connection: Connection, origin: Origin) -> None:
    """Remove rules of an origin that cannot be read, so that their names are free for what comes from there now."""
    for name in unreadable_rules(connection):
        connection.execute(delete(rules).where(rules.c.origin == origin, rules.c.name == name))


def is_revision(connection: Connection, rule_id: str, revision: str) -> bool:
    """Whether a rule exists and is still at a revision."""
    return connection.execute(select(rules.c.id).where(rules.c.id == rule_id, rules.c.revision == revision)).first() is not None


def find_rule(connection: Connection, project: str, name: str) -> StoredRule | None:
    """The rule called `name` that holds in a project."""
    named = [stored for stored in list_rules(connection, project) if stored.rule.name == name]
    return named[0] if named else None


def insert_rule(connection: Connection, project: str, origin: Origin, rule: Rule, actor: str, now: datetime) -> StoredRule:
    """Add a rule."""
    stored = StoredRule(secrets.token_hex(16), project, origin, rule, revision_of(rule), now, now, actor)
    connection.execute(
        insert(rules).values(
            id=stored.id,
            project=project,
            name=rule.name,
            origin=origin,
            spec=dump_rule(rule),
            revision=stored.revision,
            created_at=now,
            updated_at=now,
            updated_by=actor,
        )
    )
    return stored


def update_rule(connection: Connection, rule_id: str, rule: Rule, actor: str, now: datetime) -> None:
    """Store the next revision of a rule under its id."""
    values = {"spec": dump_rule(rule), "revision": revision_of(rule), "updated_at": now, "updated_by": actor}
    connection.execute(update(rules).where(rules.c.id == rule_id).values(values))


def delete_rule(connection: Connection, rule_id: str) -> None:
    """Remove a rule; its alerts and their history stay."""
    connection.execute(delete(rules).where(rules.c.id == rule_id))


def of_origin(connection: Connection, origin: Origin) -> Sequence[StoredRule]:
    """All rules of one origin."""
    return _readable(connection.execute(select(rules).where(rules.c.origin == origin)).mappings().all())


def _readable(rows: Sequence[RowMapping]) -> list[StoredRule]:
    found = []
    for row in rows:
        with suppress(InvalidRuleError):  # one that cannot be read must not stop the others; the engine reports it at start
            found.append(_stored(row))
    return found


def _stored(row: RowMapping) -> StoredRule:
    return StoredRule(
        id=row["id"],
        project=row["project"],
        origin=row["origin"],
        rule=parse_rule(row["spec"]),
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
    )
