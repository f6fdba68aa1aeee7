"""The closed loop, on real input: `python -m demo` (or `make demo`). Exit code 0: every step happened as it should."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from demo.children import ChildError, Children
from demo.conclusion import conclude, plantings
from demo.customers import NEW_INTENT_SHARE, TOXIC_SHARE
from demo.findings import PLACES as FOUND
from demo.findings import percent
from demo.inquiries import BEYOND_SHARE, SERVICE
from demo.observer import Observer, ObserverError
from demo.releases import BASELINE, CANDIDATE, TARGET
from demo.screen import Screen
from demo.stage import Stage, open_assistant, open_handbook_search, set_up, tracewarden
from demo.story import Pace, StoryError, Storyteller
from demo.survey import Surveyor
from demo.watch import TIMEOUT_S, Watch, WatchError

FAILURES = (ChildError, ObserverError, StoryError, WatchError, httpx.HTTPError)
INTERRUPTED = 130

SEARCH_RATE = 2.0
NEW_INTENTS_AFTER_S = 5.0
"""Seconds after the baseline, when the new release is being judged."""

PLACES = (
    "/v1/alerts",
    f"/v1/rollbacks?target={TARGET}",
    f"/v1/compare?target={TARGET}&baseline={BASELINE}&candidate={CANDIDATE}&metric=tokens.output",
    f"/v1/metrics/cost.usd?target={TARGET}&group_by=release&step=10s",
    f"/v1/spans?target={TARGET}&release={CANDIDATE}&limit=5",
    *FOUND,
)


def main() -> int:
    arguments = _arguments()
    # Also SIGINT: a shell that started this in the background left it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="tracewarden-demo-"))
    try:
        with Screen() as screen:
            return _play(arguments, folder, screen)
    except KeyboardInterrupt:
        print(f"\nstopped; what there is of data and logs is in {folder}")
        return INTERRUPTED


def _play(arguments: argparse.Namespace, folder: Path, screen: Screen) -> int:
    begun = time.monotonic()
    with Children(folder) as children:
        try:
            stage = _set_up(arguments, folder, screen, children)
            figures = asyncio.run(_tell(arguments, stage, screen, children))
        except FAILURES as error:
            _write(arguments.json, {"healthy": arguments.healthy, "ok": False, "failed": str(error)})
            screen.failed(str(error) or repr(error), (f"logs: {folder}/*.log, messages: {folder}/received.jsonl",))
            return 1
        took_s = round(time.monotonic() - begun, 1)
        _write(arguments.json, {"healthy": arguments.healthy, "ok": True, "took_s": took_s, **figures})
        _where_to_look(screen, stage, figures, keep=arguments.keep)
        if arguments.keep and not _keep(screen, children):
            return 1
        screen.progress("stopping")
    screen.quiet()
    screen.title(f"Done in {took_s:.0f} s: every step happened as it should")
    screen.entry("report", figures["report"]["file"])
    return 0


def _set_up(arguments: argparse.Namespace, folder: Path, screen: Screen, children: Children) -> Stage:
    screen.title(
        "Tracewarden demo: "
        + ("an equal release is left in peace" if arguments.healthy else "a longer, dearer prompt is rolled back")
    )
    screen.progress("starting Tracewarden, a stub provider and a receiver of messages")
    stage = set_up(children, folder, arguments.seed, screen.entry)
    screen.entry("settings", str(stage.settings))
    return stage


async def _tell(arguments: argparse.Namespace, stage: Stage, screen: Screen, children: Children) -> dict[str, Any]:
    pace = Pace(baseline_s=arguments.baseline_s, healthy_s=arguments.healthy_s)
    async with (
        httpx.AsyncClient(base_url=stage.api, timeout=TIMEOUT_S, trust_env=False) as api,
        httpx.AsyncClient(base_url=stage.receiver, timeout=TIMEOUT_S, trust_env=False) as receiver,
    ):
        watch = Watch(api, receiver)
        observer = Observer(Surveyor(watch, stage.planted), screen, healthy=arguments.healthy)
        teller = Storyteller(watch, observer, screen, pace, children.check)
        since = await teller.prepare("v2-equal" if arguments.healthy else "v2")
        _open(arguments, stage, screen, children)
        await teller.baseline(since)
        figures = await (teller.stay_calm(since) if arguments.healthy else teller.regress(since))
        return figures | {"analyzers": observer.figures()} | await _conclude(watch, observer, stage, screen, since)


def _open(arguments: argparse.Namespace, stage: Stage, screen: Screen, children: Children) -> None:
    """Traffic begins. Only the release that is rolled back meets questions about something new, so that calm means calm."""
    new_intents_after_s = math.inf if arguments.healthy else arguments.baseline_s + NEW_INTENTS_AFTER_S
    open_assistant(children, stage, arguments.rate, arguments.seed, new_intents_after_s)
    open_handbook_search(children, stage, SEARCH_RATE, arguments.seed)
    screen.entry("assistant", f"{arguments.rate:g} requests a second, instrumented with OpenTelemetry")
    screen.entry("search", f"{SEARCH_RATE:g} requests a second to {SERVICE}, which retrieves and answers")
    new = "" if arguments.healthy else f", {percent(NEW_INTENT_SHARE)} new intents later on"
    screen.entry(
        "planted", f"{percent(TOXIC_SHARE)} toxic prompts{new}; {percent(BEYOND_SHARE)} of answers beyond the handbook"
    )


async def _conclude(watch: Watch, observer: Observer, stage: Stage, screen: Screen, since: datetime) -> dict[str, Any]:
    screen.progress("making the report")
    conclusion = await conclude(watch, since, stage.folder, lambda: plantings(stage.planted))
    screen.title("What was planted, and what the report says")
    for line in conclusion.lines:
        screen.line(f"  {line}")
    screen.title("Coverage")
    for name, line in observer.coverage():
        screen.entry(name, line)
    screen.title("Report")
    screen.line(f"  {conclusion.headline}")
    screen.line(f"  {conclusion.file}")
    return {"report": {"id": conclusion.id, "file": str(conclusion.file), "headline": conclusion.headline}}


def _where_to_look(screen: Screen, stage: Stage, figures: dict[str, Any], *, keep: bool) -> None:
    screen.title("Where to look")
    if not keep:
        screen.line("  It is stopped now. This starts it again, on the data of this run:")
        screen.line(f"  {tracewarden()} serve --config {stage.settings}")
    for path in PLACES:
        screen.line(f"  curl '{stage.api}{path}'")
    screen.entry("messages", str(stage.folder / "received.jsonl"))
    screen.entry("logs", f"{stage.folder}/*.log")
    screen.entry("data", f"{stage.folder / 'data'} (delete {stage.folder} when you have seen enough)")


def _keep(screen: Screen, children: Children) -> bool:
    """Leave everything running for a person to look at, until Ctrl-C; False when something ended by itself."""
    screen.quiet()
    screen.title("Everything keeps running: Ctrl-C ends it")
    try:
        while True:
            children.check()
            time.sleep(1)
    except KeyboardInterrupt:
        return True
    except ChildError as error:
        screen.failed(str(error), ())
        return False


def _write(file: Path | None, figures: dict[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    pace = Pace()
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--healthy", action="store_true", help="promote an equal release instead: nothing may happen")
    parser.add_argument("--rate", type=float, default=10.0, help="requests per second (default 10)")
    parser.add_argument("--seed", type=int, default=7, help="seed of questions, arrivals and answers (default 7)")
    parser.add_argument("--keep", action="store_true", help="keep everything running at the end, to look around")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measured figures there")
    parser.add_argument("--baseline-s", type=float, default=pace.baseline_s, help="seconds of traffic on v1 alone (default 40)")
    parser.add_argument(
        "--healthy-s", type=float, default=pace.healthy_s, help="seconds that an equal v2 is watched (default 60)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
