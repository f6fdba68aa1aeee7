"""Writing ClickHouse SQL from constants of our own: literals, lists, and selects in stages.

Nothing that a user wrote passes through here; user values are bound parameters of `storage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Columns = dict[str, str]
"""Expression by name."""


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def array(items: Iterable[str]) -> str:
    """An array of string literals."""
    return "[" + ", ".join(literal(item) for item in items) + "]"


def values(items: Iterable[str]) -> str:
    """The right side of IN."""
    return "(" + ", ".join(literal(item) for item in items) + ")"


def select(columns: Columns, source: str) -> str:
    """`columns` over `source`, a table or a select."""
    listed = ",\n".join(sql if sql == name else f"{sql} AS {name}" for name, sql in columns.items())
    inner = source if " " not in source else f"(\n{source}\n)"
    return f"SELECT {listed}\nFROM {inner}"


def staged(source: str, given: Iterable[str], stages: Iterable[Columns], wanted: Iterable[str]) -> str:
    """`wanted` out of `source`, which has the columns `given`, by stages: each over what the stages before it have.

    The analyser copies the expression behind an alias for every mention within one select, and carries every column that a
    select lists; so each stage is a select of its own and lists only what a later one mentions. That decides how long a
    small insert takes.
    """
    levels: list[Columns] = []
    known = set(given)
    for stage in stages:
        levels.append(stage)
        known |= set(stage)
    needed = list(dict.fromkeys(wanted))
    selects: list[Columns] = [{name: name for name in needed}]
    for stage in reversed(levels):
        columns: Columns = {name: stage.get(name, name) for name in needed}
        selects.append(columns)
        mentioned = [name for sql in columns.values() for name in _NAME.findall(sql) if name in known]
        known_here = set(given).union(*levels[: levels.index(stage)])
        needed = [name for name in dict.fromkeys(mentioned) if name in known_here]
    for columns in reversed(selects):
        source = select(columns, source)
    return source


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def first_of(expressions: Iterable[str]) -> str:
    """The first text that is not empty."""
    given = list(expressions)
    return given[0] if len(given) == 1 else f"coalesce({', '.join(f'nullIf({sql}, {EMPTY})' for sql in given)}, {EMPTY})"


def renamed(text: str, names: Mapping[str, str]) -> str:
    """`text` in lower case, by its other name where it has one."""
    return f"transform(lower({text}), {array(names)}, {array(names.values())})"


EMPTY = "''"
