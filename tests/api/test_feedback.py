"""Feedback over HTTP: stored, corrected, withdrawn and listed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.metrics import MetricQuery, read_series
from tests.api.feedback_fixtures import HOUR, Giver, about, chat, span_id, trace
from tests.api.read_fixtures import NOW, client_of, new_key
from tests.ingest.spans import make_span


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
        ({"name": "x", "value": 1e300}, "must be at most 1e+12"),
        ({"comment": "x" * 10_001}, "at most 10000"),
        ({"thumbs": "up", "project": "theirs"}, "there is no member 'project'"),
    ],
)
async def test_bad_feedback(giver: Giver, body: dict[str, Any], detail: str) -> None:
    problem = await giver.send({**about(1), **body}, status=422)
    assert detail in json.dumps(problem)


async def test_a_mistake_is_pointed_at_where_it_was_sent(giver: Giver) -> None:
    for body, pointer in ((about(1, thums="up"), "#/thums"), ([about(1, thumbs="up"), about(1, thums="up")], "#/1/thums")):
        answer = await giver.client.post("/v1/feedback", json=body)
        found = {"pointer": pointer, "detail": "there is no member 'thums': did you mean thumbs?"}
        assert (answer.status_code, answer.json()["errors"]) == (422, [found])


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
