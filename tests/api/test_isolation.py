"""No query crosses projects: whatever a caller sends, an answer is the same as if the other project did not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.cursor import encode
from api.services import Services
from schemas.metrics import ALL_DIMENSIONS, METRICS
from storage.scores import ScoreRow, insert_scores
from storage.spans import Position
from tests.api.read_fixtures import NOW, client_of, new_key
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.scores import score

ROOT = Path(__file__).parent.parent.parent
TRACES = [bytes([number]) * 16 for number in (1, 2, 3)]
SECRET = "their secret"

WORDS = ["ours", "theirs", "bot", "v1", "v2", SECRET, "", "*", "%", "' OR project = 'theirs' --", "theirs') OR ('1'='1"]
HEADERS = ["X-Project", "X-Tracewarden-Project", "X-Scope-OrgID", "Forwarded", "Cookie", "X-ClickHouse-Database"]


def spans_of(project: str) -> list[Any]:
    """Spans with the same ids in every project, and texts of their own."""
    secret = SECRET if project == "theirs" else "our text"
    return [
        make_span(
            trace_id=trace,
            span_id=bytes([number]) * 8,
            start=NOW - timedelta(minutes=number, seconds=0 if project == "ours" else 1),
            duration_s=number if project == "ours" else 77,
            status=2 if project == "theirs" else 0,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.response.id": "r",
                "gen_ai.usage.output_tokens": number if project == "ours" else 1_000_000,
                "gen_ai.input.messages": f'[{{"role":"user","content":"{secret}"}}]',
                "user.id": f"{project}-user",
                "tracewarden.target": "bot",
                "tracewarden.release": "v1" if project == "ours" else "v2",
            },
            resource={"service.name": "shared", "service.version": "1", "secret": secret},
        )
        for number, trace in enumerate(TRACES, 1)
    ]


def scores_of(project: str) -> list[ScoreRow]:
    """What an analyzer and a person said about these spans, under the same ids in every project; nobody judged the last."""
    theirs = project == "theirs"
    said: dict[str, Any] = {"project": project, "service": "shared", "received_at": NOW, "scored_at": NOW, "log_offset": 0}
    said |= {"flagged": int(theirs), "value": 0.9 if theirs else 0.1, "release": "v2" if theirs else "v1"}
    person = {"source": "human", "scorer": "human@1", "score_id": "same id", "explanation": SECRET if theirs else ""}
    found = []
    for number, trace in enumerate(TRACES, 1):
        ids: dict[str, Any] = {"trace_id": trace, "span_id": bytes([number]) * 8, "time": NOW - timedelta(minutes=number)}
        found.append(score(**said, **ids, scorer="theirs@1" if theirs else "screen@1"))
        found.append(score(**{**said, **ids, **person, "author": f"{project}-user" if theirs else ""}))
    return found[:-1]


words = st.sampled_from(WORDS)
ids = st.sampled_from([trace.hex() for trace in TRACES] + ["ff" * 16])
cursors = st.builds(
    lambda ahead, key, filters: encode(Position(int(NOW.timestamp() * 1000) + ahead, key), {**filters, "text": ""}),
    st.integers(-200_000, 10_000),
    st.sampled_from([0, 1 << 63, (1 << 64) - 1]),
    st.just({}),
)
names = [
    *ALL_DIMENSIONS,
    "project",
    "text",
    "cursor",
    "group_by",
    "target",
    "baseline",
    "candidate",
    "metric",
    "name",
    "format",
    "tenant",
    "from",
    "to",
]
values = {
    "cursor": cursors,
    "group_by": st.lists(st.sampled_from([*ALL_DIMENSIONS, "project"]), max_size=3).map(",".join),
    "metric": st.sampled_from([metric.name for metric in METRICS]),
    "name": st.sampled_from(["toxicity", "thumbs"]),
    "format": st.just("jsonl"),
    "status": st.sampled_from(["error", "ok", "unset"]),
    "user": st.sampled_from(["ours-user", "theirs-user"]),
}
parameters = st.dictionaries(st.sampled_from(names), st.none(), max_size=3).flatmap(
    lambda chosen: st.fixed_dictionaries({name: values.get(name, words) for name in chosen})
)
paths = st.one_of(
    st.just("/v1/spans"),
    st.just("/v1/compare"),
    st.sampled_from(["/v1/feedback", "/v1/feedback/export", "/v1/feedback/agreement", "/v1/reviews"]),
    ids.map(lambda trace: f"/v1/traces/{trace}"),
    st.tuples(ids, st.sampled_from(["01" * 8, "02" * 8])).map(lambda found: "/v1/spans/" + "/".join(found)),
    st.sampled_from(METRICS).map(lambda metric: f"/v1/metrics/{metric.name}"),
)
headers = st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(["theirs", "project=theirs", "1"]), max_size=2)


async def filled(services: Services) -> Services:
    """Both projects with spans under the same ids."""
    if not await services.store.query("SELECT 1 FROM spans LIMIT 1"):
        for project in ("theirs", "ours", "theirs"):
            await ingest_spans(services.store, project, spans_of(project), received_at=NOW)
        await ingest_spans(services.store, "alone", spans_of("ours"), received_at=NOW)
        mine = scores_of("ours")
        await insert_scores(services.store, [*scores_of("theirs"), *mine, *(replace(row, project="alone") for row in mine)])
    return services


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(path=paths, asked=parameters, sent=headers)
async def test_an_answer_depends_on_the_callers_project_only(
    services: Services, path: str, asked: dict[str, str], sent: Mapping[str, str]
) -> None:
    parts = await filled(services)
    if path == "/v1/compare":
        asked = {"target": "bot", "baseline": "v1", "candidate": "v2", "metric": "tokens.output", **asked}
    if path in ("/v1/feedback/agreement", "/v1/reviews"):
        asked = {"name": "toxicity", **asked}
    answers = []
    for project in ("ours", "alone"):
        async with client_of(parts, await new_key(parts, project), **sent) as client:
            answers.append(await client.get(path, params=asked))
    ours, alone = answers
    assert ours.status_code == alone.status_code
    assert same(ours.text) == same(alone.text)
    assert (SECRET not in ours.text) or SECRET in asked.values()


@pytest.mark.parametrize("metric", ["spans.count", "spans.latency.p50", "tokens.output", "latency.p50"])
async def test_nothing_is_inherited_from_traces_of_the_same_id(services: Services, metric: str) -> None:
    """What holds for a whole trace is looked up by its id: in the caller's project only."""
    parts = await filled(services)
    for dimension, theirs in (("user", "theirs-user"), ("release", "v2"), ("target", "bot"), ("conversation", "")):
        for asked in ({"group_by": dimension}, {dimension: theirs}, {dimension: theirs, "group_by": "release,user"}):
            answers = []
            for project in ("ours", "alone"):
                async with client_of(parts, await new_key(parts, project)) as client:
                    answers.append((await client.get(f"/v1/metrics/{metric}", params=asked)).json())
            assert answers[0] == answers[1]
            assert "theirs" not in str(answers[0]["series"])


