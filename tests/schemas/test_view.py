"""The generated view: its SQL as a golden file, and its own rules."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.sql import staged
from schemas.view import view_select

GOLDEN = Path(__file__).parent / "golden" / "view.sql"
REGENERATE = "python -m tests.schemas.test_view"


def test_the_sql_is_the_golden_file() -> None:
    """A change of the mapping shows as a change of SQL, which replaces the view of every store."""
    assert view_select() + "\n" == GOLDEN.read_text(), f"the view changed; if that is meant: {REGENERATE}"


def test_nothing_passes_an_alias_of_its_own_select() -> None:
    """The analyser copies the expression behind an alias for every mention within one select."""
    for select in view_select().split("\nFROM ("):
        listed = select.removeprefix("\n").removeprefix("SELECT ").split(",\n")
        aliases = {sql.rsplit(" AS ", 1)[1]: sql.rsplit(" AS ", 1)[0] for sql in listed if re.search(r" AS \w+$", sql)}
        fresh = {name for name, sql in aliases.items() if not re.search(rf"\b{name}\b", sql)}
        for name, sql in aliases.items():
            mentioned = fresh.intersection(re.findall(r"(?<![.'])\b[a-z_]+\b", re.sub(r"'[^']*'", "''", sql)))
            assert not mentioned - _bound(sql), (name, mentioned)


def _bound(sql: str) -> set[str]:
    """Names that the lambdas of an expression bind."""
    bound = re.findall(r"\(([\w, ]+)\) ->|\b(\w+) ->", sql)
    return {name.strip() for several, one in bound for name in (several or one).split(",")}


def test_stages_list_only_what_a_later_one_mentions() -> None:
    sql = staged("source", ["a", "b", "unused"], [{"c": "a + 1", "dropped": "b"}, {"d": "c * 2"}], ["b", "d"])
    assert sql == "SELECT b,\nc * 2 AS d\nFROM (\nSELECT b,\na + 1 AS c\nFROM source\n)"


def test_columns_on_the_same_way_travel_as_a_tuple() -> None:
    stages = [{"c": "a + 1"}, {"d": "c * 2"}, {"e": "d * 2"}, {"f": "e * 2"}]
    sql = staged("source", ["a", "x", "y"], stages, ["x", "y", "f"])
    assert "tuple(x, y) AS packed_0_3" in sql
    assert sql.startswith("SELECT packed_0_3.1 AS x,\npacked_0_3.2 AS y,\ne * 2 AS f\nFROM (\nSELECT packed_0_3,\n") or (
        "packed_0_3.1 AS x" in sql.split("\nFROM (")[0]
    )


if __name__ == "__main__":
    GOLDEN.write_text(view_select() + "\n")
