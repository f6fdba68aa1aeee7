"""Requests that do not wait for each other."""

from __future__ import annotations

import asyncio
import random

import pytest

from demo.arrivals import arrivals


async def test_the_next_comes_while_the_first_is_being_served() -> None:
    begun = 0
    together = asyncio.Event()

    async def serve() -> None:
        nonlocal begun
        begun += 1
        if begun == 3:
            together.set()
        await asyncio.Event().wait()

    work = asyncio.create_task(arrivals(500, random.Random(1), serve))
    await together.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_what_fails_is_not_swallowed() -> None:
    async def serve() -> None:
        raise ValueError("no such question")

    with pytest.raises(ExceptionGroup):
        await arrivals(500, random.Random(1), serve)
