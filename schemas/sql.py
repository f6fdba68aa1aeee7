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
    select lists; so each stage is a select of its own, lists only what a later one mentions, and what no stage in between
    mentions travels as one tuple. That decides how long a small insert takes.
    """
    for columns in _packed(_narrowed(set(given), list(stages), list(wanted))):
        source = select(columns, source)
    return source


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_JOURNEY = 2


def _narrowed(given: set[str], stages: list[Columns], wanted: list[str]) -> list[Columns]:
    """The columns that each stage's select lists, so that the last one has `wanted`."""
    selects: list[Columns] = []
    for index in range(len(stages) - 1, -1, -1):
        columns = {name: stages[index].get(name, name) for name in wanted}
        before = given.union(*stages[:index])
        mentioned = (name for sql in columns.values() for name in _NAME.findall(sql))
        wanted = [name for name in dict.fromkeys(mentioned) if name in before]
        selects.insert(0, columns)
    return selects


def _packed(selects: list[Columns]) -> list[Columns]:
    """The same selects, where columns that take the same way unmentioned travel as a tuple."""
    ways: dict[tuple[int, int], list[str]] = {}
    for first, columns in enumerate(selects):
        for name, sql in columns.items():
            last = _unmentioned_until(selects, first, name)
            if last - first >= _SHORTEST_JOURNEY and (sql != name or first == 0 or _mentioned(selects[first], name)):
                ways.setdefault((first, last), []).append(name)
    packed = [dict(columns) for columns in selects]
    for (first, last), names in ways.items():
        if len(names) > 1:
            _pack(packed, first, last, names)
    return packed


def _pack(selects: list[Columns], first: int, last: int, names: list[str]) -> None:
    bundle = f"packed_{first}_{last}"
    selects[first][bundle] = f"tuple({', '.join(selects[first][name] for name in names)})"
    for columns in selects[first:last]:
        for name in names:
            del columns[name]
        columns.setdefault(bundle, bundle)
    for position, name in enumerate(names, 1):
        selects[last][name] = f"{bundle}.{position}"


def _unmentioned_until(selects: list[Columns], first: int, name: str) -> int:
    """The last select after `first` that only hands `name` on, as do all in between."""
    last = first
    for columns in selects[first + 1 :]:
        if columns.get(name) != name or _mentioned(columns, name):
            break
        last += 1
    return last


def _mentioned(columns: Columns, name: str) -> bool:
    return any(sql != other and name in _NAME.findall(sql) for other, sql in columns.items())


def first_of(expressions: Iterable[str]) -> str:
    """The first text that is not empty."""
    given = list(expressions)
    return given[0] if len(given) == 1 else f"coalesce({', '.join(f'nullIf({sql}, {EMPTY})' for sql in given)}, {EMPTY})"


def renamed(text: str, names: Mapping[str, str]) -> str:
    """`text` in lower case, by its other name where it has one."""
    return f"transform(lower({text}), {array(names)}, {array(names.values())})"


EMPTY = "''"
