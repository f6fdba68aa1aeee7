"""How the applications of the demo are instrumented: as the documentation of OpenTelemetry sets it up, and nothing else."""

from __future__ import annotations

import os

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, format_trace_id

from demo.baggage import ReleaseSpanProcessor

EXPORT_EVERY_MS = 200


def tracer_provider(otlp: str, service: str, version: str) -> TracerProvider:
    """A batching OTLP exporter; the release processor comes before it."""
    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": version}))
    provider.add_span_processor(ReleaseSpanProcessor())
    exporter = OTLPSpanExporter(endpoint=f"{otlp}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    return provider


def instrument_openai(provider: TracerProvider) -> None:
    """The published instrumentation, with today's conventions and with messages."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    OpenAIInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]  # the library has no types


def trace_id_of(span: Span) -> str:
    """As Tracewarden shows it."""
    return format_trace_id(span.get_span_context().trace_id)
