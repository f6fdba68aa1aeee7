"""Windows of long texts: they cover, they end between words, they are bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzers.embedding.windows import Window, spread, windows


@given(st.text(max_size=400), st.integers(1, 50))
def test_windows_cover_the_text(text: str, max_chars: int) -> None:
    cut = windows(text, max_chars, limit=1_000)
    assert "".join(window.of(text) for window in cut) == text
    assert all(window.chars <= max_chars + max_chars // 4 for window in cut)


@given(st.text(min_size=1, max_size=400), st.integers(1, 20), st.integers(1, 6))
def test_never_more_than_the_limit(text: str, max_chars: int, limit: int) -> None:
    cut = windows(text, max_chars, limit)
    assert 1 <= len(cut) <= limit
    assert cut[0].start == 0
    assert limit == 1 or cut[-1].end == len(text)


def test_cut_between_words() -> None:
    text = "alpha beta gamma delta epsilon zeta"
    assert [window.of(text) for window in windows(text, 20, 10)] == ["alpha beta gamma ", "delta epsilon zeta"]


def test_a_short_text_is_one_window() -> None:
    assert windows("short", 100, 8) == [Window(0, 5)]
    assert windows("", 100, 8) == [Window(0, 0)]


def test_spread() -> None:
    assert spread(3, 8) == [0, 1, 2]
    assert spread(100, 3) == [0, 50, 99]
    assert spread(100, 1) == [0]
