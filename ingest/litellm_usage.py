"""Token counts of a LiteLLM event: cached tokens within the input, reasoning within the output, as OpenTelemetry asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_READ = ("cache_read_input_tokens", "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens")
_WRITTEN = (
    *("cache_creation_input_tokens", "prompt_tokens_details.cache_creation_tokens"),
    *("prompt_tokens_details.cache_write_tokens", "input_tokens_details.cache_write_tokens"),
)
_REASONING = ("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens")


def usage_of(event: Mapping[str, Any], *, prefix: str, failed: bool) -> dict[str, Any]:
    """The counts under the names of OpenTelemetry, `prefix` in front; what LiteLLM does not know is not given.

    LiteLLM writes 0 for what it does not know, so a usage of zeros alone is none.
    """
    usage = _best(event)
    found = {
        "input_tokens": _input(usage),
        "output_tokens": _first(usage, _OUTPUT),
        "cache_read.input_tokens": _first(usage, _READ),
        "cache_creation.input_tokens": _first(usage, _WRITTEN),
        "reasoning.output_tokens": _first(usage, _REASONING),
    }
    if failed or not any(found.values()):
        found = {name: value for name, value in found.items() if value}
    return {prefix + name: value for name, value in found.items()}


def _best(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage of the response, of the metadata where texts are kept out of the log, else the sums at the top of the event."""
    places = (event.get("response"), event.get("metadata"), event.get("hidden_params"))
    objects = [place for place in places if isinstance(place, dict)]
    for usage in (place.get(name) for name in ("usage", "usage_object") for place in objects):
        if isinstance(usage, dict) and any(usage.get(name) for name in (*_INPUT, *_OUTPUT)):
            return usage
    return event


def _input(usage: Mapping[str, Any]) -> Any:
    """The whole input. Anthropic's own form, told by its names, counts cached tokens beside it."""
    given = _first(usage, _INPUT)
    if "prompt_tokens" in usage or "input_tokens_details" in usage:
        return given
    counts = [given, usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")]
    numbers = [count for count in counts if count is not None]
    return sum(numbers) if numbers and all(type(count) is int for count in numbers) else given


def _first(usage: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of the counts that is not 0, else 0 where one of them is given."""
    found = [value for value in (_at(usage, name) for name in names) if value is not None]
    return next((value for value in found if value), found[0] if found else None)


def _at(usage: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    value = usage.get(outer)
    return (value.get(inner) if isinstance(value, dict) else None) if inner else value
