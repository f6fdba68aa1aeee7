"""Requests of people who know nothing of each other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

MOST_AT_ONCE = 200


async def arrivals(rate: float, rng: random.Random, serve: Callable[[], Awaitable[None]]) -> None:
    """Call `serve` at exponential distances, `rate` times a second on average, without waiting for it; never returns.

    `serve` is called when its turn comes, so what it draws before its first `await` is drawn in that order.
    """
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    loop = asyncio.get_running_loop()
    due = loop.time()

    async def one() -> None:
        async with gate:
            await serve()

    async with asyncio.TaskGroup() as group:
        while True:
            due += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(one())
