"""The rules of the file become rows, so that everything that refers to a rule finds it, whichever process asks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from alerting import rules as shipped
from alerting.records import Delays, Recorder
from schemas.rule_file import RuleFile, read_rule_file
from schemas.rules import Rule, revision_of
from storage.rules import StoredRule, delete_rule, discard_unreadable, insert_rule, of_origin, update_rule

DEFAULT_RULES = Path(shipped.__file__).with_name("default.yaml")
ACTOR = "rules_file"


@dataclass(frozen=True)
class Synced:
    """How many rules of the file were new, changed, gone."""

    added: int
    changed: int
    removed: int


def load_rules(rules_file: Path | None, channels: Collection[str]) -> RuleFile:
    """The operator's rules, or the shipped ones.

    Raises:
        RuleFileError: with everything that is wrong.
    """
    return read_rule_file(rules_file or DEFAULT_RULES, channels)


def sync_rules(connection: Connection, file: RuleFile, delays: Delays, now: datetime) -> Synced:
    """Make the rows of origin `file` equal to the file. Alerts of rules that changed or went are resolved with that reason."""
    discard_unreadable(connection, "file")
    known = {(stored.project, stored.rule.name): stored for stored in of_origin(connection, "file")}
    wanted = {(file.project, rule.name): rule for rule in file.rules}
    for key in known.keys() - wanted.keys():
        remove(connection, known[key], delays, now)
    added = [
        insert_rule(connection, project, "file", wanted[project, name], ACTOR, now)
        for project, name in wanted.keys() - known.keys()
    ]
    changed = [key for key in known.keys() & wanted.keys() if known[key].revision != revision_of(wanted[key])]
    for key in changed:
        replace(connection, known[key], wanted[key], ACTOR, delays, now)
    return Synced(len(added), len(changed), len(known.keys() - wanted.keys()))


def replace(connection: Connection, stored: StoredRule, rule: Rule, actor: str, delays: Delays, now: datetime) -> None:
    """Give a rule its next revision; what the last one found is over."""
    Recorder(stored, stored.project, delays).close_all(connection, "the rule was changed", now)
    update_rule(connection, stored.id, rule, actor, now)


def remove(connection: Connection, stored: StoredRule, delays: Delays, now: datetime) -> None:
    """Delete a rule and end its alerts."""
    Recorder(stored, stored.project, delays).close_all(connection, "the rule was deleted", now)
    delete_rule(connection, stored.id)
