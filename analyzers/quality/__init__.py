"""Operational quality of answers and prompts: cheap checks on text and figures, no models. Definitions: docs/quality.md."""
