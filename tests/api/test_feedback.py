"""Feedback over HTTP: stored, corrected, withdrawn, listed, reviewed, exported, and held against scorers."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import polars
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from polars.testing import assert_frame_equal
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import api.export
from api.export import SCHEMA
from api.services import Services
from storage.clickhouse import ClickHouseStore
from storage.metrics import MetricQuery, read_series
from storage.scores import insert_scores
from tests.api.read_fixtures import NOW, client_of, narrowed, new_key
from tests.ingest.spans import ingest_spans, make_span
from tests.storage.scores import score

HOUR = timedelta(hours=1)


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def said(role: str, *texts: str) -> str:
    return json.dumps([{"role": role, "content": text} for text in texts])


def chat(number: int, minute: float = 0.0, **given: Any) -> ResourceSpans:
    """A model call of one second, with the ids `number`."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": said("user", f"question {number}"),
        "gen_ai.output.messages": said("assistant", f"answer {number}"),
        **given.pop("attributes", {}),
    }
    ids = {"trace_id": trace(number), "span_id": span_id(number), **given}
    return make_span(start=NOW - HOUR + timedelta(minutes=minute), attributes=attributes, **ids)


class Giver:
    """A client that may send and read feedback of the project `ours`."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self.services = services
        self.client = client

    @property
    def store(self) -> ClickHouseStore:
        return self.services.store

    async def spans(self, *spans: ResourceSpans, project: str = "ours") -> None:
        await ingest_spans(self.store, project, spans, received_at=NOW)

    async def send(self, *bodies: dict[str, Any], status: int = 201, key: str | None = None) -> Any:
        body = bodies[0] if len(bodies) == 1 else list(bodies)
        answer = await self.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": key} if key else {})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = await self.client.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def all(self, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/v1/feedback", **parameters))["feedback"]
        return found


@pytest.fixture
async def giver(services: Services) -> AsyncIterator[Giver]:
    key = await new_key(services, "ours", "feedback", "read")
    async with client_of(services, key) as client:
        yield Giver(services, client)


def about(number: int, **given: Any) -> dict[str, Any]:
    return {"trace_id": trace(number).hex(), **given}


async def negative_share(giver: Giver) -> tuple[float | None, int]:
    query = MetricQuery("ours", "feedback.negative_share", NOW - 3 * HOUR, NOW + HOUR)
    [series] = await read_series(giver.store, query)
    return series.points[0].value, series.points[0].n


async def test_thumbs_are_stored_with_the_labels_of_their_trace(giver: Giver) -> None:
    root = make_span(
        trace_id=trace(1),
        start=NOW - HOUR,
        attributes={"tracewarden.target": "bot", "tracewarden.release": "v2", "user.id": "ann"},
    )
    await giver.spans(root, chat(1, parent_span_id=b"\x01" * 8))
    sent = await giver.send(about(1, thumbs="down", comment="wrong", user="eva"))
    [found] = await giver.all()
    assert [found] == sent["feedback"]
    expected = {"span_id": span_id(1).hex(), "name": "thumbs", "value": 0.0, "flagged": True, "label": "down"}
    labels = {"target": "bot", "release": "v2", "service": "assistant", "user": "eva", "comment": "wrong", "part": "completion"}
    assert expected.items() | labels.items() <= found.items()
    [row] = await giver.store.query("SELECT user_id, author, source FROM scores FINAL")
    assert row == {"user_id": "ann", "author": "eva", "source": "human"}
    assert await negative_share(giver) == (1.0, 1)


async def test_without_a_span_the_answer_that_ended_last_is_judged(giver: Giver) -> None:
    rewrite = chat(1, 0, span_id=span_id(10))
    answer = chat(1, 1, span_id=span_id(11))
    tool = make_span(trace_id=trace(1), span_id=span_id(12), start=NOW, attributes={"gen_ai.operation.name": "execute_tool"})
    await giver.spans(rewrite, answer, tool, make_span(trace_id=trace(2), span_id=span_id(20), start=NOW - HOUR))
    found = await giver.send(
        about(1, thumbs="up"), about(2, thumbs="up"), about(1, thumbs="up", span_id=span_id(10).hex().upper())
    )
    assert [each["span_id"] for each in found["feedback"]] == [span_id(number).hex() for number in (11, 20, 10)]


async def test_a_response_reported_twice_is_judged_where_analyzers_read_it(giver: Giver) -> None:
    same = {"attributes": {"gen_ai.response.id": "r"}}
    await giver.spans(chat(1, 0, span_id=span_id(1), duration_s=9, **same), chat(1, 0.01, span_id=span_id(2), **same))
    [found] = (await giver.send(about(1, thumbs="up")))["feedback"]
    assert found["span_id"] == span_id(1).hex()


async def test_an_unknown_span_stores_nothing(giver: Giver) -> None:
    await giver.spans(chat(1))
    await giver.spans(chat(2), project="theirs")
    for body in (about(2, thumbs="up"), about(9, thumbs="up"), about(1, thumbs="up", span_id="ab" * 8)):
        problem = await giver.send(about(1, thumbs="down"), body, status=404)
        assert problem["type"] == "urn:tracewarden:unknown-span"
        assert problem["detail"].startswith("Feedback 1: ")
        assert "once the span was received" in problem["detail"]
    assert await giver.all() == []


async def test_an_id_replaces_what_it_said_and_only_that(giver: Giver) -> None:
    await giver.spans(chat(1), chat(2))
    await giver.send(about(1, id="a", thumbs="down", user="eva"))
    early = giver.services
    giver.client = client_of(
        replace(early, clock=lambda: NOW + timedelta(days=2)), await new_key(early, "ours", "feedback", "read")
    )
    await giver.send(about(1, id="a", thumbs="up", user="eva", correction="this"))
    [found] = await giver.all(to=(NOW + HOUR).isoformat(), **{"from": (NOW - HOUR).isoformat()})
    assert (found["value"], found["correction"]) == (1.0, "this")
    assert found["updated_at"] > found["received_at"]
    assert await negative_share(giver) == (0.0, 1)
    for change in ({"trace_id": trace(2).hex()}, {"name": "toxicity"}, {"part": "prompt"}, {"user": "bob"}):
        problem = await giver.send({**about(1, id="a", thumbs="up", user="eva"), **change}, status=409)
        assert problem["type"] == "urn:tracewarden:feedback-exists"
    assert (await giver.store.query("SELECT count() AS n FROM scores FINAL"))[0]["n"] == 1


async def test_a_later_answer_does_not_move_a_judgement(giver: Giver) -> None:
    await giver.spans(chat(1, span_id=span_id(1)))
    await giver.send(about(1, thumbs="up", user="eva"))
    await giver.spans(chat(1, 5, span_id=span_id(2)))
    [found] = (await giver.send(about(1, thumbs="down", user="eva")))["feedback"]
    assert (found["span_id"], found["flagged"]) == (span_id(1).hex(), True)
    assert len(await giver.all()) == 1


async def test_sending_again_stores_nothing_twice(giver: Giver) -> None:
    await giver.spans(chat(1), chat(2))
    bodies = (about(1, thumbs="up"), about(2, thumbs="down"))
    first = await giver.send(*bodies, key="k")
    assert await giver.send(*bodies, key="k") == first
    assert len(await giver.all()) == 2
    await giver.send(*bodies)
    assert len(await giver.all()) == 4
    for _ in range(2):
        await giver.send(about(1, thumbs="up", user="eva"))
    assert len(await giver.all(user="eva")) == 1
    problem = await giver.send(about(1, thumbs="up", user="eva"), about(1, thumbs="down", user="eva"), status=422)
    assert "twice" in problem["title"]


async def test_what_was_taken_back_is_gone(giver: Giver) -> None:
    await giver.spans(chat(1))
    await giver.send(about(1, id="my id", thumbs="down", comment="secret", correction="secret"))
    assert (await giver.client.delete("/v1/feedback/my id")).status_code == 204
    assert await giver.all() == []
    assert await negative_share(giver) == (None, 0)
    rows = await giver.store.query("SELECT explanation, evidence, reason FROM scores FINAL")
    assert rows == [{"explanation": "", "evidence": "", "reason": "withdrawn"}]
    assert (await giver.client.delete("/v1/feedback/my id")).status_code == 404
    await giver.send(about(1, id="my id", thumbs="up"))
    assert len(await giver.all()) == 1


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"name": "toxicity", "value": 0.9}, ("toxicity", 0.9, True)),
        ({"name": "grounding", "value": 0.9}, ("grounding", 0.9, False)),
        ({"name": "grounding", "value": 0.9, "flagged": True}, ("grounding", 0.9, True)),
        ({"name": "toxicity", "flagged": False, "label": "fine"}, ("toxicity", None, False)),
        ({"name": "taste", "value": 4}, ("taste", 4.0, None)),
        ({"name": "helpful", "thumbs": "up"}, ("helpful", 1.0, False)),
        ({"correction": "better"}, ("correction", None, None)),
        ({"comment": "hm"}, ("comment", None, None)),
    ],
)
async def test_what_a_judgement_means(giver: Giver, sent: dict[str, Any], stored: tuple[Any, ...]) -> None:
    await giver.spans(chat(1))
    [found] = (await giver.send(about(1, **sent)))["feedback"]
    assert (found["name"], found["value"], found["flagged"]) == stored


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "nothing is said"),
        ({"thumbs": "up", "value": 1}, "either thumbs"),
        ({"value": 1}, "needs a name"),
        ({"thumbs": "sideways"}, "'up' or 'down'"),
        ({"thumbs": "up", "trace_id": "zz"}, "pattern"),
        ({"name": "Toxic; DROP", "value": 1}, "pattern"),
        ({"name": "x", "value": 1e300}, "less than or equal"),
        ({"comment": "x" * 10_001}, "at most 10000"),
        ({"thumbs": "up", "project": "theirs"}, "Extra inputs"),
    ],
)
async def test_bad_feedback(giver: Giver, body: dict[str, Any], detail: str) -> None:
    problem = await giver.send({**about(1), **body}, status=422)
    assert detail in json.dumps(problem)


async def test_bounds_and_scopes(giver: Giver) -> None:
    assert (await giver.client.post("/v1/feedback", json=[])).status_code == 422
    assert (await giver.client.post("/v1/feedback", json=[about(1, thumbs="up")] * 101)).status_code == 422
    for scope, status in (("read", 403), ("ingest", 403), ("feedback", 404), ("admin", 404)):
        async with client_of(giver.services, await new_key(giver.services, "ours", scope)) as client:
            assert (await client.post("/v1/feedback", json=about(1, thumbs="up"))).status_code == status
            assert (await client.delete("/v1/feedback/x")).status_code == status
    async with client_of(giver.services, await new_key(giver.services, "ours", "feedback")) as client:
        for path in ("/v1/feedback", "/v1/feedback/export", "/v1/feedback/agreement?name=x", "/v1/reviews?name=x"):
            assert (await client.get(path)).status_code == 403


async def test_listing_by_page_and_filter(giver: Giver) -> None:
    await giver.spans(*[chat(number, number) for number in range(1, 8)])
    await giver.send(*[about(number, thumbs="up", user=f"user {number % 2}") for number in range(1, 8)])
    await giver.send(about(1, name="toxicity", value=1.0))
    whole, seen, cursor = await giver.all(), [], None
    while True:
        page = await giver.get("/v1/feedback", limit=3, **({"cursor": cursor} if cursor else {}))
        seen += page["feedback"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) == 8
    assert len(await giver.all(user="user 1")) == 4
    assert len(await giver.all(trace_id=trace(1).hex())) == 2
    assert [each["name"] for each in await giver.all(name="toxicity", part="completion", service="assistant")] == ["toxicity"]
    assert await giver.all(release="v9") == []
    problem = await giver.get("/v1/feedback", 400, limit=3, cursor=page["next_cursor"] or "AAAA")
    assert problem["type"] == "urn:tracewarden:bad-cursor"


async def scored(giver: Giver, values: Sequence[float], **given: Any) -> None:
    """Spans 1, 2, … with a toxicity each."""
    spans = [chat(number, number / 60) for number in range(1, len(values) + 1)]
    await giver.spans(*spans)
    rows = [
        score(
            trace_id=trace(number),
            span_id=span_id(number),
            value=value,
            flagged=int(value >= 0.5),
            time=NOW - HOUR + timedelta(minutes=number / 60),
            received_at=NOW,
            evidence='[{"start": 0, "end": 6}]',
            **given,
        )
        for number, value in enumerate(values, 1)
    ]
    await insert_scores(giver.store, rows)


async def test_the_queue_has_the_least_certain_and_a_random_share(giver: Giver) -> None:
    values = [index / 400 for index in range(400)]
    await scored(giver, values)
    queue = await giver.get("/v1/reviews", name="toxicity", limit=20)
    assert queue["threshold"] == 0.5
    reviews = queue["reviews"]
    assert [review["drawn"] for review in reviews] == (["doubt"] * 4 + ["random"]) * 4
    doubts = [abs(review["value"] - 0.5) for review in reviews if review["drawn"] == "doubt"]
    assert doubts == sorted(doubts)
    assert doubts[-1] < 0.05
    first = reviews[0]
    number = int(first["trace_id"], 16)
    assert (first["prompt"], first["completion"]) == (f"question {number}", f"answer {number}")
    assert first["evidence"] == [{"start": 0, "end": 6}]
    assert await giver.get("/v1/reviews", name="toxicity", limit=20) == queue
    await giver.send(
        about(number, name="toxicity", flagged=True), about(int(reviews[4]["trace_id"], 16), name="toxicity", value=0)
    )
    left = (await giver.get("/v1/reviews", name="toxicity", limit=20))["reviews"]
    assert not {first["trace_id"], reviews[4]["trace_id"]} & {review["trace_id"] for review in left}
    other = await giver.get("/v1/reviews", name="toxicity", threshold=0.9, limit=1)
    assert abs(other["reviews"][0]["value"] - 0.9) < 0.02
    assert (await giver.get("/v1/reviews", name="grounding"))["reviews"] == []


async def test_the_random_share_does_not_depend_on_the_values(giver: Giver) -> None:
    await scored(giver, [0.01] * 60)
    one = [
        each["trace_id"]
        for each in (await giver.get("/v1/reviews", name="toxicity", limit=50))["reviews"]
        if each["drawn"] == "random"
    ]
    await scored(giver, [0.99 - index / 100 for index in range(60)], scorer="other@1", scored_at=NOW)
    asked = await giver.get("/v1/reviews", name="toxicity", limit=50, scorer="other@1")
    assert one == [each["trace_id"] for each in asked["reviews"] if each["drawn"] == "random"]
    assert one


async def test_the_queue_shows_the_context(giver: Giver) -> None:
    retrieved = {"gen_ai.operation.name": "retrieval", "gen_ai.output.messages": said("document", "the source", "another")}
    later = {"gen_ai.operation.name": "execute_tool", "gen_ai.output.messages": said("tool", "too late")}
    await scored(giver, [0.4])
    await giver.spans(
        make_span(trace_id=trace(1), start=NOW - 2 * HOUR, attributes=retrieved),
        make_span(trace_id=trace(1), start=NOW, attributes=later),
    )
    [review] = (await giver.get("/v1/reviews", name="toxicity"))["reviews"]
    assert review["context"] == ["the source", "another"]


async def test_agreement_is_that_of_scikit_learn(giver: Giver) -> None:
    values = [((index * 37) % 100) / 100 for index in range(1, 81)]
    await scored(giver, values)
    truth = [value + ((index * 13) % 10 - 5) / 12 > 0.5 for index, value in enumerate(values)]
    bodies = [about(number, name="toxicity", flagged=bad, user="eva") for number, bad in enumerate(truth, 1)]
    await giver.send(*bodies)
    found = await giver.get("/v1/feedback/agreement", name="toxicity")
    judged, flags = found["judged"], [value >= 0.5 for value in values]
    assert (found["scorer"], judged["n"], judged["ties"], found["people"]) == ("screen@1", 80, 0, None)
    assert sum(judged["confusion"].values()) == 80
    assert judged["kappa"]["value"] == pytest.approx(cohen_kappa_score(flags, truth))
    assert judged["auroc"]["value"] == pytest.approx(roc_auc_score(truth, values))
    both = sum(flag and bad for flag, bad in zip(flags, truth, strict=True))
    assert judged["precision"]["value"] == pytest.approx(both / sum(flags))
    assert judged["recall"]["value"] == pytest.approx(both / sum(truth))
    low, high = judged["precision"]["interval"]
    assert 0 < low < judged["precision"]["value"] < high < 1
    assert 0 < found["random"]["n"] < 40


async def test_agreement_where_low_values_are_bad_and_among_people(giver: Giver) -> None:
    await scored(giver, [0.1, 0.2, 0.8, 0.9], name="grounding")
    for user, said in (
        ("eva", (True, True, False, False)),
        ("bob", (True, False, False, False)),
        ("cy", (True, True, False, True)),
    ):
        await giver.send(*[about(number, name="grounding", flagged=bad, user=user) for number, bad in enumerate(said, 1)])
    await giver.send(about(4, name="grounding", flagged=True))
    found = await giver.get("/v1/feedback/agreement", name="grounding")
    assert found["judged"]["auroc"] == {"value": 1.0, "interval": None}
    assert (found["judged"]["n"], found["judged"]["ties"]) == (3, 1)
    assert (found["people"]["spans"], found["people"]["pairs"]) == (4, 12)
    assert found["people"]["agreement"] == pytest.approx(8 / 12)


async def test_agreement_without_anything(giver: Giver) -> None:
    found = await giver.get("/v1/feedback/agreement", name="toxicity")
    assert (found["scorer"], found["people"]) == (None, None)
    assert found["judged"] == found["random"]
    assert {name: found["judged"][name] for name in ("n", "kappa", "auroc", "precision", "recall")} == {
        "n": 0,
        "kappa": None,
        "auroc": None,
        "precision": None,
        "recall": None,
    }


async def test_both_exports_hold_the_same_rows(giver: Giver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.export, "PAGE", 3)
    await scored(giver, [0.1, 0.6, 0.7, 0.2])
    await giver.send(*[about(number, thumbs="up", user="eva", comment="ü\n…") for number in range(1, 5)])
    await giver.send(*[about(number, name="toxicity", flagged=number > 2, correction="x") for number in range(1, 5)])
    text = (await giver.client.get("/v1/feedback/export")).text
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == 8
    assert rows[0]["prompt"].startswith("question")
    number = int(rows[0]["trace_id"], 16)
    [verdict] = rows[0]["scores"]
    assert (verdict["name"], verdict["scorer"], verdict["value"]) == ("toxicity", "screen@1", (0.1, 0.6, 0.7, 0.2)[number - 1])
    answer = await giver.client.get("/v1/feedback/export", params={"format": "parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = polars.read_parquet(io.BytesIO(answer.content))
    assert dict(table.schema) == SCHEMA
    times = ("received_at", "updated_at", "time")
    lines = polars.DataFrame(rows, {**SCHEMA, **dict.fromkeys(times, polars.String)})
    lines = lines.with_columns(polars.col(times).str.to_datetime("%+", time_unit="ms", time_zone="UTC"))
    assert_frame_equal(table, lines)


async def test_an_export_of_nothing_and_one_that_is_too_large(giver: Giver) -> None:
    assert (await giver.client.get("/v1/feedback/export")).content == b""
    empty = await giver.client.get("/v1/feedback/export", params={"format": "parquet"})
    assert polars.read_parquet(io.BytesIO(empty.content)).shape == (0, len(SCHEMA))
    await giver.spans(chat(1))
    await giver.send(*[about(1, id=str(number), thumbs="up") for number in range(3)])
    async with client_of(narrowed(giver.services, max_rows=2), await new_key(giver.services, "ours")) as client:
        refused = await client.get("/v1/feedback/export", params={"format": "parquet"})
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:tracewarden:too-many-rows")
    assert (await giver.get("/v1/feedback/export", 400, **{"from": "2020-01-01T00:00:00Z"}))["type"].endswith("range-too-long")


async def test_nothing_of_another_project_is_found(giver: Giver) -> None:
    await giver.spans(chat(1), project="theirs")
    await insert_scores(
        giver.store, [score(project="theirs", trace_id=trace(1), span_id=span_id(1), time=NOW - HOUR, received_at=NOW)]
    )
    async with client_of(giver.services, await new_key(giver.services, "theirs", "feedback", "read")) as client:
        sent = await client.post("/v1/feedback", json=about(1, id="x", name="toxicity", flagged=True))
        assert sent.status_code == 201
    assert await giver.all() == []
    assert (await giver.client.get("/v1/feedback/export")).content == b""
    assert (await giver.get("/v1/reviews", name="toxicity"))["reviews"] == []
    assert (await giver.get("/v1/feedback/agreement", name="toxicity"))["judged"]["n"] == 0
    assert (await giver.client.delete("/v1/feedback/x")).status_code == 404
    await giver.spans(chat(1))
    await giver.send(about(1, id="x", thumbs="up"))
    assert len(await giver.all()) == 1
