"""What LiteLLM's callback says that was asked and answered, as messages."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.litellm import REDACTED
from tests.ingest.litellm_events import attributes

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
CALLED = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": '{"city":"Rome"}'}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("Hello", [["user", "Hello"]]),
        (["one", "two"], [["user", "one"], ["user", "two"]]),
        ([1, 2, 3], None),
        (None, None),
        ({"role": "user", "content": "Hello"}, [["user", "Hello"]]),
        (
            [
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "9 °C"},
            ],
            [["assistant", CALLED], ["tool", {"type": "tool_call_response", "id": "call_1", "response": "9 °C"}]],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "9"}]}],
                }
            ],
            [["user", {"type": "tool_call_response", "id": "c", "response": "9"}]],
        ),
        ([{"role": "user", "content": REDACTED}], None),
        (
            [{"role": "user", "content": [{"type": "text", "text": REDACTED}, {"type": "text", "text": "kept"}]}],
            [["user", "kept"]],
        ),
    ],
)
def test_what_was_asked(messages: Any, expected: list[Any] | None) -> None:
    assert attributes(messages=messages).get("gen_ai.input.messages") == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"choices": [{"text": "one"}, {"text": "two"}]}, [["assistant", "one"], ["assistant", "two"]]),
        ({"choices": [{"message": {"content": None, "tool_calls": [CALL]}}]}, [["assistant", CALLED]]),
        (
            {"choices": [{"message": {"content": "42", "reasoning_content": "Let me see."}}]},
            [["assistant", {"type": "reasoning", "content": "Let me see."}, "42"]],
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}],
            },
            [
                [
                    "assistant",
                    {"type": "reasoning", "content": "Hm."},
                    {"type": "tool_call", "id": "c", "name": "f", "arguments": {}},
                ]
            ],
        ),
        (
            {
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                ]
            },
            [
                ["assistant", {"type": "reasoning", "content": "Hm."}],
                ["assistant", "Yes."],
                ["assistant", {"type": "tool_call", "id": "c", "name": "f", "arguments": "{}"}],
            ],
        ),
        ({"data": [{"embedding": [0.1], "index": 0}]}, None),
        ({"text": "What was said."}, [["assistant", "What was said."]]),
        ({"text": REDACTED}, None),
        ({"choices": [{"message": {"content": REDACTED}}]}, None),
        ("plain", [["assistant", "plain"]]),
        (None, None),
        ({"choices": [None, {"message": None}, {"message": 3}]}, None),
        ({"type": []}, None),
    ],
)
def test_what_was_answered(response: Any, expected: list[Any] | None) -> None:
    assert attributes(response=response).get("gen_ai.output.messages") == expected


def test_a_tool_of_the_gateway() -> None:
    called = {"name": "weather", "arguments": {"city": "Rome"}}
    result = {"content": [{"type": "text", "text": "9 °C"}]}
    found = attributes(call_type="call_mcp_tool", metadata={"mcp_tool_call_metadata": called}, response=result)
    assert found["gen_ai.tool.name"] == "weather"
    assert (found["gen_ai.tool.call.arguments"], found["gen_ai.tool.call.result"]) == ('{"city":"Rome"}', "9 °C")
    assert "gen_ai.input.messages" not in found
