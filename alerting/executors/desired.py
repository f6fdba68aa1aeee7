"""Gateways that poll `GET /v1/desired/{target}`: the new generation is the order."""

from __future__ import annotations

from alerting.executors.contract import Order


class DesiredExecutor:
    """Nothing is left to do: the generation was made in the transaction that began the execution."""

    async def execute(self, order: Order) -> None:
        """Return at once."""
