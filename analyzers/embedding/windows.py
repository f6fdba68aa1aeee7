"""Cutting long texts into windows that a model can read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The characters from `start` up to `end` of a text."""

    start: int
    end: int

    @property
    def chars(self) -> int:
        return self.end - self.start

    def of(self, text: str) -> str:
        """What it shows of `text`."""
        return text[self.start : self.end]


def spread(count: int, limit: int) -> list[int]:
    """`limit` of the indices 0 … count-1, evenly spaced, the first and the last among them; all where they are no more."""
    if count <= limit:
        return list(range(count))
    if limit == 1:
        return [0]
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def windows(text: str, max_chars: int, limit: int) -> list[Window]:
    """Adjacent windows of about equal length, at most `max_chars` long and cut between words where there are any.

    Where there would be more than `limit`, that many of them, spread evenly over the text: the cost of a text is bounded.
    """
    count = max(1, -(-len(text) // max_chars))
    width = -(-len(text) // count)
    return [_window(text, index * width, width) for index in spread(count, limit)]


def _window(text: str, start: int, width: int) -> Window:
    return Window(_word_start(text, start, width), _word_start(text, min(start + width, len(text)), width))


def _word_start(text: str, position: int, width: int) -> int:
    """The start of the word that `position` is in, unless it is further back than a quarter of a window."""
    if position in (0, len(text)):
        return position
    for start in range(position, max(0, position - width // 4), -1):
        if text[start - 1].isspace():
            return start
    return position
