"""What people said about spans: written, corrected, withdrawn, listed. It is kept among the scores, with the source human."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.dimensions import RANK, filter_conditions, filter_parameters
from storage.scope import FEEDBACK, HUMAN, SPANS_OF_TRACES, ProjectReader, Range, from_epoch_ms, scores_of
from storage.score_series import SCORE_COLUMNS
from storage.scores import ScoreRow, insert_scores
from storage.span_texts import GENERATING
from storage.spans import Position

WITHDRAWN = "withdrawn"
"""The reason of a judgement that was taken back."""

_MADE = ", ".join(f"'{name}'" for name in GENERATING)


class UnknownSpanError(LookupError):
    """The project has no such trace or span; `index` is the place of the judgement that named it."""

    def __init__(self, index: int, trace_id: str, span_id: str | None) -> None:
        what = f"span {span_id} in a trace {trace_id}" if span_id else f"trace {trace_id}"
        super().__init__(
            f"the project has no {what}: check the ids, and send feedback once the span was received (SDKs send spans a few "
            "seconds late)"
        )
        self.index = index


class ForeignFeedbackError(ValueError):
    """The id belongs to a judgement of something else or by somebody else; `index` is the place of the one sent."""

    def __init__(self, index: int, score_id: str, what: str) -> None:
        super().__init__(f"feedback {score_id!r} is {what}: a correction keeps them, another judgement needs another id")
        self.index = index


@dataclass(frozen=True)
class Judgement:
    """What somebody says about a span; without `span_id`, about the answer of the trace.

    `value` and `flagged` are None where the judgement has none; `flagged` is the bad verdict.
    """

    id: str
    trace_id: str
    span_id: str | None
    name: str
    part: str
    author: str
    value: float | None = None
    flagged: bool | None = None
    label: str = ""
    correction: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Feedback:
    """A stored judgement. `received_at` is when it was first sent, `updated_at` when last; `time` is the span's."""

    judgement: Judgement
    received_at: datetime
    updated_at: datetime
    time: datetime
    service: str
    model: str
    target: str
    release: str
    user: str


async def write_feedback(reader: ProjectReader, judgements: Sequence[Judgement], now: datetime) -> list[Feedback]:
    """Store judgements, all or none; one whose id is known replaces that one. Returns when they are on disk.

    Raises:
        UnknownSpanError: a span is not in the project.
        ForeignFeedbackError: an id belongs to another span, name, part or author.
        StoreError: the store refused.
    """
    spans = await _spans_of(reader, judgements)
    known = await _known(reader, [judgement.id for judgement in judgements])
    rows = []
    for index, judgement in enumerate(judgements):
        span = spans.get((judgement.trace_id, judgement.span_id))
        if span is None:
            raise UnknownSpanError(index, judgement.trace_id, judgement.span_id)
        row = _row(reader.project, judgement, span, now)
        before = known.get(judgement.id)
        rows.append(row if before is None else _replacing(index, judgement, row, before))
    await insert_scores(reader.store, rows)
    return [_of_row(row) for row in rows]


async def withdraw_feedback(reader: ProjectReader, score_id: str, now: datetime) -> bool:
    """Take a judgement back: what was said is gone, and that something was said stays. False where there is none."""
    row = (await _known(reader, [score_id])).get(score_id)
    if row is None or row["reason"] == WITHDRAWN:
        return False
    blank = {"value": None, "flagged": None, "label": "", "explanation": "", "evidence": ""}
    await insert_scores(reader.store, [ScoreRow(**row | blank | {"reason": WITHDRAWN, "scored_at": now})])
    return True


@dataclass(frozen=True)
class FeedbackQuery:
    """Which judgements: by the time they were sent, by dimension of their span, name, part, author and trace."""

    span: Range
    limit: int
    filters: Mapping[str, str] = field(default_factory=dict)
    equal: Mapping[str, str] = field(default_factory=dict)
    """Name, part or author."""
    trace_id: str | None = None
    after: Position | None = None
    oldest_first: bool = False


