"""What feedback is for: what to judge next, agreement with scorers, exports, and that projects are apart."""

from __future__ import annotations

import io
import json

import polars
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import api.export
from api.export import SCHEMA
from storage.scores import insert_scores
from tests.api.feedback_fixtures import HOUR, Giver, about, chat, said, scored, span_id, trace
from tests.api.read_fixtures import NOW, client_of, narrowed, new_key
from tests.ingest.spans import make_span
from tests.storage.scores import score


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
    for user, verdicts in (
        ("eva", (True, True, False, False)),
        ("bob", (True, False, False, False)),
        ("cy", (True, True, False, True)),
    ):
        await giver.send(*[about(number, name="grounding", flagged=bad, user=user) for number, bad in enumerate(verdicts, 1)])
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
