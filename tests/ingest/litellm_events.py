"""Events as LiteLLM's proxy sends them, small ones of our own."""

from __future__ import annotations

import json
import time
from typing import Any

from ingest.litellm import decode
from tests.ingest.requests import attributes_of, spans_of

TRACE = "6f1c1b1e-9a55-4a57-9d3b-0c2f5d1a7e42"
STARTED = round(time.time()) - 60


def event(**changes: Any) -> dict[str, Any]:
    """A chat that was streamed, with cached and reasoning tokens; members of `changes` replace its own."""
    answer = {"role": "assistant", "content": "It left on Monday.", "tool_calls": None}
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 50},
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 400,
    }
    given: dict[str, Any] = {
        "id": "chatcmpl-parcel-1",
        "trace_id": TRACE,
        "call_type": "acompletion",
        "stream": True,
        "status": "success",
        "cache_hit": None,
        "custom_llm_provider": "openai",
        "model": "gpt-4o",
        "model_group": "assistant",
        "model_id": "deployment-a",
        "api_base": "https://provider.example/v1",
        "startTime": float(STARTED),
        "completionStartTime": STARTED + 0.25,
        "endTime": STARTED + 1.5,
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "response_cost": 0.0042,
        "saved_cache_cost": 0.0,
        "request_tags": ["tracewarden.release:v7", "User-Agent: curl/8"],
        "end_user": "ann",
        "requester_ip_address": "192.0.2.7",
        "metadata": {
            "user_api_key_alias": "shop",
            "user_api_key_user_id": "owner",
            "user_api_key_user_email": "owner@shop.example",
            "requester_metadata": {"tracewarden.target": "support", "session_id": "talk-9"},
            "spend_logs_metadata": None,
        },
        "messages": [
            {"role": "system", "content": "Be short."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Where is my parcel?"}, {"type": "image_url", "image_url": {}}],
            },
        ],
        "response": {
            "id": "chatcmpl-parcel-1",
            "model": "gpt-4o-2024-08-06",
            "object": "chat.completion",
            "choices": [{"index": 0, "finish_reason": "stop", "message": answer}],
            "usage": usage,
        },
        "model_parameters": {"temperature": 0.2, "max_tokens": 500, "stream": True, "response_format": {"type": "text"}},
        "hidden_params": {"api_base": "https://provider.example", "additional_headers": {}},
        "error_str": None,
        "error_information": {"error_code": "", "error_class": "", "error_message": ""},
    }
    return given | changes


def as_array(*events: dict[str, Any]) -> bytes:
    """`log_format: json_array`, the default."""
    return json.dumps(events).encode()


def as_lines(*events: dict[str, Any]) -> bytes:
    """`log_format: ndjson`."""
    return "\n".join(map(json.dumps, events)).encode()


FORMS = (as_array, as_lines)


def attributes(**changes: Any) -> dict[str, Any]:
    """The attributes of the span that an event with `changes` becomes."""
    [span] = spans_of(decode(as_array(event(**changes))))
    return attributes_of(span)
