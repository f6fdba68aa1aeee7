"""Sentence embeddings, shared by the analyzers that need them."""
