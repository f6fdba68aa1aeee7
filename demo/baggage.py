"""Names the release on every span of a request; copy this file into your application (docs/instrument.md).

Needs opentelemetry-sdk only. Whatever instruments the calls below (OpenAI, LangChain, HTTP …) need not know of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import baggage, context
from opentelemetry.sdk.trace import Span, SpanProcessor

TARGET = "tracewarden.target"
RELEASE = "tracewarden.release"


@contextmanager
def serving(target: str, release: str) -> Iterator[None]:
    """Spans started within the block carry this target and release; blocks of concurrent requests do not mix."""
    inner = baggage.set_baggage(RELEASE, release, baggage.set_baggage(TARGET, target))
    token = context.attach(inner)
    try:
        yield
    finally:
        context.detach(token)


class ReleaseSpanProcessor(SpanProcessor):
    """Copies target and release from the baggage to each span as it starts. Add it before the exporting processor."""

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        for key in (TARGET, RELEASE):
            value = baggage.get_baggage(key, parent_context)
            if isinstance(value, str):
                span.set_attribute(key, value)
