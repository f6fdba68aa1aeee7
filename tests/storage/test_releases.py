"""Which releases a target's traffic carries, on chDB."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from storage.clickhouse import ClickHouseStore
from storage.releases import StoredReleaseShare
from tests.ingest.spans import ingest_spans, make_span

SINCE = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)


def span(seconds: float, target: str = "chat", release: str = "", **more: Any) -> ResourceSpans:
    """A span that starts this many seconds after `SINCE`."""
    named = {"tracewarden.target": target, "tracewarden.release": release}
    attributes = {name: value for name, value in named.items() if value}
    return make_span(start=SINCE + timedelta(seconds=seconds), attributes=attributes, **more)


async def share(store: ClickHouseStore, project: str = "shop", target: str = "chat") -> dict[str, int]:
    return await StoredReleaseShare(store)(project, target, SINCE)


async def test_spans_count_by_the_release_they_carry(store: ClickHouseStore) -> None:
    await ingest_spans(store, "shop", [span(1, release="v1"), span(2, release="v1"), span(3, release="v2"), span(4)])
    assert await share(store) == {"v1": 2, "v2": 1, "": 1}


async def test_children_inherit_what_their_trace_names(store: ClickHouseStore) -> None:
    trace = os.urandom(16)
    children = [span(2 + number, target="", trace_id=trace) for number in range(3)]
    await ingest_spans(store, "shop", [span(1, release="v1", trace_id=trace), *children])
    assert await share(store) == {"v1": 4}


async def test_requests_that_were_under_way_do_not_count(store: ClickHouseStore) -> None:
    trace = os.urandom(16)
    await ingest_spans(store, "shop", [span(-20, release="v2", trace_id=trace), span(1, release="v2", trace_id=trace)])
    await ingest_spans(store, "shop", [span(-1, release="v2"), span(0, release="v1")])
    assert await share(store) == {"v1": 1}


async def test_other_targets_and_projects_do_not_count(store: ClickHouseStore) -> None:
    trace = os.urandom(16)
    both = [span(1, release="v1", trace_id=trace), span(2, target="search", release="v7", trace_id=trace)]
    await ingest_spans(store, "shop", [*both, span(1, target="search", release="v7")])
    await ingest_spans(store, "desk", [span(1, release="v2")])
    assert await share(store) == {"v1": 1}
    assert await share(store, target="search") == {"v7": 2}
    assert await share(store, project="nowhere") == {}


async def test_a_span_sent_twice_counts_once(store: ClickHouseStore) -> None:
    again = span(1, release="v1")
    await ingest_spans(store, "shop", [again])
    await ingest_spans(store, "shop", [again])
    assert await share(store) == {"v1": 1}


async def test_names_are_values_and_never_sql(store: ClickHouseStore) -> None:
    await ingest_spans(store, "shop", [span(1, release="v1")])
    assert await share(store, target="chat' OR 1 = 1 --") == {}
    assert await share(store, project="shop' OR '1' = '1") == {}
