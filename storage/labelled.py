"""Where people and scorers meet: what to review next, and what both said about the same spans."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.settings import QuerySettings
from storage.dimensions import filter_conditions, filter_parameters
from storage.feedback import WITHDRAWN
from storage.scope import SCORES_OF_TRACES, SPANS_OF_TRACES, ProjectReader, QueryError, Range, from_epoch_ms, scores_of
from storage.score_series import JUDGED, SCORE_COLUMNS
from storage.span_texts import CALLING, RETRIEVING

# One span in so many belongs to the random pool: reviewed in an order that has nothing to do with its score, and never
# as a doubtful one, so that what people say about the pool is an unbiased sample of the traffic.
POOL = 10
# One place in so many of the queue goes to the pool.
RANDOM_PLACES = 5

_LOT = "cityHash64(trace_id, span_id)"
_IN_POOL = f"{_LOT} % {POOL} = 0"

Key = tuple[str, str]
"""Trace id and span id, hex."""


@dataclass(frozen=True)
class ScoreQuery:
    """The scores of one name and part by one scorer; unless the filters name it, the one with the newest of the range."""

    name: str
    part: str
    span: Range
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, str]:
        """Bound parameters of every statement on it."""
        return {"score": self.name, "part": self.part, **filter_parameters(self.filters, SCORE_COLUMNS)}


@dataclass(frozen=True)
class Verdict:
    """What a scorer said about a span."""

    trace_id: str
    span_id: str
    time: datetime
    scorer: str
    value: float
    flagged: bool | None
    label: str
    explanation: str
    evidence: list[Any]
    service: str
    model: str
    target: str
    release: str


@dataclass(frozen=True)
class Review:
    """A verdict that somebody should check; `drawn`: from the random pool, else for its doubt."""

    verdict: Verdict
    drawn: bool


@dataclass(frozen=True)
class Agreed:
    """A span that both judged. `pooled`: from the random pool. `people` are (author, flagged), one for each judgement."""

    value: float
    flagged: bool
    pooled: bool
    people: tuple[tuple[str, bool], ...]


async def next_reviews(reader: ProjectReader, query: ScoreQuery, threshold: float, limit: int) -> list[Review]:
    """Spans without a judgement of a person: those whose value is nearest to `threshold`, and some at random.

    Every fifth place is drawn from the pool. The order is the same at every call until somebody judges.

    Raises:
        QueryError: the range.
        StoreError: the store refused, or a limit was reached.
    """
    parameters = {**query.parameters, "threshold": threshold, "limit": limit}
    source = f"{_scores(query)} AND (trace_id, span_id) NOT IN (SELECT trace_id, span_id {_human()})"
    doubtful = f"SELECT {_VERDICT} {source} AND NOT ({_IN_POOL}) ORDER BY {_DOUBT}, {_LOT} LIMIT {{limit:UInt32}}"
    drawn = f"SELECT {_VERDICT} {source} AND {_IN_POOL} ORDER BY {_LOT} LIMIT {{limit:UInt32}}"
    found = [Review(_verdict(row), False) for row in await reader.fetch(doubtful, query.span, parameters)]
    pool = [Review(_verdict(row), True) for row in await reader.fetch(drawn, query.span, parameters)]
    return interleaved(found, pool, limit)


def interleaved(doubtful: Sequence[Review], pool: Sequence[Review], limit: int) -> list[Review]:
    """A queue with every fifth place from the pool; what one side lacks the other fills."""
    ahead, behind, queue = list(doubtful), list(pool), list[Review]()
    while len(queue) < limit and (ahead or behind):
        draw = bool(behind) and (not ahead or len(queue) % RANDOM_PLACES == RANDOM_PLACES - 1)
        queue.append((behind if draw else ahead).pop(0))
    return queue


async def read_agreed(reader: ProjectReader, query: ScoreQuery) -> tuple[str, list[Agreed]]:
    """The scorer's name, and the spans with a verdict of it and of at least one person.

    Raises:
        QueryError: the range, or too many spans.
        StoreError: the store refused, or a limit was reached.
    """
    people = (
        f"SELECT trace_id, span_id, groupArray((author, flagged)) AS people {_human()} AND flagged IS NOT NULL "
        "GROUP BY trace_id, span_id"
    )
    judged = f"SELECT trace_id, span_id, scorer, value, flagged, {_IN_POOL} AS pooled {_scores(query)} AND flagged IS NOT NULL"
    sql = (
        f"SELECT scorer, value, flagged, pooled, people FROM ({judged}) AS s INNER JOIN ({people}) AS p "
        "USING (trace_id, span_id) ORDER BY trace_id, span_id LIMIT {limit:UInt32}"
    )
    rows = await reader.fetch(sql, query.span, {**query.parameters, "limit": reader.bounds.max_rows + 1})
    _refuse_many(len(rows), reader.bounds)
    scorer = rows[0]["scorer"] if rows else query.filters.get("scorer", "")
    return scorer, [_agreed(row) for row in rows]


def _refuse_many(count: int, bounds: QuerySettings) -> None:
    if count > bounds.max_rows:
        raise QueryError(
            "too-many-rows",
            f"more than {bounds.max_rows} judged spans: ask for a shorter range or a filter, or raise query.max_rows",
        )


def _agreed(row: Mapping[str, Any]) -> Agreed:
    people = tuple(sorted((author, bool(flagged)) for author, flagged in row["people"]))
    return Agreed(row["value"], bool(row["flagged"]), bool(row["pooled"]), people)


def _human() -> str:
    return (
        f"{scores_of('event', late=True)} AND name = {{score:String}} AND part = {{part:String}} AND source = 'human' "
        f"AND reason != '{WITHDRAWN}'"
    )


def _scores(query: ScoreQuery) -> str:
    labels = filter_conditions(query.filters, SCORE_COLUMNS)
    own = ["name = {score:String}", "part = {part:String}", "source != 'human'", JUDGED, *labels]
    source = f"{scores_of('event', late=False)} AND {' AND '.join(own)}"
    if query.filters.get("scorer"):
        return source
    return f"{source} AND scorer = (SELECT argMax(scorer, (source = 'analyzer', time, scored_at, scorer)) {source})"


_DOUBT = "abs(assumeNotNull(value) - {threshold:Float64})"
_VERDICT = (
    "lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, toUnixTimestamp64Milli(time) AS time_ms, scorer, value, "
    "flagged, label, explanation, evidence, service, model, target, release"
)


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        trace_id=row["trace"],
        span_id=row["span"],
        time=from_epoch_ms(row["time_ms"]),
        evidence=json.loads(row["evidence"]) if row["evidence"] else [],
        flagged=None if row["flagged"] is None else bool(row["flagged"]),
        **{name: row[name] for name in ("scorer", "value", "label", "explanation", "service", "model", "target", "release")},
    )


@dataclass(frozen=True)
class SpanWords:
    """What was asked and answered at a span, and what retrievers and tools of its trace had found before."""

    prompt: str = ""
    completion: str = ""
    context: tuple[str, ...] = ()


_WORDS = f"""SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, toUnixTimestamp64Nano(started_at) AS at,
arrayLast(message -> message.role = 'user', input_messages).text AS prompt,
arrayStringConcat(arrayMap(message -> message.text,
arrayFilter(message -> message.role = 'assistant', output_messages)), '\\n') AS completion
{SPANS_OF_TRACES} AND span_id IN (SELECT unhex(arrayJoin({{spans:Array(String)}}))) LIMIT 1 BY trace_id, span_id"""

_FOUND = f"""SELECT lower(hex(trace_id)) AS trace, toUnixTimestamp64Nano(started_at) AS at,
arrayFilter(text -> text != '', arrayMap(message -> message.text, output_messages)) AS texts
{SPANS_OF_TRACES} AND operation IN ('{RETRIEVING}', '{CALLING}') ORDER BY started_at, span_key LIMIT 1 BY trace_id, span_key"""


async def read_words(reader: ProjectReader, keys: Sequence[Key]) -> dict[Key, SpanWords]:
    """The texts of spans by trace and span id; those whose spans are gone are left out.

    Raises:
        StoreError: the store refused, or a limit was reached.
    """
    if not keys:
        return {}
    traces = {"traces": sorted({trace for trace, _ in keys})}
    words = await reader.lookup(_WORDS, {**traces, "spans": sorted({span for _, span in keys})})
    found = await reader.lookup(_FOUND, traces)
    return {(row["trace"], row["span"]): _words(row, found) for row in words}


def _words(row: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> SpanWords:
    before = [each["texts"] for each in found if each["trace"] == row["trace"] and each["at"] <= row["at"]]
    return SpanWords(row["prompt"], row["completion"], tuple(text for texts in before for text in texts))


async def read_verdicts(reader: ProjectReader, keys: Sequence[Key]) -> dict[Key, list[dict[str, Any]]]:
    """What analyzers and evaluations said about spans, by trace and span id: name, part, scorer, value, flagged, label, reason.

    Raises:
        StoreError: the store refused, or a limit was reached.
    """
    if not keys:
        return {}
    wanted = {"traces": sorted({trace for trace, _ in keys}), "spans": sorted({span_id for _, span_id in keys})}
    found: dict[Key, list[dict[str, Any]]] = {}
    for row in await reader.lookup(_SAID, wanted):
        said = {name: row[name] for name in _SAID_COLUMNS}
        said["flagged"] = None if row["flagged"] is None else bool(row["flagged"])
        found.setdefault((row["trace"], row["span"]), []).append(said)
    return found


_SAID_COLUMNS = ("name", "part", "scorer", "value", "flagged", "label", "reason")
_SAID = (
    f"SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, {', '.join(_SAID_COLUMNS)} {SCORES_OF_TRACES} "
    "AND source != 'human' AND span_id IN (SELECT unhex(arrayJoin({spans:Array(String)}))) ORDER BY name, part, scorer"
)