async def list_feedback(reader: ProjectReader, query: FeedbackQuery) -> tuple[list[Feedback], Position | None]:
    """At most `limit` judgements that hold, newest first, and where the next ones begin; None: there are none.

    Raises:
        QueryError: the range.
        StoreError: the store refused, or a limit was reached.
    """
    order = "" if query.oldest_first else " DESC"
    sql = (
        f"SELECT {_COLUMNS}, cityHash64(score_id) AS place "
        f"{scores_of('arrival', late=True)} AND {' AND '.join(_conditions(query))} "
        f"ORDER BY received_at{order}, place{order} LIMIT {{limit:UInt32}}"
    )
    rows = await reader.fetch(sql, query.span, {**_parameters(query), "limit": query.limit + 1})
    kept = rows[: query.limit]
    last = Position(kept[-1]["received_at_ms"], kept[-1]["place"]) if len(rows) > query.limit else None
    return [_of_row(_score_row(row)) for row in kept], last


def _conditions(query: FeedbackQuery) -> list[str]:
    conditions = ["source = 'human'", f"reason != '{WITHDRAWN}'"]
    conditions += filter_conditions(query.filters, SCORE_COLUMNS)
    conditions += [f"{name} = {{has_{name}:String}}" for name in query.equal]
    if query.trace_id is not None:
        conditions.append("trace_id = toFixedString(unhex({trace_id:String}), 16)")
    if query.after is not None:
        sign = ">" if query.oldest_first else "<"
        conditions.append(
            f"(toUnixTimestamp64Milli(received_at), cityHash64(score_id)) {sign} ({{after_ms:Int64}}, {{after_place:UInt64}})"
        )
    return conditions


def _parameters(query: FeedbackQuery) -> dict[str, Any]:
    given = filter_parameters(query.filters, SCORE_COLUMNS)
    given |= {f"has_{name}": value for name, value in query.equal.items()}
    if query.trace_id is not None:
        given["trace_id"] = query.trace_id
    if query.after is not None:
        given |= {"after_ms": query.after.time_ms, "after_place": query.after.span_key}
    return given


Span = Mapping[str, Any]

_LABELS = ("target", "release", "user_id", "conversation_id")
_SPAN = (
    "lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, trace_id, span_id, log_partition, log_offset, time, service, "
    "environment, operation, provider, model, target, release, user_id, conversation_id"
)
# A response that several spans report is judged where analyzers read it: at the first of them in the log.
_ONCE = f"ORDER BY log_offset, started_at, span_key LIMIT 1 BY trace_id, if(operation IN ({_MADE}), usage_key, span_key)"
_END = "toUnixTimestamp64Milli(started_at) + ifNull(duration_ms, 0)"

_ANSWERS = f"""SELECT {_SPAN} FROM (SELECT * {SPANS_OF_TRACES} {_ONCE})
ORDER BY trace_id, operation IN ({_MADE}) DESC, if(operation IN ({_MADE}), -({_END}), 0), {RANK}
LIMIT 1 BY trace_id"""

_NAMED = f"""SELECT {_SPAN} {SPANS_OF_TRACES} AND span_id IN (SELECT unhex(arrayJoin({{spans:Array(String)}})))
ORDER BY log_offset, started_at LIMIT 1 BY trace_id, span_id"""

_OF_TRACES = (
    "SELECT lower(hex(trace_id)) AS trace, "
    + ", ".join(f"argMinIf({name}, started_at, {name} != '') AS {name}" for name in _LABELS)
    + f" {SPANS_OF_TRACES} GROUP BY trace_id"
)


async def _spans_of(reader: ProjectReader, judgements: Sequence[Judgement]) -> dict[tuple[str, str | None], Span]:
    """The spans that are judged, with the labels of their traces, by the ids that the judgements give.

    The answer of a trace is the model response that ended last (the outermost of those that end together): of a chain the
    one that the user saw. A trace without any is judged at its top span.
    """
    traces = sorted({judgement.trace_id for judgement in judgements})
    named = sorted({judgement.span_id for judgement in judgements if judgement.span_id})
    labels = {row["trace"]: row for row in await reader.lookup(_OF_TRACES, {"traces": traces})}
    found: dict[tuple[str, str | None], Span] = {}
    if any(judgement.span_id is None for judgement in judgements):
        answers = await reader.lookup(_ANSWERS, {"traces": traces})
        found |= {(row["trace"], None): _labelled(row, labels) for row in answers}
    if named:
        spans = await reader.lookup(_NAMED, {"traces": traces, "spans": named})
        found |= {(row["trace"], row["span"]): _labelled(row, labels) for row in spans}
    return found


