"""Numbers and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analyzers.report import wording
from analyzers.report.data import Change


def plain(text: str) -> str:
    return text.replace(wording.THIN, " ").replace(wording.MINUS, "-").replace(wording.EN_DASH, "-")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "USD", "no data"),
        (float("nan"), "ms", "no data"),
        (0.0, "ratio", "0 %"),
        (0.00042, "ratio", "0.042 %"),
        (0.0761, "ratio", "7.6 %"),
        (0.76234, "ratio", "76.2 %"),
        (1.0, "ratio", "100 %"),
        (1234.0, "requests", "1,234"),
        (12_345_678.0, "tokens", "12.3 M"),
        (0.0042, "USD", "$0.0042"),
        (2.4, "USD", "$2.40"),
        (12_345.6, "USD", "$12,346"),
        (-2.3e-18, "USD", "$0"),
        (-3.0, "USD", "-$3.00"),
        (850.4, "ms", "850 ms"),
        (1240.0, "ms", "1.24 s"),
        (300_000.0, "ms", "5 min"),
    ],
)
def test_quantities_have_their_unit(value: float | None, unit: str, text: str) -> None:
    assert plain(wording.quantity(value, unit)) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change(kind="relative", effect=0.123, low=-0.02, high=0.31), "+12 % (-2 to +31 %)"),
        (Change(kind="points", effect=-0.008, low=-0.02, high=0.004), "-0.8 pts (-2 to +0.4 pts)"),
        (Change(kind="relative", effect=12.0, low=1.5, high=40.0), "×13 (+150 % to ×41)"),
        (Change(kind="relative", effect=0.0), "±0 % ()"),
        (Change(kind="relative", effect=0.00034, low=-0.043, high=0.046), "±0 % (-4.3 to +4.6 %)"),
        (Change(kind="points", effect=0.000042, low=-0.0037, high=0.0038), "±0 pts (-0.37 to +0.38 pts)"),
    ],
)
def test_changes_are_signed(change: Change, text: str) -> None:
    assert plain(f"{wording.effect(change)} ({wording.change_interval(change)})") == text


@pytest.mark.parametrize(
    ("start", "end", "zone", "text"),
    [
        ("2026-03-02T00:00", "2026-03-09T00:00", "UTC", "2 Mar to 8 Mar 2026"),
        ("2026-03-01T23:00", "2026-03-08T23:00", "Europe/Berlin", "2 Mar to 8 Mar 2026"),
        ("2025-12-29T00:00", "2026-01-05T00:00", "UTC", "29 Dec 2025 to 4 Jan 2026"),
        ("2026-03-02T00:00", "2026-03-03T00:00", "UTC", "2 Mar 2026"),
        ("2026-03-02T10:00", "2026-03-02T12:30", "UTC", "2 Mar 2026 10:00 to 12:30"),
        ("2026-03-02T10:00", "2026-03-04T12:30", "UTC", "2 Mar 2026 10:00 to 4 Mar 2026 12:30"),
    ],
)
def test_ranges_are_named_by_their_days(start: str, end: str, zone: str, text: str) -> None:
    first, last = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end))
    assert wording.span(first, last, zone) == text


def test_parts_have_their_plural() -> None:
    assert [wording.texts(part) for part in ("prompt", "completion", "query")] == ["prompts", "completions", "queries"]


def test_names_are_cut_in_the_middle_and_hide_nothing() -> None:
    cut = wording.short("x" * 50 + "-canary-7", 30)
    assert (len(cut), cut.endswith("-canary-7"), "…" in cut) == (30, True, True)
    assert wording.name("pay\u202eexe.cod\x00") == "pay exe.cod"
    assert wording.name("") == "(none)"
