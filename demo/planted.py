"""What was planted in the traffic: written by the applications as they plant it, compared with what Tracewarden finds.

Tracewarden never reads these files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Planting:
    """One request and its kind, such as usual or toxic."""

    at: datetime
    trace_id: str
    kind: str


class Planter:
    """Appends plantings to a file, a line of JSON each."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, trace_id: str, kind: str) -> None:
        """Keep what kind a request is that happens now."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(), "trace_id": trace_id, "kind": kind})
        with self._file.open("a") as lines:
            lines.write(line + "\n")


def read_plantings(file: Path) -> list[Planting]:
    """All of them so far; a line that is still being written is left for the next time."""
    if not file.exists():
        return []
    lines = file.read_text().split("\n")[:-1]
    return [Planting(datetime.fromisoformat(one["at"]), one["trace_id"], one["kind"]) for one in map(json.loads, lines)]


@dataclass(frozen=True)
class Truth:
    """How many requests of each kind there were, and when each kind began."""

    counts: Counter[str]
    since: dict[str, datetime]

    @classmethod
    def of(cls, plantings: Iterable[Planting]) -> Truth:
        """From plantings in order of time."""
        counts: Counter[str] = Counter()
        since: dict[str, datetime] = {}
        for one in plantings:
            counts[one.kind] += 1
            since.setdefault(one.kind, one.at)
        return cls(counts, since)

    @classmethod
    def of_file(cls, file: Path) -> Truth:
        """From what was noted there so far."""
        return cls.of(read_plantings(file))

    def share(self, kind: str, among: Sequence[str] = ()) -> float | None:
        """Share of a kind among these kinds (none named: among all); None without any request."""
        total = sum(self.counts[name] for name in among) if among else self.counts.total()
        return self.counts[kind] / total if total else None
