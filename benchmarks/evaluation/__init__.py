"""How well the analyzers judge, on public data: `make evaluate`. Results and reading: docs/evaluation.md."""
