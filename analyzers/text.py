"""Texts as models and stores can take them."""

from __future__ import annotations


def legible(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer takes and nothing can store; every offset stays."""
    return text.encode("utf-8", "replace").decode()