def _labelled(row: Span, labels: Mapping[str, Span]) -> Span:
    return {**row, **{name: row[name] or labels[row["trace"]][name] for name in _LABELS}}


_STORED = (
    "project",
    "name",
    "part",
    "scorer",
    "source",
    "trace_id",
    "span_id",
    "score_id",
    "time",
    "received_at",
    "log_partition",
    "log_offset",
    "service",
    "environment",
    "operation",
    "provider",
    "model",
    "target",
    "release",
    "user_id",
    "conversation_id",
    "value",
    "flagged",
    "label",
    "reason",
    "explanation",
    "evidence",
    "weight",
    "scored_at",
    "author",
)
_COLUMNS = ", ".join(
    f"toUnixTimestamp64Milli({name}) AS {name}_ms" if name in ("time", "scored_at", "received_at") else name for name in _STORED
)


def _score_row(row: Mapping[str, Any]) -> ScoreRow:
    times: dict[str, int] = {name: row[f"{name}_ms"] for name in ("time", "scored_at", "received_at")}
    stored: dict[str, Any] = {name: row[name] for name in _STORED if name not in times}
    return ScoreRow(**stored | {name: from_epoch_ms(value) for name, value in times.items()})


async def _known(reader: ProjectReader, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Judgements with these ids, withdrawn ones too, as the fields of their rows."""
    sql = f"SELECT {_COLUMNS} {FEEDBACK} AND score_id IN {{ids:Array(String)}}"
    rows = await reader.lookup(sql, {"ids": list(ids)})
    return {row["score_id"]: vars(_score_row(row)) for row in rows}


def _row(project: str, judgement: Judgement, span: Span, now: datetime) -> ScoreRow:
    return ScoreRow(
        project=project,
        name=judgement.name,
        part=judgement.part,
        scorer=HUMAN,
        source="human",
        trace_id=span["trace_id"],
        span_id=span["span_id"],
        score_id=judgement.id,
        time=span["time"],
        received_at=now,
        **{name: span[name] for name in ("log_partition", "log_offset", "service", "environment", "operation", "provider")},
        **{name: span[name] for name in ("model", *_LABELS)},
        value=judgement.value,
        flagged=None if judgement.flagged is None else int(judgement.flagged),
        label=judgement.label,
        reason="",
        explanation=judgement.comment,
        evidence=json.dumps([{"correction": judgement.correction}], ensure_ascii=False) if judgement.correction else "",
        weight=1.0,
        scored_at=now,
        author=judgement.author,
    )


_SAID = ("value", "flagged", "label", "reason", "explanation", "evidence", "scored_at")


def _replacing(index: int, judgement: Judgement, row: ScoreRow, known: Mapping[str, Any]) -> ScoreRow:
    """What `row` says in the place of the one with its id: with the same key, and in the same partition, it replaces that."""
    place = ("trace_id",) if judgement.span_id is None else ("trace_id", "span_id")
    for what, names in (
        ("about another span", place),
        ("about something else", ("name", "part")),
        ("by another user", ("author",)),
    ):
        if any(known[name] != getattr(row, name) for name in names):
            raise ForeignFeedbackError(index, row.score_id, what)
    return ScoreRow(**{**known, **{name: getattr(row, name) for name in _SAID}})


def _of_row(row: ScoreRow) -> Feedback:
    evidence = json.loads(row.evidence) if row.evidence else []
    judgement = Judgement(
        id=row.score_id,
        trace_id=row.trace_id.hex(),
        span_id=row.span_id.hex(),
        name=row.name,
        part=row.part,
        author=row.author,
        value=row.value,
        flagged=None if row.flagged is None else bool(row.flagged),
        label=row.label,
        correction=evidence[0]["correction"] if evidence else "",
        comment=row.explanation,
    )
    return Feedback(
        judgement,
        received_at=row.received_at,
        updated_at=row.scored_at,
        time=row.time,
        service=row.service,
        model=row.model,
        target=row.target,
        release=row.release,
        user=row.user_id,
    )
