"""Calibrations over HTTP: made from feedback, listed, refused with what is lacking."""

from __future__ import annotations

from datetime import timedelta

import orjson

from api.services import Services
from storage.audit import read_audit
from storage.calibrations import read_holding
from storage.scores import ScoreRow, insert_scores
from tests.api.read_fixtures import NOW, Front, client_of, new_key

FEATURES = ("words", "bigrams", "trigrams", "window_words", "window_bigrams", "run")
OTHERS = ("missing_numbers", "missing_names", "negation", "similarity", "cross")
SCORER = "grounding@2-lexical"


def row_of(number: int, source: str, *, flagged: bool, covered: float = 0.0) -> ScoreRow:
    """A score by the analyzer (a sentence covered so much) or by a person."""
    features = dict.fromkeys(FEATURES, covered) | dict.fromkeys(OTHERS, 0.0)
    return ScoreRow(
        project="ours",
        name="grounding",
        part="completion",
        scorer=SCORER if source == "analyzer" else "human@1",
        source=source,
        trace_id=number.to_bytes(16),
        span_id=number.to_bytes(8),
        score_id="" if source == "analyzer" else f"fb_{number}",
        time=NOW - timedelta(days=1),
        received_at=NOW - timedelta(days=1),
        log_partition=0,
        log_offset=number,
        service="shop",
        environment="",
        operation="chat",
        provider="",
        model="",
        target="",
        release="",
        user_id="",
        conversation_id="",
        value=float(not flagged),
        flagged=int(flagged),
        label="",
        reason="",
        explanation="",
        evidence=orjson.dumps([{"features": features}]).decode() if source == "analyzer" else "",
        weight=1.0,
        scored_at=NOW,
    )


async def give_feedback(services: Services, count: int) -> None:
    """Answers of which people accept those that are covered by four tenths or more."""
    covered = [0.1 + 0.8 * number / count for number in range(count)]
    rows = [row_of(number, "analyzer", flagged=share < 0.5, covered=share) for number, share in enumerate(covered, 1)]
    said = [row_of(number, "human", flagged=share < 0.4) for number, share in enumerate(covered, 1)]
    await insert_scores(services.store, [*rows, *said])


async def test_a_calibration_is_made_listed_and_holds(front: Front) -> None:
    await give_feedback(front.services, 80)
    async with client_of(front.services, await new_key(front.services, "ours", "control", "read")) as controller:
        answer = await controller.post("/v1/calibrations", json={"service": "shop"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["service"], made["labels"], made["scorer"]) == ("shop", 80, SCORER)
    assert made["quality"]["balanced_accuracy"] > made["quality"]["balanced_accuracy_before"]
    assert (await front.get("/v1/calibrations", service="shop"))["calibrations"] == [made]
    assert (await front.get("/v1/calibrations", service="other"))["calibrations"] == []
    held = await front.services.control.read(lambda connection: read_holding(connection, "grounding", {("ours", "shop")}))
    assert held["ours", "shop"].id == made["id"]


async def test_too_little_feedback_and_too_small_a_key_are_refused(front: Front) -> None:
    await give_feedback(front.services, 12)
    async with client_of(front.services, await new_key(front.services, "ours", "control")) as controller:
        few = await controller.post("/v1/calibrations", json={"service": "shop"})
    assert (few.status_code, few.json()["type"]) == (409, "urn:tracewarden:too-few-labels")
    assert "12 answers have a verdict and 50 are needed" in few.json()["detail"]
    assert (await front.client.post("/v1/calibrations", json={"service": "shop"})).status_code == 403


async def test_a_withdrawn_calibration_holds_no_more_and_the_one_before_does_again(front: Front) -> None:
    await give_feedback(front.services, 80)
    key = await new_key(front.services, "ours", "control", "read")

    async def holding() -> str | None:
        held = await front.services.control.read(lambda connection: read_holding(connection, "grounding", {("ours", "shop")}))
        return held["ours", "shop"].id if held else None

    async with client_of(front.services, key) as controller:
        first, second = [(await controller.post("/v1/calibrations", json={"service": "shop"})).json()["id"] for _ in range(2)]
        newest = await holding()
        other = first if newest == second else second
        assert (await controller.delete(f"/v1/calibrations/{newest}")).status_code == 204
        assert await holding() == other
        assert (await controller.delete(f"/v1/calibrations/{other}")).status_code == 204
        assert await holding() is None
        again = await controller.delete(f"/v1/calibrations/{newest}")
        assert (again.status_code, again.json()["type"]) == (404, "urn:tracewarden:unknown-calibration")
        assert "GET /v1/calibrations lists them" in again.json()["detail"]
    listed = (await front.get("/v1/calibrations"))["calibrations"]
    assert {each["id"] for each in listed} == {first, second}
    assert all(each["withdrawn_at"] is not None for each in listed)
    told = await front.services.control.read(lambda connection: read_audit(connection, "ours", subject=f"calibration:{newest}"))
    assert [entry.action for entry in told] == ["calibration.withdraw", "calibration.create"]
    assert told[0].before == told[1].after


async def test_only_the_own_project_and_a_control_key_can_withdraw(front: Front) -> None:
    await give_feedback(front.services, 80)
    async with client_of(front.services, await new_key(front.services, "ours", "control")) as controller:
        made = (await controller.post("/v1/calibrations", json={"service": "shop"})).json()["id"]
    assert (await front.client.delete(f"/v1/calibrations/{made}")).status_code == 403
    async with client_of(front.services, await new_key(front.services, "theirs", "control")) as stranger:
        assert (await stranger.delete(f"/v1/calibrations/{made}")).status_code == 404
    assert (await front.get("/v1/calibrations"))["calibrations"][0]["withdrawn_at"] is None
