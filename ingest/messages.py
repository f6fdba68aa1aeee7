"""Messages as OpenTelemetry writes them (role and parts), out of the forms of OpenAI's and Anthropic's APIs. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ingest.conversion import as_json

Part = dict[str, Any]
Message = dict[str, Any]

_TEXTS: Mapping[str, str] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "summary_text": "text",
}
"""The types of parts that are text, and the member that holds it."""


def messages_of(value: Any, role: str) -> list[Message]:
    """One text, one message, or a list of either; what is neither, such as the numbers of tokens, is left out."""
    listed = value if isinstance(value, list) else [value]
    return [message for item in listed for message in _message(item, role)]


def answer_of(response: Any) -> list[Message]:
    """What a model answered: a chat completion, a text completion, the Responses API, Anthropic's messages, or plain text."""
    if not isinstance(response, dict):
        return messages_of(response, "assistant")
    if isinstance(response.get("choices"), list):
        return [message for choice in response["choices"] for message in _choice(choice)]
    if isinstance(response.get("output"), list):
        return messages_of(response["output"], "assistant")
    return messages_of(response, "assistant")


def finish_reasons_of(response: Any) -> list[str]:
    """Why the model stopped, once for each choice."""
    if not isinstance(response, dict):
        return []
    choices = response["choices"] if isinstance(response.get("choices"), list) else []
    given = [choice.get("finish_reason") for choice in choices if isinstance(choice, dict)] + [response.get("stop_reason")]
    return [reason for reason in given if isinstance(reason, str) and reason]


def _choice(choice: Any) -> list[Message]:
    if not isinstance(choice, dict):
        return []
    found = _message(choice.get("message") or choice.get("text"), "assistant")
    reason = choice.get("finish_reason")
    return [{**message, "finish_reason": reason} if isinstance(reason, str) else message for message in found]


def _message(value: Any, role: str) -> list[Message]:
    """One message; none where nothing is said."""
    if isinstance(value, str):
        return [{"role": role, "parts": [_text(value)]}] if value else []
    if not isinstance(value, dict):
        return []
    named = value.get("role")
    role = named if isinstance(named, str) and named else _ROLES.get(str(value.get("type")), role)
    parts = list(_parts_of(value, role))
    return [{"role": role, "parts": parts}] if parts else []


_ROLES = {"function_call": "assistant", "function_call_output": "tool", "reasoning": "assistant"}
"""The roles of the items of the Responses API that name none."""


def _parts_of(message: Mapping[str, Any], role: str) -> Iterable[Part]:
    if isinstance(message.get("parts"), list):
        yield from (part for part in message["parts"] if isinstance(part, dict))
        return
    if str(message.get("type")) in _ROLES:
        yield from _part(message)
        return
    if isinstance(message.get("reasoning_content"), str) and message["reasoning_content"]:
        yield {"type": "reasoning", "content": message["reasoning_content"]}
    content = message.get("content", message.get("text"))
    if role == "tool":
        yield {"type": "tool_call_response", "id": _id(message), "response": _flat(content)}
        return
    for part in [*(content if isinstance(content, list) else [content]), message.get("refusal")]:
        yield from _part(part)
    calls = message.get("tool_calls") or []
    for call in [*(calls if isinstance(calls, list) else []), {"function": message.get("function_call")}]:
        yield from _call(call)


def _part(part: Any) -> Iterable[Part]:
    """A part of a content. Of images, sounds and files only the type is kept."""
    if isinstance(part, str):
        if part:
            yield _text(part)
        return
    if not isinstance(part, dict):
        return
    kind = str(part.get("type") or "text")
    text = part.get(_TEXTS.get(kind, "text"))
    if isinstance(text, str):
        if text:
            yield _text(text)
    elif kind in ("thinking", "reasoning"):
        yield from _reasoning(part)
    elif kind in ("tool_use", "function_call"):
        yield from _call(part)
    elif kind in ("tool_result", "function_call_output"):
        yield {"type": "tool_call_response", "id": _id(part), "response": _flat(part.get("content", part.get("output")))}
    elif kind != "text":
        yield {"type": kind}


def _reasoning(part: Mapping[str, Any]) -> Iterable[Part]:
    """Anthropic's thinking, or the summary of the Responses API's reasoning."""
    text = part.get("thinking") or _flat(part.get("summary") or part.get("content"))
    if isinstance(text, str) and text:
        yield {"type": "reasoning", "content": text}


def _call(call: Any) -> Iterable[Part]:
    """A call of a tool: OpenAI's, Anthropic's or the Responses API's."""
    if not isinstance(call, dict):
        return
    function = call["function"] if isinstance(call.get("function"), dict) else call
    if isinstance(function.get("name"), str) and function["name"]:
        arguments = function.get("arguments", function.get("input"))
        yield {"type": "tool_call", "id": _id(call), "name": function["name"], "arguments": arguments}


def _id(part: Mapping[str, Any]) -> str | None:
    found = next((part[name] for name in ("tool_call_id", "tool_use_id", "call_id", "id") if part.get(name)), None)
    return found if isinstance(found, str) else None


def _flat(content: Any) -> str:
    """The text of a content, its parts joined by line breaks; other values as JSON."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, (str, dict)) for part in content):
        parts = [found for part in content for found in _part(part)]
        return "\n".join(part.get("content") or f"[{part['type']}]" for part in parts)
    return as_json(content)


def _text(text: str) -> Part:
    return {"type": "text", "content": text}
