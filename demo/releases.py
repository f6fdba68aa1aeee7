"""The releases of the support assistant: what a team would register, promote and, as it turns out, regret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TARGET = "support-assistant"
BASELINE = "v1"
CANDIDATE = "v2"
PROVIDER = "openai"
MODEL = "gpt-4o-mini"

HANDBOOK = Path(__file__).with_name("handbook.md")

_INSTRUCTIONS = {
    "v1": (
        "You are the support assistant of Larkspur Bikes. Answer from the handbook above. Keep it to what was asked: give the "
        "answer first, then the one thing that the customer has to do next. Leave out what does not matter here."
    ),
    # Somebody wanted happier customers. Nothing in it is wrong; it only makes every answer longer.
    "v2": (
        "You are the support assistant of Larkspur Bikes. Answer from the handbook above. Be thorough: explain the reasons "
        "behind every rule, walk the customer through each step, mention alternatives and close with a summary."
    ),
    # The same request to the model in other words.
    "v2-equal": (
        "You help the customers of Larkspur Bikes and rely on the handbook above. Stay with the question: begin with the "
        "answer, then name the single step that comes next for the customer. Skip everything that has no bearing on it."
    ),
}


def content_of(wording: str) -> dict[str, Any]:
    """What is registered as a release: everything that the gateway needs to serve it."""
    return {"model": MODEL, "prompt": f"{HANDBOOK.read_text()}\n{_INSTRUCTIONS[wording]}"}
