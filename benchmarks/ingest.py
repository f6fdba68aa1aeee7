"""The way in: throughput against a bare insert, acknowledgement latency, visibility, and bytes on disk."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.load import send_all, send_steadily
from benchmarks.server import Server
from benchmarks.spans import SpanSource
from ingest.envelope import Envelope
from ingest.writer import insert_records
from storage.clickhouse import ClickHouseStore
from storage.migrations import migrate_store

SPANS_PER_REQUEST = 100
STEADY_SPANS_PER_S = 2_000
STEADY_SHARE = STEADY_SPANS_PER_S / 15_000
"""The same load as a share of the bare insert of the machine that the goals were set on, for machines of another speed."""
BARE_BATCH = 80
"""Requests of one bare insert: 8,000 spans."""
WARM_UP = 300
"""Requests before the clock starts."""
BROKER_WARM_UP = 2_000
"""The same with a broker, which compiles itself while it meets its first hundred thousand spans: 6 % of both cores."""

Result = dict[str, Any]


def prepare(requests: int, seed: int, **kind: Any) -> list[bytes]:
    """Requests made before the clock starts."""
    source = SpanSource(seed, **kind)
    return [source.request(SPANS_PER_REQUEST) for _ in range(requests)]


def bare_insert(folder: Path, requests: int) -> Result:
    """The same bytes through the same view with nothing around it, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", str(folder / "bare"), str(requests)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    found: Result = json.loads(done.stdout)
    return found


