"""The outbox under random failures, crashes and silences; and its decisions one by one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection, create_engine, insert, select

from alerting.dispatch import GIVE_UP, RETRY_DELAYS, judge
from alerting.notifiers import EndpointGoneError, PermanentError, RetryableError
from alerting.outbox import AT_ONCE, CLAIM_FOR, Grouping, Message, NotResendableError, claim_message, enqueue, resend, settle
from schemas.control import metadata
from schemas.control.alerting import deliveries
from schemas.control.core import projects
from storage.alerts import AlertRow, Place, insert_alert
from storage.deliveries import change_channel, find_delivery, list_deliveries, sync_channels
from storage.silences import end_silence, insert_silence, list_silences, new_silence
from tests.alerting.notices import NOW, notice

CHANNELS = ("hook", "slack")
SLOW = Grouping(timedelta(seconds=30), timedelta(minutes=5))


def database() -> Connection:
    """An empty control database in memory, in one transaction."""
    connection = create_engine("sqlite://").connect()
    metadata.create_all(connection)
    connection.execute(insert(projects).values(name="default", created_at=NOW))
    sync_channels(connection, {name: ("webhook", name) for name in CHANNELS})
    return connection


def put(
    connection: Connection,
    fingerprint: str,
    episode: int,
    *,
    firing: bool,
    now: datetime,
    grouping: Grouping = AT_ONCE,
    channels: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
) -> int:
    """One notice in the outbox."""
    place = Place("default", "rule", fingerprint)
    told = notice(firing=firing, fingerprint=fingerprint, labels=labels)
    return enqueue(connection, place, episode, told, channels=channels, grouping=grouping, now=now)


def claim(connection: Connection, now: datetime, worker: str = "w") -> Message | None:
    return claim_message(connection, now, worker, CHANNELS)


def sent(connection: Connection, message: Message | None, now: datetime) -> list[tuple[str, bool]]:
    """Deliver a message; which alert it told of, and whether that fires."""
    assert message is not None
    assert settle(connection, message, "delivered", "", now=now, again_at=None)
    return [(row.fingerprint, row.firing) for row in message.rows]


class Outbox(RuleBasedStateMachine):
    """Two alerts, two channels, everything that can go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.db = database()
        self.now = NOW
        self.fires = {"a": False, "b": False}
        self.episodes = {"a": 0, "b": 0}
        self.arrived: dict[tuple[str, str], list[tuple[int, bool]]] = {}
        self.held: Message | None = None

    @rule(alert=st.sampled_from(["a", "b"]), at_once=st.booleans())
    def change(self, alert: str, at_once: bool) -> None:
        self.fires[alert] = not self.fires[alert]
        self.episodes[alert] += self.fires[alert]
        grouping = AT_ONCE if at_once else SLOW
        put(self.db, alert, self.episodes[alert], firing=self.fires[alert], now=self.now, grouping=grouping)

    @rule(seconds=st.sampled_from([1, 40, 400, 40_000]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.held is None)
    @rule()
    def take(self) -> None:
        self.held = claim(self.db, self.now)

    def _arrive(self, message: Message) -> None:
        for row in message.rows:
            self.arrived.setdefault(row.stream, []).append((row.id, row.firing))

    @precondition(lambda self: self.held is not None)
    @rule(outcome=st.sampled_from(["delivered", "late", "refused", "failed", "timed out", "crash", "crash after", "gone"]))
    def finish(self, outcome: str) -> None:
        message, self.held = self.held, None
        assert message is not None
        if outcome in ("delivered", "late", "timed out", "crash after"):
            self._arrive(message)
        if outcome.startswith("crash"):
            return
        if outcome == "late":
            self.now += CLAIM_FOR * 2
        again = self.now + timedelta(seconds=5) if outcome in ("failed", "timed out") else None
        state = {"delivered": "delivered", "late": "delivered", "refused": "dead", "gone": "dead"}.get(outcome, "pending")
        if outcome == "gone":
            change_channel(self.db, message.channel, {"disabled_at": self.now, "disabled_reason": "gone"})
        settle(self.db, message, state, outcome, now=self.now, again_at=again)

    @rule(name=st.sampled_from(["assistant", "other"]))
    def silence(self, name: str) -> None:
        until = self.now + timedelta(minutes=10)
        insert_silence(self.db, new_silence("default", {"target": name}, self.now, until, "", "me", self.now))

    @rule()
    def enable(self) -> None:
        for name in CHANNELS:
            change_channel(self.db, name, {"disabled_at": None})

    @rule()
    def send_again(self) -> None:
        for row in list_deliveries(self.db, "default", state="dead"):
            try:
                resend(self.db, row, self.now)
            except NotResendableError:
                continue

    @invariant()
    def arrivals_keep_their_order(self) -> None:
        for stream, rows in self.arrived.items():
            ids = [row_id for row_id, _ in rows]
            assert ids == sorted(ids), stream

    @invariant()
    def resolved_follows_firing(self) -> None:
        for rows in self.arrived.values():
            firing = [fires for place, (row_id, fires) in enumerate(rows) if place == 0 or rows[place - 1][0] != row_id]
            assert all(before or now for before, now in zip([False, *firing], firing, strict=False))

    def teardown(self) -> None:
        """Everything heals: whatever can be told is told, and the last word is right."""
        self.held = None
        for silence in list_silences(self.db, "default"):
            end_silence(self.db, "default", silence.id, self.now)
        self.enable()
        self.send_again()
        for _ in range(300):
            self.now += timedelta(minutes=1)
            message = claim(self.db, self.now)
            if message is not None:
                self._arrive(message)
                settle(self.db, message, "delivered", "", now=self.now, again_at=None)
        left = self.db.execute(select(deliveries.c.id).where(deliveries.c.state.in_(["pending", "sending"]))).all()
        assert left == []
        self.arrivals_keep_their_order()
        self.resolved_follows_firing()
        self._last_word_is_right()
        self.db.close()

    def _last_word_is_right(self) -> None:
        dead = {row.stream for row in list_deliveries(self.db, "default", limit=10_000) if row.state == "dead"}
        for alert, fires in self.fires.items():
            for channel in CHANNELS:
                rows = self.arrived.get((alert, channel), [])
                if (alert, channel) not in dead:
                    assert (rows[-1][1] if rows else False) == fires


TestOutbox = Outbox.TestCase
TestOutbox.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_notice_is_kept_once_for_each_channel() -> None:
    db = database()
    assert put(db, "a", 1, firing=True, now=NOW) == 2
    assert put(db, "a", 1, firing=True, now=NOW) == 0
    assert put(db, "b", 1, firing=True, now=NOW, channels=("hook",)) == 1


def test_a_group_gathers_then_waits_for_its_interval() -> None:
    db = database()
    put(db, "a", 1, firing=True, now=NOW, grouping=SLOW, channels=("hook",))
    put(db, "b", 1, firing=True, now=NOW + timedelta(seconds=20), grouping=SLOW, channels=("hook",))
    assert claim(db, NOW + timedelta(seconds=29)) is None
    at = NOW + timedelta(seconds=30)
    assert sent(db, claim(db, at), at) == [("a", True), ("b", True)]
    put(db, "a", 1, firing=False, now=at + timedelta(minutes=1), grouping=SLOW, channels=("hook",))
    assert claim(db, at + timedelta(minutes=4)) is None
    assert sent(db, claim(db, at + timedelta(minutes=5)), at + timedelta(minutes=5)) == [("a", False)]


def test_a_claim_excludes_others_until_it_runs_out() -> None:
    db = database()
    put(db, "a", 1, firing=True, now=NOW, channels=("hook",))
    first = claim(db, NOW, "one")
    assert first is not None
    assert claim(db, NOW + CLAIM_FOR - timedelta(seconds=1), "two") is None
    second = claim(db, NOW + CLAIM_FOR, "two")
    assert second is not None
    assert second.id == first.id
    assert not settle(db, first, "delivered", "", now=NOW, again_at=None)
    assert settle(db, second, "delivered", "", now=NOW, again_at=None)


def test_what_is_over_while_silenced_is_never_told() -> None:
    db = database()
    silence = new_silence("default", {"target": "assistant"}, NOW, NOW + timedelta(hours=1), "deploy", "me", NOW)
    insert_silence(db, silence)
    put(db, "a", 1, firing=True, now=NOW, channels=("hook",))
    assert claim(db, NOW) is None
    put(db, "a", 1, firing=False, now=NOW + timedelta(minutes=5), channels=("hook",))
    assert claim(db, NOW + timedelta(minutes=6)) is None
    assert claim(db, NOW + timedelta(hours=2)) is None
    assert {row.state for row in list_deliveries(db, "default")} == {"withheld"}


def test_what_fires_beyond_a_silence_is_told_then() -> None:
    db = database()
    insert_silence(db, new_silence("default", {"target": "assistant"}, NOW, NOW + timedelta(hours=1), "", "me", NOW))
    put(db, "a", 1, firing=True, now=NOW, channels=("hook",))
    assert claim(db, NOW) is None
    at = NOW + timedelta(hours=1)
    assert sent(db, claim(db, at), at) == [("a", True)]


def test_resolved_is_withheld_where_firing_never_arrived_and_follows_when_that_is_sent_again() -> None:
    db = database()
    put(db, "a", 1, firing=True, now=NOW, channels=("hook",))
    put(db, "a", 1, firing=False, now=NOW, channels=("hook",))
    message = claim(db, NOW)
    assert message is not None
    settle(db, message, "dead", "refused", now=NOW, again_at=None)
    assert claim(db, NOW) is None
    dead = find_delivery(db, "default", message.rows[0].id)
    assert dead is not None
    assert len(resend(db, dead, NOW)) == 2
    assert sent(db, claim(db, NOW), NOW) == [("a", True)]
    assert sent(db, claim(db, NOW), NOW) == [("a", False)]


def regression_fires(connection: Connection) -> None:
    """A regression of the target `assistant` is firing."""
    told = notice(fingerprint="regression")
    row = AlertRow(
        id="al_1",
        project="default",
        rule_id="guard",
        rule_name="guard",
        fingerprint="regression",
        episode=1,
        kind="regression",
        severity="critical",
        state="firing",
        target="assistant",
        labels=told.labels,
        notice=told.model_dump(mode="json"),
        evidence=[],
        reason="",
        revision="r",
        fired_at=NOW,
        resolved_at=None,
        notified_at=NOW,
        rollback="",
        rollback_id=None,
        rollback_detail=None,
    )
    insert_alert(connection, row)


@pytest.mark.parametrize(("kind", "held"), [("threshold", True), ("rollback", False)])
def test_a_regression_holds_back_warnings_of_its_target_but_not_what_became_of_its_rollback(kind: str, held: bool) -> None:
    db = database()
    regression_fires(db)
    put(db, "warning", 1, firing=True, now=NOW, channels=("hook",), labels={"severity": "warning", "kind": kind})
    assert (claim(db, NOW) is None) == held


def test_old_news_is_not_sent_again_after_newer() -> None:
    db = database()
    put(db, "a", 1, firing=True, now=NOW, channels=("hook",))
    message = claim(db, NOW)
    assert message is not None
    settle(db, message, "dead", "refused", now=NOW, again_at=None)
    put(db, "a", 2, firing=True, now=NOW, channels=("hook",))
    sent(db, claim(db, NOW), NOW)
    dead = find_delivery(db, "default", message.rows[0].id)
    assert dead is not None
    with pytest.raises(NotResendableError, match="newer news"):
        resend(db, dead, NOW)


def test_the_retry_schedule() -> None:
    error = RetryableError("500")
    delays = [judge(attempt, error, NOW, NOW).again_at for attempt in range(1, 10)]
    assert delays == [NOW + delay for delay in RETRY_DELAYS]
    assert [delay.total_seconds() for delay in RETRY_DELAYS] == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert judge(10, error, NOW, NOW).state == "dead"


def test_a_receiver_that_asks_to_wait_is_not_a_failure_until_it_asks_for_days() -> None:
    error = RetryableError("429", timedelta(seconds=17))
    outcome = judge(30, error, NOW, NOW + timedelta(hours=1))
    assert outcome.again_at == outcome.hold_channel_until == NOW + timedelta(hours=1, seconds=17)
    assert judge(30, error, NOW, NOW + GIVE_UP).state == "dead"


def test_permanent_errors_die_at_once_and_410_disables() -> None:
    refused, gone = judge(1, PermanentError("400"), NOW, NOW), judge(1, EndpointGoneError("410"), NOW, NOW)
    assert (refused.state, refused.disable_channel) == ("dead", False)
    assert (gone.state, gone.disable_channel) == ("dead", True)


def test_a_disabled_channel_waits_and_a_new_address_enables_it() -> None:
    db = database()
    put(db, "a", 1, firing=True, now=NOW, channels=("hook",))
    change_channel(db, "hook", {"disabled_at": NOW, "disabled_reason": "410"})
    assert claim(db, NOW) is None
    sync_channels(db, {"hook": ("webhook", "other address"), "slack": ("webhook", "slack")})
    assert sent(db, claim(db, NOW), NOW) == [("a", True)]
