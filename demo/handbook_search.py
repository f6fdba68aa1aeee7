"""A retrieval assistant for the staff of the shop, as a process: finds sections of the handbook and has a model answer.

Instrumented with the OpenTelemetry SDK: a span around each request, one around the search by the conventions for
retrievals, and the chat span of the published instrumentation. It is rolled back by nobody and asks Tracewarden for nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import signal
from collections.abc import Sequence
from pathlib import Path

from openai import AsyncOpenAI, OpenAIError
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from demo.arrivals import arrivals
from demo.inquiries import QUESTIONS, SERVICE, kind_of
from demo.planted import Planter
from demo.releases import HANDBOOK, MODEL
from demo.retriever import Hit, Retriever, sections
from demo.serving import announce
from demo.telemetry import instrument_openai, trace_id_of, tracer_provider

INSTRUCTIONS = "You answer questions of the staff of Larkspur Bikes. Rely on the passages only.\n\nPassages:\n"

_log = logging.getLogger(SERVICE)


class HandbookSearch:
    """Answers with two sections at hand."""

    def __init__(self, client: AsyncOpenAI, retriever: Retriever, tracer: Tracer, planter: Planter) -> None:
        self._client = client
        self._retriever = retriever
        self._tracer = tracer
        self._planter = planter

    async def search(self, question: str) -> None:
        """One request."""
        with self._tracer.start_as_current_span("POST /search", kind=SpanKind.SERVER) as span:
            try:
                answer = await self._answer(question, self._retrieve(question))
            except OpenAIError as error:
                span.set_status(Status(StatusCode.ERROR, str(error)))
                _log.warning("a question stays without an answer: %s", error)
                return
            self._planter.note(trace_id_of(span), kind_of(answer))

    def _retrieve(self, question: str) -> list[Hit]:
        asked = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "handbook",
            "gen_ai.retrieval.query.text": question,
        }
        with self._tracer.start_as_current_span("retrieval handbook", kind=SpanKind.CLIENT, attributes=asked) as span:
            hits = self._retriever.find(question)
            span.set_attribute("gen_ai.retrieval.documents", documents_of(hits))
            return hits

    async def _answer(self, question: str, hits: Sequence[Hit]) -> str:
        passages = "\n\n".join(hit.document.text for hit in hits)
        completion = await self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "system", "content": INSTRUCTIONS + passages}, {"role": "user", "content": question}],
        )
        return completion.choices[0].message.content or ""


def documents_of(hits: Sequence[Hit]) -> str:
    """The value of gen_ai.retrieval.documents: attributes of spans hold structures as JSON."""
    return json.dumps(
        [{"id": hit.document.id, "score": round(hit.score, 3), "content": hit.document.text} for hit in hits],
        ensure_ascii=False,
    )


async def run(arguments: argparse.Namespace, provider: TracerProvider) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    rng = random.Random(arguments.seed)
    retriever = Retriever(sections(HANDBOOK.read_text()))
    async with AsyncOpenAI(base_url=f"{arguments.provider}/v1", api_key="sk-demo", max_retries=1, timeout=30) as openai:
        application = HandbookSearch(openai, retriever, provider.get_tracer(SERVICE), Planter(arguments.planted))
        announce({"handbook-search": f"{arguments.rate:g} requests/s"})
        work = asyncio.create_task(arrivals(arguments.rate, rng, lambda: application.search(rng.choice(QUESTIONS))))
        await asyncio.wait([work, asyncio.create_task(stopped.wait())], return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--otlp", required=True, help="address of Tracewarden's OTLP/HTTP receiver")
    parser.add_argument("--provider", required=True, help="address of the model provider, without /v1")
    parser.add_argument("--rate", type=float, default=2.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--planted", type=Path, required=True, help="file that says what kind each answer was")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    provider = tracer_provider(arguments.otlp, SERVICE, "2026.3")
    instrument_openai(provider)
    asyncio.run(run(arguments, provider))
    provider.shutdown()


if __name__ == "__main__":
    main()
