"""What is done about a finding: rules, notifications, rollbacks, as the roles ask for them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from alerting.desired import DesiredFeed
from alerting.dispatch import Dispatcher
from alerting.engine import AlertEngine
from alerting.executors import build_executors
from alerting.http import GuardedClient
from alerting.notifiers import build_endpoints
from alerting.outbox import announce_rollback
from alerting.recovery import MetricRecovery
from alerting.rollback import RollbackController
from alerting.rollback_steps import Announcement
from alerting.targets import TargetRegistry
from api.base import Base, StartError
from api.intake import Analyzed, Watermark
from api.lifecycle import Closing, Component, Loop, Runner
from schemas.instruments import Instruments
from schemas.rule_file import RuleFileError
from storage.releases import StoredReleaseShare

ROLLBACK_EVERY_S = 1.0


@dataclass(frozen=True)
class Reaction:
    """The parts that react; those that evaluate, send and advance only in the role `alert`."""

    rollbacks: RollbackController
    workers: list[Component]


def assemble_reaction(base: Base, watermark: Watermark, analyzed: Analyzed) -> Reaction:
    """Everything between a metric and a message or a rollback.

    Raises:
        StartError: a channel's or webhook's secret cannot be used.
    """
    outgoing = base.settings.outgoing
    client = GuardedClient(outgoing.allowed_networks, outgoing.timeout_s)
    try:
        rollbacks = _rollbacks(base, client, watermark, analyzed)
        working = _workers(base, client, watermark, analyzed, rollbacks) if "alert" in base.roles else []
    except ValueError as error:
        raise StartError(str(error)) from error
    return Reaction(rollbacks, [Closing(client.close), *working])


def _workers(
    base: Base, client: GuardedClient, watermark: Watermark, analyzed: Analyzed, rollbacks: RollbackController
) -> list[Component]:
    dispatcher, engine = _dispatcher(base, client), _engine(base, watermark, analyzed, rollbacks)
    return [
        Runner("outbox", dispatcher.run, dispatcher.prepare),
        Loop("rollbacks", ROLLBACK_EVERY_S, lambda: rollbacks.run_once(base.clock())),
        Runner("alerting", engine.run, lambda: _load_rules(engine)),
    ]


def _engine(base: Base, watermark: Watermark, analyzed: Analyzed, rollbacks: RollbackController) -> AlertEngine:
    evaluations = base.instruments.rule_evaluations
    return AlertEngine(
        base.store,
        base.control,
        base.settings,
        watermark=watermark,
        analyzed=analyzed,
        clock=base.clock,
        rollbacks=rollbacks,
        counted=lambda kind, outcome: evaluations.labels(kind, outcome).inc(),
    )


async def _load_rules(engine: AlertEngine) -> None:
    try:
        await engine.prepare()
    except RuleFileError as error:
        raise StartError(str(error)) from error


def _rollbacks(base: Base, client: GuardedClient, watermark: Watermark, analyzed: Analyzed) -> RollbackController:
    webhooks = base.settings.rollback.webhooks
    names = frozenset(webhook.name for webhook in webhooks)
    targets = TargetRegistry(base.control, base.clock, DesiredFeed(base.control), names)
    return RollbackController(
        base.control,
        targets,
        base.settings.rollback,
        base.clock,
        executors=build_executors(webhooks, client, base.clock),
        release_share=StoredReleaseShare(base.store),
        recovery=MetricRecovery(base.store, watermark, analyzed),
        announce=_Announcer(base.instruments),
    )


def _dispatcher(base: Base, client: GuardedClient) -> Dispatcher:
    alerting = base.settings.alerting
    endpoints = build_endpoints(alerting.channels, client, alerting.public_url)
    deliveries = base.instruments.deliveries
    return Dispatcher(base.control, endpoints, base.clock, lambda channel, outcome: deliveries.labels(channel, outcome).inc())


class _Announcer:
    """Puts each transition of a rollback into the outbox and counts the last ones.

    A transaction that the database made run again counts twice: the counter is for seeing that something happens, the
    table of rollbacks for knowing how often.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._rollbacks = instruments.rollbacks

    def __call__(self, connection: Connection, announcement: Announcement) -> None:
        announce_rollback(connection, announcement)
        if announcement.rollback.finished_at is not None:
            self._rollbacks.labels(announcement.rollback.state).inc()
