"""The release on every span of a request, and the page that shows how."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from demo import baggage
from demo.baggage import RELEASE, TARGET, ReleaseSpanProcessor, serving

PAGE = Path(__file__).parents[2] / "docs" / "instrument.md"


def recording() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(ReleaseSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def attributes(span: ReadableSpan) -> Mapping[str, object]:
    return dict(span.attributes or {})


def test_every_span_of_a_request_names_target_and_release() -> None:
    provider, exporter = recording()
    tracer = provider.get_tracer("test")
    with serving("assistant", "v2"), tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
        pass
    assert [attributes(span) for span in exporter.get_finished_spans()] == [{TARGET: "assistant", RELEASE: "v2"}] * 2


def test_nothing_is_named_outside_and_other_baggage_stays_where_it_is() -> None:
    provider, exporter = recording()
    tracer = provider.get_tracer("test")
    with serving("assistant", "v2"):
        pass
    with tracer.start_as_current_span("later"):
        pass
    assert attributes(exporter.get_finished_spans()[0]) == {}


async def test_concurrent_requests_do_not_mix() -> None:
    provider, exporter = recording()
    tracer = provider.get_tracer("test")

    async def request(release: str) -> None:
        with serving("assistant", release), tracer.start_as_current_span(release):
            await asyncio.sleep(0)
            with tracer.start_as_current_span(release):
                await asyncio.sleep(0)

    await asyncio.gather(*(request(f"v{number}") for number in range(10)))
    assert [attributes(span)[RELEASE] for span in exporter.get_finished_spans()] == [
        span.name for span in exporter.get_finished_spans()
    ]


def test_the_page_shows_the_code_as_it_is() -> None:
    code = Path(baggage.__file__).read_text()
    shared = code[code.index("@contextmanager") :]
    assert shared in PAGE.read_text()
