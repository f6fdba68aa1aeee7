"""What every receiver does with a decoded request: validate, wrap, append, count."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.envelope import Envelope
from ingest.otlp import Validation, split, validate
from ingest.trace_log import TraceLog
from schemas.instruments import Instruments


class Receiver:
    """The one way from a decoded request into the trace log."""

    def __init__(self, log: TraceLog, instruments: Instruments, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._log = log
        self._instruments = instruments
        self._clock_ns = clock_ns
        self.accepted_spans = 0
        self.rejected_spans = 0

    async def receive(self, project: str, request: ExportTraceServiceRequest, transport: str) -> Validation:
        """Store the request; returns once it is durable.

        Raises:
            TraceLogError, RefusedRecordError: nothing is acknowledged.
        """
        now_ns = self._clock_ns()
        validation = validate(request, now_ns)
        if validation.accepted:
            await self._log.append([Envelope(project, now_ns, count, part) for count, part in split(validation)])
        self._count(validation, transport)
        return validation

    def refuse(self, items: int) -> None:
        """Count items that were refused before they became spans."""
        self.rejected_spans += items
        self._instruments.spans_rejected.labels("INVALID_ITEM").inc(items)

    def _count(self, validation: Validation, transport: str) -> None:
        rejected = validation.rejected.total()
        self.accepted_spans += validation.accepted
        self.rejected_spans += rejected
        self._instruments.requests_accepted.labels(transport).inc()
        self._instruments.spans_accepted.labels(transport).inc(validation.accepted)
        for reason, count in validation.rejected.items():
            self._instruments.spans_rejected.labels(reason.name).inc(count)
