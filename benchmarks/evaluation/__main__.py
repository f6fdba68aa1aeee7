"""`make evaluate`: what docs/evaluation.md states, measured again.

make evaluate                                   # every part, on ../shared/data
make evaluate DATA=path ARGS="drift toxicity"   # some parts, on other data of the same form
make evaluate ARGS="drift --seed 11"
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.evaluation.row import Row

PARTS = ("drift", "comparison", "toxicity", "grounding", "cost")
SEED = 7

console = Console(width=150)


def main() -> None:
    """Run the parts that were asked for and print a table for each."""
    given = _arguments()
    for part in given.parts or [name for name in PARTS if find_spec(_module(name))]:
        started = time.monotonic()
        console.print(f"{part}: seed {given.seed}, data {given.data} …")
        rows = _run_of(part)(given.data, given.seed)
        _show(part, rows, given.seed, time.monotonic() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make evaluate", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts; all without any")
    parser.add_argument("--data", type=Path, required=True, help="the folder with drift, toxicity, grounding, traces, prices")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"{given.data} is not a folder: pass the test data with make evaluate DATA=path")
    return given


def _module(part: str) -> str:
    return f"benchmarks.evaluation.{part}"


def _run_of(part: str) -> Callable[[Path, int], list[Row]]:
    run: Callable[[Path, int], list[Row]] = import_module(_module(part)).run
    return run


def _show(part: str, rows: list[Row], seed: int, took_s: float) -> None:
    table = Table(title=f"{part} (seed {seed}, {took_s:.0f} s)")
    for column in Row._fields:
        table.add_column(column, justify="right" if column in ("value", "bar") else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
