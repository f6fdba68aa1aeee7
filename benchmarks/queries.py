"""Dashboard queries over HTTP on a large store: ten days of spans, made inside the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.server import Server
from storage.clickhouse import ClickHouseStore, embedded_url
from storage.migrations import migrate_store

DAYS = 10
BLOCK = 500_000
REPEATS = 20

# Rows that differ as real ones do: 8 services, 5 models, 4 releases, lognormal latency, tokens and cost, 1 % errors,
# four spans a trace of which two are generations; one preview each, and full texts only as long as the preview.
FILL = """
INSERT INTO spans (project, trace_id, span_id, parent_span_id, span_key, usage_key, log_offset, received_at, started_at, time,
    duration_ms, name, kind, status, is_error, service, operation, provider, model, request_model, target, release, user_id,
    response_id, input_tokens, input_uncached_tokens, output_tokens, cost_usd, price_version, input_messages, input_preview,
    output_messages, output_preview, attributes)
WITH intDiv(number, 4) AS trace, number % 4 AS place, place IN (2, 3) AS generation,
    toDateTime64({start:DateTime64(3, 'UTC')} + toIntervalMillisecond(trace * {gap_ms:Float64}), 3, 'UTC') AS at,
    concat('request ', toString(cityHash64(trace)), ' about order ', toString(trace % 977), ' and its refund') AS asked
SELECT 'default', unhex(concat(hex(sipHash64(trace)), hex(cityHash64(trace)))), unhex(hex(cityHash64(number, 7))),
    if(place = 0, toFixedString('', 8), unhex(hex(cityHash64(trace * 4, 7)))), cityHash64(number, 1),
    cityHash64(number, 1), number, at + toIntervalMillisecond(900), at, at, exp(6 + randNormal(0, 0.6)),
    ['request', 'retrieve', 'chat gpt-4o-mini', 'chat gpt-4o-mini'][place + 1], 'internal',
    if(rand(1) % 100 = 0, 'error', 'unset'), rand(1) % 100 = 0, concat('service-', toString(trace % 8)),
    ['', 'retrieval', 'chat', 'chat'][place + 1], if(generation, 'openai', ''),
    if(generation, concat('model-', toString(trace % 5)), ''), if(generation, concat('model-', toString(trace % 5)), ''),
    'support-assistant', concat('v', toString(intDiv(trace * 4, {total:UInt64} / 4))), concat('user-', toString(trace % 10007)),
    if(generation, toString(cityHash64(number)), ''), if(generation, toUInt64(exp(6.6 + randNormal(0, 0.3))), NULL),
    if(generation, toUInt64(exp(6.6 + randNormal(0, 0.3))), NULL),
    if(generation, toUInt64(exp(5.3 + randNormal(0, 0.5))), NULL),
    if(generation, toDecimal64(exp(-8 + randNormal(0, 0.5)), 12), NULL), 'benchmark', [('user', asked)], asked,
    [('assistant', asked)], asked, map('app.tenant', concat('tenant-', toString(trace % 50)))
FROM numbers({first:UInt64}, {count:UInt64})
"""


async def fill(data_dir: Path, spans: int) -> None:
    """Make `spans` spans that end now."""
    data_dir.mkdir(parents=True, exist_ok=True)
    store = ClickHouseStore(embedded_url(data_dir), threads=1)
    await migrate_store(store)
    start = datetime.now(UTC) - timedelta(days=DAYS)
    gap_ms = DAYS * 86_400_000 / (spans / 4)
    for first in range(0, spans, BLOCK):
        values = {"start": start, "gap_ms": gap_ms, "first": first, "count": min(BLOCK, spans - first), "total": spans}
        await store.command(FILL, values, {"max_partitions_per_insert_block": 100})
    await store.close()


def dashboard(folder: Path, spans: int, settings: dict[str, Any]) -> dict[str, Any]:
    """p50 and p95 in milliseconds of each query of a dashboard, over HTTP."""
    data_dir = folder / "data"
    subprocess.run([sys.executable, "-m", "benchmarks.queries", str(data_dir), str(spans)], check=True)
    with Server(folder, settings) as server:
        time.sleep(5)
        trace = server.get("/v1/spans?limit=1")["spans"][0]["trace_id"]
        now = datetime.now(UTC)
        return {name: _timed(server, path) for name, path in _paths(now, trace).items()}


def _paths(now: datetime, trace: str) -> dict[str, str]:
    def since(**ago: float) -> str:
        return f"from={(now - timedelta(**ago)).strftime('%Y-%m-%dT%H:%M:%SZ')}&to={now.strftime('%Y-%m-%dT%H:%M:%SZ')}"

    return {
        "count, 24 h by 5 minutes": f"/v1/metrics/spans.count?{since(hours=24)}&step=5m",
        "p95 latency by service, 24 h by 5 minutes": f"/v1/metrics/latency.p95?{since(hours=24)}&step=5m&group_by=service",
        "cost by model, 24 h by 5 minutes": f"/v1/metrics/cost.usd?{since(hours=24)}&step=5m&group_by=model",
        "error rate by release, 24 h by 5 minutes": f"/v1/metrics/errors.rate?{since(hours=24)}&step=5m&group_by=release",
        "cost, 10 days by the hour": f"/v1/metrics/cost.usd?{since(days=10)}&step=1h",
        "latest 50 spans": f"/v1/spans?{since(hours=24)}&limit=50",
        "latest 50 errors of a service": f"/v1/spans?{since(hours=24)}&limit=50&status=error&service=service-3",
        "a trace by id": f"/v1/traces/{trace}",
    }


def _timed(server: Server, path: str) -> dict[str, float]:
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        server.get(path)
        seconds.append(time.perf_counter() - began)
    return {"p50_ms": float(np.quantile(seconds, 0.5)) * 1000, "p95_ms": float(np.quantile(seconds, 0.95)) * 1000}


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), int(sys.argv[2])))
