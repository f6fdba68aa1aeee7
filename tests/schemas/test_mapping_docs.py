"""docs/mapping.md is the mapping."""

from __future__ import annotations

from pathlib import Path

from schemas.attributes import CONVERSATIONS, RESOURCE_COLUMNS, SPAN_COLUMNS
from schemas.mapping_docs import page

FILE = Path(__file__).parents[2] / "docs" / "mapping.md"


def test_the_page_is_current() -> None:
    assert FILE.read_text() == page(), "run `python -m schemas.mapping_docs > docs/mapping.md`"


def test_every_key_is_on_it() -> None:
    keys = [key for column in (*SPAN_COLUMNS, *RESOURCE_COLUMNS) for key in column.keys]
    keys += [key for side in CONVERSATIONS for key in (*side.keys, *side.numbered)]
    assert [key for key in keys if f"`{key}`" not in page()] == []


def test_a_key_fills_one_column() -> None:
    """A key with two meanings would silently have the later one."""
    keys = [key for column in SPAN_COLUMNS for key in column.keys] + [key for side in CONVERSATIONS for key in side.keys]
    assert len(keys) == len(set(keys))
