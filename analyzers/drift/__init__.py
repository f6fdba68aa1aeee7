"""Embedding drift: sketches of texts, looks at them, and what a drift consists of. Method and limits: docs/drift.md."""
