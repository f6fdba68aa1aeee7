"""Where an answer's context is: what the trace had found before, else a block of the prompt that says that it is one."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from analyzers.contract import Context, Message, SpanText

Origin = Literal["retrieval", "tool", "document", "prompt"]

TAGS = (
    "context", "documents", "document", "sources", "source", "passages", "passage", "search_results", "retrieved_context",
    "knowledge",
)  # fmt: skip
HEADINGS = (
    "context", "contexts", "documents", "sources", "passages", "search results", "retrieved documents", "retrieved context",
    "relevant documents", "reference text", "reference documents", "knowledge base", "kontext", "contexte", "contexto",
    "contesto",
)  # fmt: skip
ENDINGS = (
    "question", "user question", "query", "instructions", "instruction", "task", "answer", "chat history", "conversation",
    "frage", "pregunta", "domanda", "antwort", "réponse", "respuesta",
)  # fmt: skip


def _heading(names: Sequence[str]) -> re.Pattern[str]:
    """A line that begins with one of `names` and a colon, or is one of them as a Markdown heading or in bold."""
    either = "|".join(names)
    forms = (rf"(?:#{{1,6}}[ \t]*)?(?:\*\*)?(?:{either})(?:\*\*)?:(?:\*\*)?", rf"#{{1,6}}[ \t]*(?:{either})[ \t]*$")
    return re.compile(rf"^[ \t]*(?:{'|'.join(forms)}|\*\*(?:{either})\*\*[ \t]*$)", re.IGNORECASE | re.MULTILINE)


_HEADED = _heading(HEADINGS)
_ENDED = _heading(ENDINGS)
_OPENING = re.compile(rf"<({'|'.join(TAGS)})(?:\s[^<>]{{0,200}})?>", re.IGNORECASE)
# Keeps every offset, as str.lower does not.
_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
_TAG = re.compile(r"</?[A-Za-z_][^<>]{0,200}>")


@dataclass(frozen=True)
class Sources:
    """The texts of a context in order, where they were found, and how many characters were left out at the end."""

    texts: tuple[str, ...]
    origins: tuple[Origin, ...]
    cut_chars: int = 0


def sources_of(span: SpanText, found: Context, max_chars: int) -> Sources:
    """The context of a span's answer; no texts where it has none. What exceeds `max_chars` in all is cut off."""
    pairs = [*_labelled(found.documents, "retrieval"), *_labelled(found.tool_results, "tool"), *_messages(span.input)]
    if not pairs:
        asked = [message.text for message in span.input if message.role in ("system", "user")]
        pairs = _labelled((block for text in asked for block in blocks_of(text)), "prompt")
    by_text = {text: origin for origin, text in reversed(pairs) if text.strip()}
    return _capped([(origin, text) for text, origin in reversed(by_text.items())], max_chars)


def _labelled(texts: Iterable[str], origin: Origin) -> list[tuple[Origin, str]]:
    return [(origin, text) for text in texts]


def _messages(messages: Sequence[Message]) -> list[tuple[Origin, str]]:
    """Messages that are documents or results of tools by their role."""
    roles: dict[str, Origin] = {"document": "document", "tool": "tool"}
    return [(roles[message.role], message.text) for message in messages if message.role in roles]


def blocks_of(text: str) -> list[str]:
    """The context blocks of a message: tagged ones, else what follows a heading of a context up to the next known heading."""
    tagged = _tagged(text)
    if tagged:
        return tagged
    heading = _HEADED.search(text)
    if heading is None:
        return []
    end = _ENDED.search(text, heading.end())
    return [text[heading.end() : end.start() if end else len(text)]]


def _tagged(text: str) -> list[str]:
    """What stands between known tags, outermost ones, without the tags within. A tag that nothing closes is none."""
    found, position, unclosed = [], 0, set[str]()
    lowered = text.translate(_LOWER)
    for opening in _OPENING.finditer(text):
        tag = opening.group(1).lower()
        if opening.start() < position or tag in unclosed:
            continue
        end = lowered.find(f"</{tag}>", opening.end())
        if end < 0:
            unclosed.add(tag)
        else:
            found.append(_TAG.sub(" ", text[opening.end() : end]))
            position = end
    return found


def _capped(pairs: list[tuple[Origin, str]], max_chars: int) -> Sources:
    kept: list[tuple[Origin, str]] = []
    left = max_chars
    for origin, text in pairs:
        if left > 0:
            kept.append((origin, text[:left]))
        left -= len(text)
    return Sources(tuple(text for _, text in kept), tuple(origin for origin, _ in kept), max(0, -left))
