"""Findings of the doctor one by one; the whole command is in test_serve.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.doctor import (
    Finding,
    check_channels,
    check_control,
    check_data_dir,
    check_rules_file,
    check_secrets,
    compare_clocks,
    report,
)
from schemas.settings import Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNED = {"type": "webhook", "name": "pager", "url": "https://192.0.2.7/hook", "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="}


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(data_dir=tmp_path / "data", **values)


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_the_report_marks_what_is_wrong_and_sums_up() -> None:
    lines = list(report([Finding("store", False, "answers"), Finding("kafka", True, "is down: start it")]))
    assert lines == [
        "ok     store  answers",
        "WRONG  kafka  is down: start it",
        "1 of 2 checks found something wrong",
    ]
    assert list(report([Finding("store", False, "answers")]))[-1] == "everything works"


@pytest.mark.parametrize(("apart_s", "wrong"), [(0.5, False), (-4.0, False), (90.0, True), (-90.0, True)])
def test_clocks_that_differ_are_told(apart_s: float, wrong: bool) -> None:
    found = only(compare_clocks("clock: store", NOW + timedelta(seconds=apart_s), NOW))
    assert found.wrong is wrong
    assert not wrong or found.detail == "differs from this machine's by 90 s: run NTP on both machines"


def test_a_clock_without_a_zone_is_in_utc() -> None:
    assert not only(compare_clocks("clock: store", NOW.replace(tzinfo=None), NOW)).wrong


async def test_a_data_directory_is_made_and_measured(tmp_path: Path) -> None:
    found = only(await check_data_dir(settings(tmp_path)))
    assert not found.wrong
    assert "GiB free" in found.detail


async def test_a_data_directory_below_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    found = only(await check_data_dir(settings(tmp_path)))
    assert found.wrong
    assert "pass --data-dir" in found.detail


async def test_each_unreadable_secret_is_a_finding(tmp_path: Path) -> None:
    slack = {"type": "slack", "name": "ops", "url_file": tmp_path / "none"}
    found = await check_secrets(settings(tmp_path, alerting={"channels": [slack]}, database_url="postgresql://u:p@db/t"))
    assert [finding.wrong for finding in found] == [True, True]
    assert str(tmp_path / "none") in found[0].detail
    assert "auth.pepper is not set" in found[1].detail


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "https://10.0.0.1/hook"}, "list its network in outgoing.allowed_networks"),
        ({"url": "ftp://192.0.2.7/hook"}, "only https:// and http:// are called"),
        ({"secret": "whsec_!"}, "the secret is not `whsec_` and base64"),
    ],
)
async def test_a_channel_that_could_not_be_called_is_wrong(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    found = only(await check_channels(settings(tmp_path, alerting={"channels": [SIGNED | changes]})))
    assert found.wrong
    assert said in found.detail


async def test_an_allowed_channel_is_fine_and_nothing_is_sent(tmp_path: Path) -> None:
    channel = SIGNED | {"url": "http://127.0.0.1:1/hook"}
    found = only(
        await check_channels(
            settings(tmp_path, alerting={"channels": [channel]}, outgoing={"allowed_networks": ["127.0.0.0/8"]})
        )
    )
    assert not found.wrong
    assert "nothing was sent" in found.detail


async def test_every_wrong_line_of_a_rules_file_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - name: a\n    kind: threshold\n    metric: no.such\n")
    found = await check_rules_file(settings(tmp_path, alerting={"rules_file": file}))
    assert found
    assert all(finding.wrong and finding.detail.startswith(f"{file}:") for finding in found)


async def test_the_embedded_control_database_answers(tmp_path: Path) -> None:
    assert only(await check_control(settings(tmp_path))) == Finding("control", False, "SQLite answers")


@pytest.mark.postgres
async def test_a_postgresql_answers_and_its_clock_agrees(tmp_path: Path, postgres_database: str) -> None:
    found = await check_control(settings(tmp_path, database_url=postgres_database))
    assert [(finding.name, finding.wrong) for finding in found] == [("control", False), ("clock: control", False)]
