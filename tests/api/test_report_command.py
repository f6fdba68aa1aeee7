"""`tracewarden report` beside a running `serve` and without one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from tests.api.process import run, serving


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TRACEWARDEN_"):
            monkeypatch.delenv(name)


def refused(*arguments: str, code: int = 1) -> str:
    result: Any = CliRunner().invoke(app, ["report", *arguments])
    assert result.exit_code == code, result.output
    return str(result.stderr)


def test_a_report_is_written_with_and_without_a_server(tmp_path: Path) -> None:
    data_dir, out = tmp_path / "data", tmp_path / "out"
    config = tmp_path / "one.yaml"
    config.write_text("analysis: {analyzers: [quality]}")
    with serving(data_dir, "--config", str(config)) as served:
        address = served.addresses["api"]
        asked = run("report", "--out", str(out), "--data-dir", str(data_dir), "--url", address)
        blind = run("report", "--out", str(out), "--data-dir", str(data_dir), "--port", "1")
    assert asked.returncode == 0, asked.stderr
    files = [Path(line) for line in asked.stdout.splitlines()]
    assert sorted(file.suffix for file in files) == [".html", ".json", ".md"]
    (data,) = [json.loads(file.read_text()) for file in files if file.suffix == ".json"]
    assert data["project"] == "default"
    assert blind.returncode == 1
    assert "pass --url" in blind.stderr
    span = ("--from", "2026-03-01T00:00:00Z", "--to", "2026-03-08T00:00:00Z")
    alone = run("report", "--out", str(tmp_path / "alone"), "--data-dir", str(data_dir), *span)
    assert alone.returncode == 0, alone.stderr
    assert "report-default-20260301T0000-20260308T0000.html" in alone.stdout
    page = (tmp_path / "alone" / "report-default-20260301T0000-20260308T0000.html").read_text()
    assert "1 Mar to 7 Mar 2026" in page


def test_what_is_wrong_is_one_line_with_the_fix(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path))
    assert "--from: 'yesterday' is no time" in refused(*out, "--from", "yesterday", code=2)
    assert "http://127.0.0.1:1 does not answer" in refused(*out, "--url", "http://127.0.0.1:1")
    assert "key file" in refused(*out, "--url", "http://127.0.0.1:1", "--key-file", str(tmp_path / "none"))
