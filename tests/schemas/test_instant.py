"""Points in time as the API takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.instant import EPOCH, LATEST, parse_instant

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31T13:00:00+01:00",
        "2026-01-31T13:00:00 01:00",
        "2026-01-31T12:00:00.000000Z",
        " 1769860800000 ",
    ],
)
def test_forms(text: str) -> None:
    assert parse_instant(text.strip()) == NOON


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-13-31T12:00:00Z", "-1", "9" * 19, "1e12", "9999-12-31T00:00:00Z"],
)
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"2026-01-31T12:00:00Z|1970 to 2261"):
        parse_instant(text)


@given(st.datetimes(EPOCH.replace(tzinfo=None), LATEST.replace(tzinfo=None)))
def test_both_forms_agree(time: datetime) -> None:
    aware = time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
    assert parse_instant(aware.isoformat()) == aware
    assert parse_instant(str((aware - EPOCH) // timedelta(milliseconds=1))) == aware
