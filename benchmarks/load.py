"""Sending prepared OTLP requests over HTTP with as little CPU as Python needs, and timing each acknowledgement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

HEAD = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n"


@dataclass
class Load:
    """What a run saw: seconds in all, and the seconds of each acknowledgement."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0

    def percentile_ms(self, share: float) -> float:
        """A quantile of the acknowledgement latency."""
        return float(np.quantile(self.latencies_s, share)) * 1000


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
    writer.write(HEAD.format(len(body)).encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split(b" ", 2)[1])


async def send_all(port: int, bodies: Sequence[bytes], connections: int) -> Load:
    """Send everything as fast as it is acknowledged, each request until it is."""
    load, left = Load(), list(reversed(bodies))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left:
            body, sent = left.pop(), time.perf_counter()
            while await _post(reader, writer, body) != 200:
                load.refused += 1
                await asyncio.sleep(0.1)
            load.latencies_s.append(time.perf_counter() - sent)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


async def send_steadily(port: int, bodies: Sequence[bytes], every_s: float, connections: int = 16) -> Load:
    """Send one request every `every_s` seconds, whatever the answers take; latency counts from the due time."""
    load, queue = Load(), asyncio.Queue[tuple[float, bytes] | None]()

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (item := await queue.get()) is not None:
            due, body = item
            load.refused += await _post(reader, writer, body) != 200
            load.latencies_s.append(time.perf_counter() - due)
        writer.close()

    workers = [asyncio.create_task(work()) for _ in range(connections)]
    began = time.perf_counter()
    for number, body in enumerate(bodies):
        due = began + number * every_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        queue.put_nowait((due, body))
    for _ in workers:
        queue.put_nowait(None)
    await asyncio.gather(*workers)
    load.seconds = time.perf_counter() - began
    return load