def same(text: str) -> str:
    """The text without the keys of spans, which differ between projects, and so the order of equal times."""
    return re.sub(r'"next_cursor":"[^"]*"', '"next_cursor":"…"', text)


async def test_the_other_project_is_there_for_its_own_key(services: Services) -> None:
    parts = await filled(services)
    async with client_of(parts, await new_key(parts, "theirs")) as client:
        found = (await client.get(f"/v1/traces/{TRACES[0].hex()}")).json()
        assert found["totals"]["output_tokens"] == 1_000_000
        asked = {"from": (NOW - timedelta(hours=1)).isoformat(), "group_by": "user"}
        series = (await client.get("/v1/metrics/spans.count", params=asked)).json()["series"]
        assert [one["labels"]["user"] for one in series] == ["theirs-user"]


async def test_feedback_of_another_project_can_be_neither_sent_nor_taken_back(services: Services) -> None:
    parts = await filled(services)
    only_theirs = make_span(trace_id=b"\x09" * 16, start=NOW - timedelta(minutes=1))
    await ingest_spans(parts.store, "theirs", [only_theirs], received_at=NOW)
    async with client_of(parts, await new_key(parts, "ours", "feedback")) as client:
        sent = await client.post("/v1/feedback", json={"trace_id": "09" * 16, "thumbs": "up"})
        assert sent.status_code == 404
        for number in (1, 2):
            body = {"trace_id": TRACES[0].hex(), "id": f"theirs {number}", "thumbs": "down"}
            assert (await client.post("/v1/feedback", json=body)).status_code == 201
        assert (await client.delete("/v1/feedback/theirs 1")).status_code == 204
    async with client_of(parts, await new_key(parts, "theirs")) as client:
        found = (await client.get("/v1/feedback")).json()["feedback"]
        assert {each["id"] for each in found} == {"same id"}


def test_the_project_is_named_in_one_place() -> None:
    """Reads of spans start from `storage.scope`, which alone writes the project's predicate."""
    for path in (*ROOT.glob("storage/*.py"), *ROOT.glob("api/**/*.py")):
        if path.name in ("scope.py", "migrations.py"):
            continue
        text = path.read_text()
        if "storage.scope" in text:
            assert not re.search(r"FROM (spans|scores|drift_looks|analysis_coverage)\b(?!`)", text), path
            assert "{project:" not in text, path
