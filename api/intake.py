"""How traces get in: the trace log, its writer and the two OTLP listeners, as the settings and roles ask for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from analyzers.cost.pricing import Pricing
from api.base import Base, open_store
from api.lifecycle import Closing, Component, Runner
from api.listeners import Addresses, HttpListener, ReservedPort, place
from api.services import IngestStatus
from ingest.admission import Admission
from ingest.authentication import Authenticator
from ingest.embedded_log import EmbeddedTraceLog
from ingest.grpc import OtlpGrpcReceiver
from ingest.http import OtlpHttpReceiver
from ingest.kafka_log import KafkaTraceLog
from ingest.kafka_writer import KafkaWriter
from ingest.receiver import Receiver
from ingest.trace_log import TraceLog
from schemas.instruments import Instruments
from schemas.sections import KafkaSettings
from storage.analysis import EMBEDDED_TOPIC, furthest_offset
from storage.key_cache import KeyCache
from storage.progress import read_progress, read_watermark

WRITE_THREADS = 2
STALLED_S = 60.0

Watermark = Callable[[], Awaitable[datetime | None]]
Committed = Callable[[], Awaitable[Mapping[int, int]]]
Analyzed = Callable[[str], Awaitable[datetime | None]]


@dataclass(frozen=True)
class Intake:
    """The parts of the way in. `status` is None where this process receives nothing; `blocked` says why nothing is stored."""

    workers: list[Component]
    listeners: list[Component]
    watermark: Watermark
    committed: Committed
    status: Callable[[], IngestStatus] | None
    blocked: Callable[[], str | None]


def assemble_intake(base: Base, addresses: Addresses) -> Intake:
    """What of the way in belongs to the roles of this process."""
    kafka = base.settings.kafka
    return _embedded(base, addresses) if kafka is None else _on_kafka(base, addresses, kafka)


def _embedded(base: Base, addresses: Addresses) -> Intake:
    # Threads of its own: however many queries run, an insert does not wait for them.
    store = open_store(base.settings, WRITE_THREADS)

    async def read_up_to() -> int:
        return await base.control.read(lambda connection: furthest_offset(connection, EMBEDDED_TOPIC))

    log = EmbeddedTraceLog(store, base.settings.ingest, base.instruments, base.clock, read_up_to)
    _report_oldest(base, log.oldest_unwritten)
    listeners, status = _receiving(base, addresses, log)
    pricing = Pricing(base.store, base.settings.cost, base.clock)
    workers: list[Component] = [Closing(store.close), pricing, log]
    return Intake(workers, listeners, log.watermark, log.committed, status, lambda: stalled(base.instruments))


def _on_kafka(base: Base, addresses: Addresses, kafka: KafkaSettings) -> Intake:
    workers: list[Component] = []
    listeners: list[Component] = []
    status, blocked = None, _never
    if "write" in base.roles:
        store = open_store(base.settings, WRITE_THREADS)
        writer = KafkaWriter(kafka, base.settings.ingest, store, base.control, base.instruments, base.clock)
        pricing = Pricing(base.store, base.settings.cost, base.clock)
        workers += [Closing(store.close), pricing, Runner("writer", writer.run, writer.prepare)]
        blocked = _halted(writer)
        _report_oldest(base, writer.oldest_unwritten)
    if "ingest" in base.roles:
        log = KafkaTraceLog(kafka)
        workers.append(log)
        listeners, status = _receiving(base, addresses, log)

    async def committed() -> Mapping[int, int]:
        found = await base.control.read(lambda connection: read_progress(connection, kafka.topic))
        return {partition: at.offset for partition, at in found.items()}

    return Intake(workers, listeners, lambda: read_watermark(base.control, kafka.topic), committed, status, blocked)


def _report_oldest(base: Base, oldest_unwritten: Callable[[], datetime | None]) -> None:
    def oldest_s() -> float:
        oldest = oldest_unwritten()
        return 0.0 if oldest is None else max(0.0, (base.clock() - oldest).total_seconds())

    base.instruments.oldest_unwritten_seconds.set_function(oldest_s)


def stalled(instruments: Instruments) -> str | None:
    """Why the embedded log is blocked, or None. (Records in Kafka may be old because the writer was away: it catches up.)"""
    oldest_s = instruments.registry.get_sample_value("tracewarden_oldest_unwritten_seconds") or 0.0
    if oldest_s < STALLED_S:
        return None
    return f"the oldest record waits for {oldest_s:.0f} s to be stored: look for insert_failed in the log"


def _halted(writer: KafkaWriter) -> Callable[[], str | None]:
    return lambda: writer.halted


def _never() -> str | None:
    return None


def _receiving(base: Base, addresses: Addresses, log: TraceLog) -> tuple[list[Component], Callable[[], IngestStatus]]:
    """The OTLP listeners in front of a log, and what they report."""
    admission = Admission(base.settings.ingest.max_in_flight_bytes, base.instruments)
    receiver = Receiver(log, base.instruments)
    authenticator = Authenticator(KeyCache(base.control, base.pepper, base.clock), required=lambda: base.settings.keys_required)
    settings, instruments = base.settings.ingest, base.instruments
    assert addresses.otlp_http is not None
    assert addresses.otlp_grpc is not None
    http = OtlpHttpReceiver(receiver, authenticator, admission, settings, instruments)
    grpc = OtlpGrpcReceiver(receiver, authenticator, admission, settings, instruments, place(addresses.otlp_grpc))
    listeners: list[Component] = [
        HttpListener("otlp-http", http, addresses.otlp_http),
        ReservedPort(grpc, addresses.otlp_grpc, "--otlp-grpc-port"),
    ]
    return listeners, lambda: _status(base, receiver, admission)


def _status(base: Base, receiver: Receiver, admission: Admission) -> IngestStatus:
    read = base.instruments.registry.get_sample_value
    written = read("tracewarden_spans_written_total") or 0.0
    oldest_s = read("tracewarden_oldest_unwritten_seconds") if "write" in base.roles else None
    return IngestStatus(receiver.accepted_spans, int(written), receiver.rejected_spans, admission.bytes, oldest_s or None)
