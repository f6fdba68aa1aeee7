"""A stub of OpenAI's chat completions, as a process: `python -m demo.provider --seed 7`.

It reacts to the text of the prompt and knows nothing of releases. Answers take time in proportion to their tokens, much
less than a real model's, so that a few requests a second fit into a laptop.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.answers import Completion, PrefixCache, complete, completion_of
from demo.inquiries import answer_to
from demo.serving import serve

FIRST_TOKEN_S = 0.12
SECONDS_PER_TOKEN = 0.002
SNAPSHOTS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18"}


class StubProvider:
    """`POST /v1/chat/completions`, without streaming."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        # Of its own, so that answers of the support desk do not depend on who else asks.
        self._inquiry_rng = random.Random(f"inquiries {seed}")
        self._cache = PrefixCache()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route("/v1/chat/completions", self._create, methods=["POST"])])

    async def _create(self, request: Request) -> JSONResponse:
        arrived = time.monotonic()
        asked = await request.json()
        problem = refusal(asked)
        if problem is not None:
            return JSONResponse({"error": {"message": problem, "type": "invalid_request_error"}}, 400)
        completion, rng = self._complete(asked["messages"])
        await asyncio.sleep(max(0.0, arrived + duration_s(completion, rng) - time.monotonic()))
        return JSONResponse(answer(asked["model"], completion, f"chatcmpl-{rng.getrandbits(96):024x}", int(time.time())))

    def _complete(self, messages: list[dict[str, str]]) -> tuple[Completion, random.Random]:
        """The answer, and what else is drawn for it is drawn from."""
        text = answer_to(messages[-1]["content"], self._inquiry_rng)
        if text is None:
            return complete(messages, self._rng, self._cache), self._rng
        return completion_of(messages, text, self._cache), self._inquiry_rng


def refusal(asked: Any) -> str | None:
    """Why a request cannot be answered, or None."""
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
        return "you must provide a model parameter"
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must be a list with at least one message"
    if not all(isinstance(one, dict) and isinstance(one.get("content"), str) and "role" in one for one in messages):
        return "each message needs a role and a text as its content: this stub knows nothing else"
    return "streaming is not offered by this stub" if asked.get("stream") else None


def duration_s(completion: Completion, rng: random.Random) -> float:
    """Time to the first token and then token by token, on machines that are not equally busy."""
    first_token_s = FIRST_TOKEN_S * rng.lognormvariate(0, 0.2)
    return first_token_s + SECONDS_PER_TOKEN * rng.lognormvariate(0, 0.1) * completion.completion_tokens


def answer(model: str, completion: Completion, response_id: str, created: int) -> dict[str, Any]:
    """The response object of the API."""
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": created,
        "model": SNAPSHOTS.get(model, model),
        "system_fingerprint": "fp_stub",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": completion.text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "total_tokens": completion.prompt_tokens + completion.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": completion.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    serve("provider", StubProvider(parser.parse_args().seed).app())


if __name__ == "__main__":
    main()
