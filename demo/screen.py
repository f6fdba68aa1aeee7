"""What a person sees, on a terminal and in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from demo.releases import BASELINE, CANDIDATE
from demo.timeline import NAMES, Event, Saving, Step

PLAIN_PROGRESS_EVERY_S = 10.0
PLAIN_WIDTH = 140
MARKS = {"first_span": "cyan", "regression": "red", "rollback": "yellow", "proof": "green"}


class Screen:
    """Prints lines as things happen; between them one line moves, or on no terminal repeats every few seconds."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = PLAIN_WIDTH
        self._status: Status | None = None
        self._said = float("-inf")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.quiet()

    def quiet(self) -> None:
        """No moving line from here on."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def title(self, text: str) -> None:
        """The beginning of a part."""
        self._console.print()
        self._console.print(Text(text, "bold"))

    def line(self, text: str, style: str = "") -> None:
        """One line, never wrapped, so that addresses and commands can be copied."""
        self._console.print(Text(text, style), soft_wrap=True)

    def entry(self, name: str, text: str) -> None:
        """A name and what belongs to it."""
        self.line(f"  {name:<13}{text}")

    def progress(self, text: str) -> None:
        """What is going on."""
        if self._status is not None:
            self._status.update(Text(text, "dim"))
        elif self._console.is_terminal or time.monotonic() - self._said < PLAIN_PROGRESS_EVERY_S:
            return
        else:
            self.line(f"     …      {text}")
            self._said = time.monotonic()

    def event(self, event: Event, elapsed_s: float) -> None:
        """A step of the story, `elapsed_s` after the promotion."""
        self._told(NAMES[event.step], MARKS.get(event.step, ""), event.lines, elapsed_s)

    def _told(self, name: str, style: str, lines: Sequence[str], elapsed_s: float) -> None:
        head = Text(f"  {elapsed_s:+6.1f} s  ")
        head.append(f"{name:<24}", f"bold {style}".strip())
        first, *others = lines
        head.append(first)
        self._console.print(head, soft_wrap=True)
        for other in others:
            self.line(f"{'':36}{other}")

    def finding(self, title: str, lines: Sequence[str], elapsed_s: float) -> None:
        """What an analyzer found, laid out as an event."""
        self._told(title, "magenta", lines, elapsed_s)

    def seconds(self, figures: Mapping[Step, float]) -> None:
        """The times of the story."""
        self.title(f"Seconds after the {NAMES['first_span']}")
        for step, value in figures.items():
            self.line(f"  {value:8.1f}  {NAMES[step]}")

    def saving(self, saving: Saving, served: int) -> None:
        """What was saved, said as the estimate that it is."""
        self.title("Cost saved (an estimate)")
        change = saving.extra_usd / saving.baseline_usd
        self.line(
            f"  A thousand requests cost ${saving.candidate_usd * 1000:.3f} on {CANDIDATE} instead of "
            f"${saving.baseline_usd * 1000:.3f} on {BASELINE} ({change * 100:+.0f} %), by the model's list price."
        )
        self.line(
            f"  At this traffic of {saving.requests_per_s:.1f} requests/s, {CANDIDATE} costs ${saving.usd_per_hour:.2f} more "
            f"each hour that it stays; it was gone after {served} requests and ${served * saving.extra_usd:.3f}."
        )

    def failed(self, why: str, where: Sequence[str]) -> None:
        """The end of a demo that did not work."""
        self.quiet()
        self.title("FAILED")
        self.line(f"  {why}", "red")
        for text in where:
            self.line(f"  {text}")
