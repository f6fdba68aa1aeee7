"""The support assistant and its customers, as a process.

Instrumented as any application would be: the OpenTelemetry SDK with a batching OTLP exporter, the published
instrumentation of the OpenAI client (`demo/telemetry.py`), one span around each request, and `demo/baggage.py` for the
release.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import time
from pathlib import Path

import httpx
from openai import AsyncOpenAI, OpenAIError
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from demo.arrivals import arrivals
from demo.baggage import serving
from demo.customers import Question, ask
from demo.gateway import Gateway
from demo.planted import Planter
from demo.serving import announce
from demo.telemetry import instrument_openai, trace_id_of, tracer_provider

_log = logging.getLogger("assistant")


class Assistant:
    """Answers questions with whatever release the gateway routes them to."""

    def __init__(self, client: AsyncOpenAI, gateway: Gateway, tracer: Tracer, planter: Planter, rng: random.Random) -> None:
        self._client = client
        self._gateway = gateway
        self._tracer = tracer
        self._planter = planter
        self._rng = rng

    async def chat(self, question: Question) -> None:
        """One request."""
        release = self._gateway.routing.pick(self._rng)
        who = {"user.id": question.user, "gen_ai.conversation.id": question.conversation}
        with (
            serving(self._gateway.target, release.name),
            self._tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER, attributes=who) as span,
        ):
            self._planter.note(trace_id_of(span), question.kind)
            try:
                await self._client.chat.completions.create(
                    model=release.model,
                    messages=[{"role": "system", "content": release.prompt}, {"role": "user", "content": question.text}],
                )
            except OpenAIError as error:
                span.set_status(Status(StatusCode.ERROR, str(error)))
                _log.warning("a question stays without an answer: %s", error)


async def run(arguments: argparse.Namespace, provider: TracerProvider) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    rng = random.Random(arguments.seed)
    planter = Planter(arguments.planted)
    async with (
        httpx.AsyncClient(base_url=arguments.api) as tracewarden,
        AsyncOpenAI(base_url=f"{arguments.provider}/v1", api_key="sk-demo", max_retries=1, timeout=30) as openai,
    ):
        gateway = Gateway(tracewarden, arguments.target, name="demo-gateway-1")
        assistant = Assistant(openai, gateway, provider.get_tracer("support-assistant"), planter, rng)
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(gateway.follow()), group.create_task(_open(gateway, assistant, arguments, rng))]
            await stopped.wait()
            for task in work:
                task.cancel()


async def _open(gateway: Gateway, assistant: Assistant, arguments: argparse.Namespace, rng: random.Random) -> None:
    await gateway.routed.wait()
    announce({"assistant": f"{arguments.rate:g} requests/s"})
    begun = time.monotonic()

    async def serve() -> None:
        new_intents = time.monotonic() - begun >= arguments.new_intents_after_s
        await assistant.chat(ask(rng, new_intents=new_intents))

    await arrivals(arguments.rate, rng, serve)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", required=True, help="address of Tracewarden's API")
    parser.add_argument("--otlp", required=True, help="address of Tracewarden's OTLP/HTTP receiver")
    parser.add_argument("--provider", required=True, help="address of the model provider, without /v1")
    parser.add_argument("--target", required=True)
    parser.add_argument("--rate", type=float, default=10.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--planted", type=Path, required=True, help="file that says what kind each question was")
    parser.add_argument("--new-intents-after-s", type=float, default=float("inf"), help="when customers ask about a new topic")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    provider = tracer_provider(arguments.otlp, "support-assistant", "2026.3")
    instrument_openai(provider)
    asyncio.run(run(arguments, provider))
    provider.shutdown()


if __name__ == "__main__":
    main()
