"""What is printed, on no terminal as in a log."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from demo.screen import Screen
from demo.timeline import Event, Saving

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def screen() -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(Console(file=out, highlight=False)), out


def test_an_event_is_a_line_and_what_else_is_known_stands_below() -> None:
    shown, out = screen()
    with shown:
        shown.event(Event("regression", NOON, ("tokens.output +57 %", "by the rule fresh-release")), 12.04)
    assert out.getvalue().splitlines() == [
        "   +12.0 s  regression found        tokens.output +57 %",
        "                                    by the rule fresh-release",
    ]


def test_addresses_are_never_wrapped_and_brackets_are_no_markup() -> None:
    shown, out = screen()
    long = "http://127.0.0.1:8080/" + "x" * 300 + "[bold]"
    shown.line(long)
    assert out.getvalue() == long + "\n"


def test_progress_is_not_repeated_all_the_time() -> None:
    shown, out = screen()
    with shown:
        for number in range(50):
            shown.progress(f"{number} requests")
    assert out.getvalue().count("requests") == 1


def test_times_are_told_by_the_names_of_the_steps() -> None:
    shown, out = screen()
    shown.seconds({"regression": 8.3, "rollback": 8.6})
    assert [line.strip() for line in out.getvalue().splitlines() if line] == [
        "Seconds after the first span of v2",
        "8.3  regression found",
        "8.6  rollback executed",
    ]


def test_the_saving_is_called_an_estimate() -> None:
    shown, out = screen()
    shown.saving(Saving(baseline_usd=0.0003, candidate_usd=0.0004, requests_per_s=10), served=100)
    text = out.getvalue()
    assert "estimate" in text
    assert "$0.400 on v2 instead of $0.300 on v1 (+33 %)" in text
    assert "$3.60 more each hour" in text


def test_a_failure_says_why_and_where_the_logs_are() -> None:
    shown, out = screen()
    with shown:
        shown.failed("regression found: not within 90 s", ("logs: /tmp/x/*.log",))
    assert out.getvalue().split("\n")[1:] == ["FAILED", "  regression found: not within 90 s", "  logs: /tmp/x/*.log", ""]