async def _bare(folder: Path, requests: int) -> Result:
    bodies = prepare(requests, seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    store = ClickHouseStore(f"chdb://{folder.resolve() / 'chdb'}", threads=1)
    await migrate_store(store)
    batches = [bodies[start : start + BARE_BATCH] for start in range(0, len(bodies), BARE_BATCH)]
    seconds = []
    for number, batch in enumerate(batches):
        records = [
            (0, number * BARE_BATCH + index, Envelope("default", time.time_ns(), SPANS_PER_REQUEST, body))
            for index, body in enumerate(batch)
        ]
        began = time.perf_counter()
        await insert_records(store, records, token=f"bare-{number}")
        seconds.append(time.perf_counter() - began)
    await store.close()
    used = os.times()
    spans = len(bodies) * SPANS_PER_REQUEST
    return {
        "spans_per_s": spans / sum(seconds),
        "bytes_per_span": sum(map(len, bodies)) / spans,
        "cpu_s": used.user + used.system,
    }


def throughput(folder: Path, requests: int, settings: Result, connections: int = 128, warm_up: int = WARM_UP) -> Result:
    """Spans acknowledged and queryable a second, the load generator on the same cores."""
    bodies = prepare(requests, seed=2)
    with Server(folder, settings) as server:
        _warm_up(server, connections, warm_up)
        before, cpu = server.get("/v1/status")["written"], server.cpu_s()
        began = time.perf_counter()
        load = asyncio.run(send_all(server.otlp_port, bodies, connections))
        spans = requests * SPANS_PER_REQUEST
        _until(lambda: server.get("/v1/status")["written"] - before >= spans, "everything is written")
        seconds = time.perf_counter() - began
        return {
            "spans_per_s": spans / seconds,
            "ack_p50_ms": load.percentile_ms(0.5),
            "ack_p99_ms": load.percentile_ms(0.99),
            "refused": load.refused,
            "server_cpu_us_per_span": (server.cpu_s() - cpu) / spans * 1e6,
        }


def _warm_up(server: Server, connections: int, requests: int) -> None:
    asyncio.run(send_all(server.otlp_port, prepare(requests, seed=3), connections))
    _until(lambda: server.get("/v1/status")["written"] >= requests * SPANS_PER_REQUEST, "everything is written")


def steady(folder: Path, seconds: float, settings: Result, spans_per_s: float = STEADY_SPANS_PER_S) -> Result:
    """Latency at a steady load; then how long until a span can be queried, asked for up to a hundred times a second."""
    every_s = SPANS_PER_REQUEST / spans_per_s
    bodies, others = (prepare(round(seconds / every_s), seed=seed) for seed in (4, 7))
    with Server(folder, settings) as server:
        # Models are loaded when they meet their first text, which takes seconds once.
        asyncio.run(send_all(server.otlp_port, prepare(1, seed=5), 1))
        _until(lambda: _all_is_analyzed(server), "all is analyzed", patience_s=300, every_s=1)
        load = asyncio.run(send_steadily(server.otlp_port, bodies, every_s))
        visible = asyncio.run(_visible(server, others, every_s))
    return {
        "spans_per_s": spans_per_s,
        "ack_p50_ms": load.percentile_ms(0.5),
        "ack_p99_ms": load.percentile_ms(0.99),
        "visible_p50_ms": float(np.quantile(visible, 0.5)) * 1000,
        "visible_p99_ms": float(np.quantile(visible, 0.99)) * 1000,
    }


def _all_is_analyzed(server: Server) -> bool:
    return all(each["behind"] == 0 for each in server.get("/v1/status")["analyzers"])


async def _visible(server: Server, bodies: Sequence[bytes], every_s: float) -> list[float]:
    seen: list[float] = []
    sending = asyncio.create_task(send_steadily(server.otlp_port, bodies, every_s))
    while not sending.done():
        seen.append(await _time_to_visible(server))
        await asyncio.sleep(0.2)
    await sending
    return seen


async def _time_to_visible(server: Server) -> float:
    """Seconds from sending one span until the API answers with its trace."""
    body = SpanSource(time.time_ns()).request(1)
    trace = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    began = time.perf_counter()
    sent = asyncio.create_task(send_all(server.otlp_port, [body], 1))
    while not await asyncio.to_thread(_is_visible, server, trace):
        await asyncio.sleep(0.01)
    await sent
    return time.perf_counter() - began


def _is_visible(server: Server, trace: str) -> bool:
    try:
        server.get(f"/v1/traces/{trace}")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


def disk(folder: Path, requests: int) -> Result:
    """Bytes on disk after merging, of spans of today and of two days ago, as a share of the OTLP bytes."""
    found: Result = {}
    for name, kind in {
        "unique text": {},
        "unique text in two dialects": {"dialects": 2},
        "system prompts before new questions": {"text": "system_prompts"},
        "repeated prompts": {"text": "repeated_prompts"},
    }.items():
        command = [
            sys.executable,
            "-m",
            "benchmarks.ingest",
            str(folder / name.replace(" ", "-")),
            str(requests),
            json.dumps(kind),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        found[name] = json.loads(done.stdout)
    return found


async def _disk(folder: Path, requests: int, kind: Result) -> Result:
    bodies = prepare(requests, seed=6, **kind)
    folder.mkdir(parents=True, exist_ok=True)
    store = ClickHouseStore(f"chdb://{folder.resolve() / 'chdb'}", threads=1)
    await migrate_store(store)
    today = time.time_ns()
    for day, received_at in enumerate((today, today - 2 * 86_400 * 10**9)):
        records = [(day, n, Envelope("default", received_at, SPANS_PER_REQUEST, body)) for n, body in enumerate(bodies)]
        for start in range(0, len(records), BARE_BATCH):
            await insert_records(store, records[start : start + BARE_BATCH], token=f"disk-{day}-{start}")
    await store.command("OPTIMIZE TABLE spans FINAL")
    rows = await store.query(
        "SELECT sum(bytes_on_disk) AS bytes FROM system.parts "
        "WHERE database = currentDatabase() AND table = 'spans' AND active GROUP BY partition ORDER BY partition DESC"
    )
    await store.close()
    sent, spans = sum(map(len, bodies)), requests * SPANS_PER_REQUEST
    fresh, cold = (row["bytes"] for row in rows)
    return {
        "share": fresh / sent,
        "share_after_a_day": cold / sent,
        "bytes_per_span_after_a_day": cold / spans,
        "otlp_bytes_per_span": sent / spans,
    }


def _until(check: Callable[[], bool], what: str, patience_s: float = 60.0, every_s: float = 0.02) -> None:
    end = time.monotonic() + patience_s
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"after {patience_s:.0f} s still not: {what}")
        time.sleep(every_s)


if __name__ == "__main__":
    # A process can host one embedded store: each measurement that opens one itself has a process of its own.
    place, count = Path(sys.argv[1]), int(sys.argv[2])
    measured = asyncio.run(_disk(place, count, json.loads(sys.argv[3])) if len(sys.argv) > 3 else _bare(place, count))
    print(json.dumps(measured))
