"""The items of a body, and where a body is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.items import Unreadable, read_items
from ingest.otlp import MalformedRequestError


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"[]", []),
        (b'[{"a": 1}, null, 7]', [{"a": 1}, None, 7]),
        (b'{"a": 1}', [{"a": 1}]),
        (b'  {"a": 1}\r\n{"a": 2}\r\n\r\n', [{"a": 1}, {"a": 2}]),
        (b'null\n{"a": 2}', [None, {"a": 2}]),
        (b'{\n "a": {\n  "b": 1\n }\n}', [{"a": {"b": 1}}]),
        (b'[{"a": NaN, "b": -Infinity, "c": 1e999}]', [{"a": "NaN", "b": "-Infinity", "c": "1e999"}]),
        (rb'{"a": "\ud83d\ude00 \ud83d"}', [{"a": "\U0001f600 \ufffd"}]),
        (rb'{"a": "\ud83d"}' + b"\n" + b'{"a": NaN}', [{"a": "\ufffd"}, {"a": "NaN"}]),
    ],
)
def test_the_forms_of_a_body(body: bytes, items: list[object]) -> None:
    assert read_items(body) == items


def test_a_line_that_is_cut_off_is_named_and_its_neighbours_are_read() -> None:
    first, second, third = read_items(b'{"a": 1}\n{"a": \n{"a": 3}')
    assert (first, third) == ({"a": 1}, {"a": 3})
    assert isinstance(second, Unreadable)
    assert "the line is not JSON" in second.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b" \n ", "the body is empty"),
        (b'"text"', "not text"),
        (b"7", "not a number"),
        (b"true", "not true or false"),
        (b"hello", "line 1 column 1"),
        (b'[{"a": 1}, {"a": ', "line 1 column"),
        (b'[\n{"a": 1},\n{"a": 2},\n{"a": 3}\n', "line 4"),
        (b'{\n"spans": [\n{"a": 1},\n{"a": 2}\n]\n', "line 5"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": NaN', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": 1}\nx\ny\n', "not JSON"),
    ],
)
def test_a_body_that_is_none_says_where(body: bytes, words: str) -> None:
    with pytest.raises(MalformedRequestError) as caught:
        read_items(body)
    assert words in str(caught.value)


@given(st.binary(max_size=100))
def test_any_bytes_are_items_or_a_clear_refusal(body: bytes) -> None:
    try:
        assert isinstance(read_items(body), list)
    except MalformedRequestError as error:
        assert "the body" in str(error)  # noqa: PT017 - either way is an answer
