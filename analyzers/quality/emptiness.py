"""Empty answers: the model was paid and a person saw nothing."""

from __future__ import annotations

from collections.abc import Sequence

from analyzers.quality.text import is_blank
from analyzers.quality.verdict import Verdict, abstained, judged

TOOL_CALLS = frozenset(("tool_calls", "tool_call", "tool_use", "function_call", "pause_turn"))
"""Finish reasons of answers that call a tool instead of speaking."""


def find_empty(
    answer: str, *, recorded: bool, output_tokens: int | None, finish_reasons: Sequence[str], failed: bool
) -> Verdict:
    """Whether the answer is blank (white space and invisible characters only).

    Abstains where the call failed, where the answer is a tool call, and where the answer is not `recorded` although
    tokens were made (or nobody counted them): the client does not send its messages then.
    """
    if not is_blank(answer):
        return judged(False)
    if failed:
        return abstained("call-failed")
    if any(reason in TOOL_CALLS for reason in finish_reasons):
        return abstained("tool-call")
    if not recorded and output_tokens != 0:
        return abstained("not-recorded")
    spent = f", though {output_tokens} output tokens were paid" if output_tokens else ""
    return judged(True, "blank" if answer else "no-text", f"the answer has no visible text{spent}")
