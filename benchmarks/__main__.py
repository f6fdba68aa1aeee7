"""`make bench`: every figure of docs/performance.md, as ratios of one run.

make bench                            # all, with 2 million spans for the queries
make bench ARGS="ingest"              # one part: ingest, kafka, disk, queries or analysis
make bench ARGS="queries --spans 10000000"
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import analysis, ingest, queries
from tests.kafka.broker import JARS, KafkaBroker, choose_broker

console = Console()
PARTS = ("ingest", "kafka", "disk", "queries", "analysis")
QUIET: dict[str, Any] = {"analysis": {"analyzers": []}}
"""Nothing beside what is measured."""


def main() -> None:
    """Run the parts that were asked for and print what they found."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; default: all")
    parser.add_argument("--spans", type=int, default=2_000_000, help="spans in the store for the queries")
    parser.add_argument("--requests", type=int, default=2_400, help="requests of 100 spans for the throughput")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    measures: Mapping[str, Callable[[Path, argparse.Namespace], Any]] = {
        "ingest": _ingest,
        "kafka": _kafka,
        "disk": lambda folder, given: ingest.disk(folder, given.requests // 4),
        "analysis": lambda folder, given: analysis.analyzers(folder),
        "queries": lambda folder, given: queries.dashboard(folder, given.spans, QUIET),
    }
    found = {}
    for part in arguments.parts or PARTS:
        console.print(f"[bold]{part}[/] …")
        with tempfile.TemporaryDirectory(prefix=f"tracewarden-bench-{part}-") as folder:
            found[part] = measures[part](Path(folder), arguments)
        _show(part, found[part])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def _ingest(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    bare = ingest.bare_insert(folder, given.requests)
    whole = ingest.throughput(folder / "throughput", given.requests, QUIET)
    steady = ingest.steady(folder / "steady", 20.0, QUIET)
    analyzed = ingest.steady(folder / "analyzed", 30.0, {})
    share = ingest.steady(folder / "share", 30.0, {}, bare["spans_per_s"] * ingest.STEADY_SHARE)
    ratio = {"ratio": whole["spans_per_s"] / bare["spans_per_s"]}
    return {
        "bare insert": bare,
        "embedded, full load": whole | ratio,
        "embedded, 2,000 spans/s": steady,
        "the same, models at work": analyzed,
        f"{ingest.STEADY_SHARE:.0%} of the bare insert, models at work": share,
    }


def _kafka(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    choice = choose_broker({}, JARS)
    if choice.missing:
        return {"left out": {"reason": choice.missing}}
    broker = KafkaBroker(folder / "broker")
    broker.start()
    try:
        bare = ingest.bare_insert(folder, given.requests)
        settings = QUIET | {"kafka": {"bootstrap_servers": broker.bootstrap, "partitions": 2}}
        whole = ingest.throughput(folder / "throughput", given.requests, settings, warm_up=ingest.BROKER_WARM_UP)
        steady = ingest.steady(folder / "steady", 20.0, settings)
    finally:
        broker.stop()
    ratio = {"ratio": whole["spans_per_s"] / bare["spans_per_s"]}
    return {"bare insert": bare, "through Kafka, full load": whole | ratio, "through Kafka, 2,000 spans/s": steady}


def _show(part: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title=part)
    for column in ("what", "figure", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for what, figures in found.items():
        for name, value in figures.items():
            table.add_row(
                what,
                name,
                f"{value:,.3g}"
                if isinstance(value, float) and value < 100
                else f"{value:,.0f}"
                if isinstance(value, (int, float))
                else str(value),
            )
    console.print(table)


if __name__ == "__main__":
    main()
