"""Toxicity of prompts and completions."""
