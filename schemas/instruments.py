"""Every Prometheus metric of Tracewarden itself, declared once: its name, its help, its labels.

One `Instruments` is made where a process is put together and passed down to whatever counts. Label values are few and
fixed (a reason, a channel, a route), never ids, users or text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

INSERT_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
QUERY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Declaration:
    """What a metric is called on `/metrics`, and what it means."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]


class Instruments:
    """The metrics of one process on one registry; `declarations` lists them for the documentation."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.declarations: list[Declaration] = []
        self._declare_ingest()
        self._declare_log()
        self._declare_analysis()
        self._declare_reaction()
        self.query_seconds = self._histogram(
            "tracewarden_query_seconds", "Seconds to answer a request of the query API.", QUERY_BUCKETS_S, "route", "status"
        )

    def _declare_ingest(self) -> None:
        self.requests_accepted = self._counter(
            "tracewarden_requests_accepted_total", "Ingest requests acknowledged after they became durable.", "transport"
        )
        self.spans_accepted = self._counter(
            "tracewarden_spans_accepted_total", "Spans acknowledged after they became durable.", "transport"
        )
        self.requests_rejected = self._counter(
            "tracewarden_requests_rejected_total", "Ingest requests refused as a whole.", "transport", "reason"
        )
        self.spans_rejected = self._counter(
            "tracewarden_spans_rejected_total", "Spans refused out of requests that were otherwise accepted.", "reason"
        )
        self.bytes_in_flight = self._gauge(
            "tracewarden_bytes_in_flight", "Bytes received and not yet acknowledged; the cap is ingest.max_in_flight_bytes."
        )

    def _declare_analysis(self) -> None:
        self.analyzer_spans = self._counter(
            "tracewarden_analyzer_spans_total",
            "Spans that an analyzer looked at, left out of its sample, or gave up after repeated errors.",
            "analyzer",
            "outcome",
        )
        self.analyzer_behind = self._gauge(
            "tracewarden_analyzer_behind_records", "Records of the log that an analyzer has not read yet.", "analyzer"
        )
        self.analyzer_seconds = self._histogram(
            "tracewarden_analyzer_seconds", "Seconds of an analyzer for one stretch of the log.", INSERT_BUCKETS_S, "analyzer"
        )
        self.analyzer_failures = self._counter(
            "tracewarden_analyzer_failures_total",
            "Stretches of the log that an analyzer failed at; each is tried again.",
            "analyzer",
        )
        self.drift_looked_until = self._gauge(
            "tracewarden_drift_looked_until_timestamp_seconds",
            "Unix time up to which all looks at drift are written; of the process that looks.",
            "scale",
        )

    def _declare_log(self) -> None:
        self.spans_written = self._counter("tracewarden_spans_written_total", "Spans inserted into the trace store.")
        self.insert_seconds = self._histogram(
            "tracewarden_insert_seconds", "Seconds for one insert into the trace store.", INSERT_BUCKETS_S
        )
        self.insert_failures = self._counter(
            "tracewarden_insert_failures_total", "Inserts into the trace store that failed and were tried again or bisected."
        )
        self.dead_letters = self._counter("tracewarden_dead_letters_total", "Records put on the dead-letter topic or folder.")
        self.log_lag = self._gauge(
            "tracewarden_log_lag_records", "Records of the trace log that the writer has not stored yet.", "partition"
        )
        self.oldest_unwritten_seconds = self._gauge(
            "tracewarden_oldest_unwritten_seconds", "Age of the oldest record that is received and not stored; 0 when none."
        )

    def _declare_reaction(self) -> None:
        self.rule_evaluations = self._counter(
            "tracewarden_rule_evaluations_total", "Evaluations of alert rules.", "kind", "outcome"
        )
        self.deliveries = self._counter(
            "tracewarden_deliveries_total", "Attempts to deliver a notification.", "channel", "outcome"
        )
        self.rollbacks = self._counter(
            "tracewarden_rollbacks_total", "Rollbacks that reached an end, and those that were refused.", "outcome"
        )

    def _declared(self, name: str, kind: Literal["counter", "gauge", "histogram"], text: str, labels: tuple[str, ...]) -> None:
        self.declarations.append(Declaration(name, kind, text, labels))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self._declared(name, "counter", text, labels)
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self._declared(name, "gauge", text, labels)
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets_s: tuple[float, ...], *labels: str) -> Histogram:
        self._declared(name, "histogram", text, labels)
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets_s)
