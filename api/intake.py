"""How traces get in: the trace log, its writer and the two OTLP listeners, as the settings and roles ask for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from analyzers.cost.pricing import Pricing
from api.base import Base, StartError, open_store
from api.lifecycle import Closing, Component
from api.listeners import Addresses, HttpListener, ReservedPort, place
from api.services import IngestStatus
from ingest.admission import Admission
from ingest.authentication import Authenticator
from ingest.embedded_log import EmbeddedTraceLog
from ingest.grpc import OtlpGrpcReceiver
from ingest.http import OtlpHttpReceiver
from ingest.receiver import Receiver
from storage.key_cache import KeyCache

WRITE_THREADS = 2

Watermark = Callable[[], Awaitable[datetime | None]]


@dataclass(frozen=True)
class Intake:
    """The parts of the way in; `status` is None where this process receives nothing."""

    workers: list[Component]
    listeners: list[Component]
    watermark: Watermark
    status: Callable[[], IngestStatus] | None


def assemble_intake(base: Base, addresses: Addresses) -> Intake:
    """The embedded log with its receivers."""
    if base.settings.kafka is not None:
        raise StartError("the trace log on Kafka cannot be used yet: take kafka out of the settings")
    # Threads of its own: however many queries run, an insert does not wait for them.
    store = open_store(base.settings, WRITE_THREADS)
    log = EmbeddedTraceLog(store, base.settings.ingest, base.instruments, base.clock)

    def oldest_s() -> float | None:
        oldest = log.oldest_unwritten()
        return None if oldest is None else max(0.0, (base.clock() - oldest).total_seconds())

    base.instruments.oldest_unwritten_seconds.set_function(lambda: oldest_s() or 0.0)
    admission = Admission(base.settings.ingest.max_in_flight_bytes, base.instruments)
    receiver = Receiver(log, base.instruments)
    listeners = _listeners(base, addresses, receiver, admission)
    pricing = Pricing(base.store, base.settings.cost, base.clock)
    return Intake(
        [Closing(store.close), pricing, log], listeners, log.watermark, lambda: _status(base, receiver, admission, oldest_s())
    )


def _listeners(base: Base, addresses: Addresses, receiver: Receiver, admission: Admission) -> list[Component]:
    keys = KeyCache(base.control, base.pepper, base.clock)
    authenticator = Authenticator(keys, required=lambda: base.settings.keys_required)
    settings, instruments = base.settings.ingest, base.instruments
    assert addresses.otlp_http is not None
    assert addresses.otlp_grpc is not None
    http = OtlpHttpReceiver(receiver, authenticator, admission, settings, instruments)
    grpc = OtlpGrpcReceiver(receiver, authenticator, admission, settings, instruments, place(addresses.otlp_grpc))
    return [
        HttpListener("otlp-http", http, addresses.otlp_http),
        ReservedPort(grpc, addresses.otlp_grpc, "--otlp-grpc-port"),
    ]


def _status(base: Base, receiver: Receiver, admission: Admission, oldest_s: float | None) -> IngestStatus:
    written = base.instruments.registry.get_sample_value("tracewarden_spans_written_total")
    return IngestStatus(receiver.accepted_spans, int(written or 0), receiver.rejected_spans, admission.bytes, oldest_s)
