"""The support assistant and its customers, as a process.

Instrumented as any application would be: the OpenTelemetry SDK with a batching OTLP exporter, the published
instrumentation of the OpenAI client, one span around each request, and `demo/baggage.py` for the release.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal

import httpx
from openai import AsyncOpenAI, OpenAIError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from demo.baggage import ReleaseSpanProcessor, serving
from demo.customers import Question, ask
from demo.gateway import Gateway
from demo.serving import announce

EXPORT_EVERY_MS = 200
MOST_AT_ONCE = 200

_log = logging.getLogger("assistant")


class Assistant:
    """Answers questions with whatever release the gateway routes them to."""

    def __init__(self, client: AsyncOpenAI, gateway: Gateway, tracer: Tracer, target: str, rng: random.Random) -> None:
        self._client = client
        self._gateway = gateway
        self._tracer = tracer
        self._target = target
        self._rng = rng

    async def chat(self, question: Question) -> None:
        """One request."""
        release = self._gateway.routing.pick(self._rng)
        who = {"user.id": question.user, "gen_ai.conversation.id": question.conversation}
        with (
            serving(self._target, release.name),
            self._tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER, attributes=who) as span,
        ):
            try:
                await self._client.chat.completions.create(
                    model=release.model,
                    messages=[{"role": "system", "content": release.prompt}, {"role": "user", "content": question.text}],
                )
            except OpenAIError as error:
                span.set_status(Status(StatusCode.ERROR, str(error)))
                _log.warning("a question stays without an answer: %s", error)


async def serve_customers(assistant: Assistant, rate: float, rng: random.Random) -> None:
    """Customers who know nothing of each other: requests at exponential distances, `rate` a second on average."""
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    loop = asyncio.get_running_loop()
    due = loop.time()

    async def one(question: Question) -> None:
        async with gate:
            await assistant.chat(question)

    async with asyncio.TaskGroup() as group:
        while True:
            due += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(one(ask(rng)))


def tracer_provider(otlp: str) -> TracerProvider:
    """The SDK as the documentation sets it up; the release processor comes before the exporter."""
    provider = TracerProvider(resource=Resource.create({"service.name": "support-assistant", "service.version": "2026.3"}))
    provider.add_span_processor(ReleaseSpanProcessor())
    exporter = OTLPSpanExporter(endpoint=f"{otlp}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    return provider


def instrument_openai(provider: TracerProvider) -> None:
    """The published instrumentation, with today's conventions and with messages."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    OpenAIInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]  # the library has no types


async def run(arguments: argparse.Namespace, provider: TracerProvider) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    rng = random.Random(arguments.seed)
    async with (
        httpx.AsyncClient(base_url=arguments.api) as tracewarden,
        AsyncOpenAI(base_url=f"{arguments.provider}/v1", api_key="sk-demo", max_retries=1, timeout=30) as openai,
    ):
        gateway = Gateway(tracewarden, arguments.target, name="demo-gateway-1")
        assistant = Assistant(openai, gateway, provider.get_tracer("support-assistant"), arguments.target, rng)
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(gateway.follow()), group.create_task(_open(gateway, assistant, arguments.rate, rng))]
            await stopped.wait()
            for task in work:
                task.cancel()


async def _open(gateway: Gateway, assistant: Assistant, rate: float, rng: random.Random) -> None:
    await gateway.routed.wait()
    announce({"assistant": f"{rate:g} requests/s"})
    await serve_customers(assistant, rate, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", required=True, help="address of Tracewarden's API")
    parser.add_argument("--otlp", required=True, help="address of Tracewarden's OTLP/HTTP receiver")
    parser.add_argument("--provider", required=True, help="address of the model provider, without /v1")
    parser.add_argument("--target", required=True)
    parser.add_argument("--rate", type=float, default=10.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    provider = tracer_provider(arguments.otlp)
    instrument_openai(provider)
    asyncio.run(run(arguments, provider))
    provider.shutdown()


if __name__ == "__main__":
    main()
