"""How a rollback reaches what serves the target. One executor is one file and one line in `build_executors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alerting.executors.contract import ExecutionError, Executor, Order, Poster
from alerting.executors.desired import DesiredExecutor
from alerting.executors.webhook import WebhookExecutor
from alerting.targets import Clock
from schemas.sections import WebhookChannel

__all__ = ["EXECUTORS", "ExecutionError", "Executor", "Order", "Poster", "build_executors"]

EXECUTORS: tuple[str, ...] = ("desired", "webhook")


def build_executors(webhooks: Sequence[WebhookChannel], client: Poster, clock: Clock) -> Mapping[str, Executor]:
    """Every executor by its name.

    Raises:
        ValueError: a signing secret cannot be read.
    """
    return {"desired": DesiredExecutor(), "webhook": WebhookExecutor(webhooks, client, clock)}
