"""What the API says about the analyzers' findings, beside what was planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from demo.inquiries import SERVICE
from demo.planted import Truth
from demo.releases import TARGET
from demo.watch import Watch

SHARES = ("toxicity.prompt_share", "grounding.unsupported_share", "quality.refusal_share", "quality.language_mismatch_share")


@dataclass(frozen=True)
class Planted:
    """The files of the two applications."""

    support: Path
    search: Path


@dataclass(frozen=True)
class Share:
    """A metric over the whole run; without a value there was nothing to tell one from."""

    value: float | None
    scorer: str


@dataclass(frozen=True)
class Survey:
    """What was visible at one moment, over all applications. `looks` are the streams of drift, each with its latest look."""

    now: datetime
    analyzers: Mapping[str, Mapping[str, Any]]
    shares: Mapping[str, Share]
    unsupported: Mapping[str, Any] | None
    looks: tuple[Mapping[str, Any], ...]
    support: Truth
    search: Truth


class Surveyor:
    """Reads the API and the plantings."""

    def __init__(self, watch: Watch, planted: Planted) -> None:
        self._watch = watch
        self._planted = planted

    async def survey(self, since: datetime) -> Survey:
        """Everything as it is now, shares since a moment."""
        status = await self._watch.get("/v1/status")
        return Survey(
            now=datetime.fromisoformat(status["now"]),
            analyzers={one["name"]: one for one in status["analyzers"]},
            shares={metric: await self._share(metric, since) for metric in SHARES},
            unsupported=await self._unsupported(since),
            looks=tuple(await self._looks()),
            support=Truth.of_file(self._planted.support),
            search=Truth.of_file(self._planted.search),
        )

    async def _share(self, metric: str, since: datetime) -> Share:
        series = (await self._watch.get(f"/v1/metrics/{metric}", **{"from": since.isoformat()}))["series"]
        points = [(point[1], one["labels"].get("scorer", "")) for one in series for point in one["points"]]
        known = [Share(value, scorer) for value, scorer in points if value is not None]
        return known[-1] if known else Share(None, "")

    async def _unsupported(self, since: datetime) -> Mapping[str, Any] | None:
        """The answer with the least support: the queue of reviews begins with those nearest to the threshold asked for."""
        query = {"name": "grounding", "part": "completion", "service": SERVICE, "threshold": 0, "limit": 5}
        reviews = (await self._watch.get("/v1/reviews", **query, **{"from": since.isoformat()}))["reviews"]
        flagged: list[Mapping[str, Any]] = [review for review in reviews if review["flagged"]]
        return min(flagged, key=lambda review: float(review["value"]), default=None)

    async def _looks(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = (await self._watch.get("/v1/drift"))["streams"]
        return found


def is_prompts(look: Mapping[str, Any]) -> bool:
    """Whether it is the stream of all that customers ask the support assistant."""
    stream = look["stream"]
    return (stream["part"], stream["target"], stream["release"], stream["model"]) == ("prompt", TARGET, "", "")
