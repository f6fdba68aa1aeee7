"""Spans as an instrumented support assistant sends them: unique English text, five to six kilobytes a span."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Text = Literal["unique", "system_prompts", "repeated_prompts"]
Value = str | int | float

PROMPT_WORDS, ANSWER_WORDS = 480, 190
SYSTEM_WORDS = 340
SYSTEM_PROMPTS, REPEATED_PROMPTS = 5, 500


@lru_cache(maxsize=1)
def _words() -> Sequence[str]:
    """Half a megabyte of English prose that every Python carries."""
    from pydoc_data import topics

    text = " ".join(topics.topics.values()).replace('"', "'").replace("\\", "/")
    return text.split()


def prose(random_: random.Random, words: int) -> str:
    """Unique text: spliced from runs of three to nine words, so that it compresses about as new text does."""
    source = _words()
    out: list[str] = []
    while len(out) < words:
        start = random_.randrange(len(source) - 10)
        out += source[start : start + random_.randint(3, 9)]
    return " ".join(out[:words])


class SpanSource:
    """Requests of `spans` spans each; every id and every answer is new.

    A prompt is new as well (`unique`), or one of five system prompts before a new question, or one of 500 prompts.
    """

    def __init__(self, seed: int, *, text: Text = "unique", dialects: int = 1) -> None:
        self._random = random.Random(seed)
        self._text = text
        self._dialects = dialects
        count, words = {
            "unique": (0, 0),
            "system_prompts": (SYSTEM_PROMPTS, SYSTEM_WORDS),
            "repeated_prompts": (REPEATED_PROMPTS, PROMPT_WORDS),
        }[text]
        self._known = [prose(self._random, words) for _ in range(count)]

    def request(self, spans: int = 100) -> bytes:
        """One serialised ExportTraceServiceRequest."""
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(
            _attributes({"service.name": "support-assistant", "service.version": "1.4.2", "telemetry.sdk.language": "python"})
        )
        scope = resource.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.openai_v2"
        scope.spans.extend(self._span() for _ in range(spans))
        return request.SerializeToString()

    def _span(self) -> Span:
        random_ = self._random
        started = time.time_ns() - random_.randrange(10**9)
        output_tokens = max(5, round(random_.lognormvariate(5.3, 0.5)))
        span = Span(
            trace_id=random_.randbytes(16),
            span_id=random_.randbytes(8),
            name="chat gpt-4o-mini",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=started,
            end_time_unix_nano=started + output_tokens * 10**7,
        )
        asked, answered = self._asked(), prose(random_, ANSWER_WORDS)
        span.attributes.extend(_attributes(self._current(asked, answered, output_tokens)))
        if self._dialects > 1:
            span.attributes.extend(_attributes(_openinference(asked, answered)))
        return span

    def _asked(self) -> str:
        if self._text == "unique":
            return prose(self._random, PROMPT_WORDS)
        known = self._random.choice(self._known)
        return known if self._text == "repeated_prompts" else f"{known} {prose(self._random, PROMPT_WORDS - SYSTEM_WORDS)}"

    def _current(self, asked: str, answered: str, output_tokens: int) -> dict[str, Value]:
        random_ = self._random
        sent = {"role": "user", "parts": [{"type": "text", "content": asked}]}
        got = {"role": "assistant", "parts": [{"type": "text", "content": answered}], "finish_reason": "stop"}
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": f"chatcmpl-{random_.randbytes(12).hex()}",
            "gen_ai.response.finish_reasons": '["stop"]',
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.usage.input_tokens": round(random_.lognormvariate(6.6, 0.3)),
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.conversation.id": f"conversation-{random_.randrange(10**6)}",
            "gen_ai.input.messages": json.dumps([sent]),
            "gen_ai.output.messages": json.dumps([got]),
            "user.id": f"user-{random_.randrange(10**5)}",
            "server.address": "api.openai.com",
            "server.port": 443,
            "tracewarden.target": "support-assistant",
            "tracewarden.release": random_.choice(("v1", "v2")),
            "app.tenant": f"tenant-{random_.randrange(50)}",
            "app.feature": random_.choice(("refund", "order", "account")),
            "app.region": "eu-west-1",
            "http.request.id": random_.randbytes(8).hex(),
        }


def _openinference(asked: str, answered: str) -> dict[str, Value]:
    """The same conversation once more, as gateways with two instrumentations send it."""
    return {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini-2024-07-18",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": asked,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": answered,
    }


def _attributes(values: dict[str, Value]) -> list[KeyValue]:
    found = []
    for key, value in values.items():
        item = KeyValue(key=key)
        if isinstance(value, str):
            item.value.string_value = value
        elif isinstance(value, int):
            item.value.int_value = value
        else:
            item.value.double_value = value
        found.append(item)
    return found
