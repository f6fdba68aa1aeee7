"""The command line inside one process; whole processes are in test_serve.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app

SECRET_URL = "https://hooks.slack.com/services/T0/B0/hunter2"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TRACEWARDEN_"):
            monkeypatch.delenv(name)


def invoke(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def test_help_names_every_command() -> None:
    listed = invoke("--help").output
    for command in ("serve", "ingest", "write", "alert", "api", "migrate", "keys", "config", "doctor"):
        assert command in listed
    for flag in ("--data-dir", "--host", "--port", "--otlp-http-port", "--otlp-grpc-port", "--config"):
        assert flag in invoke("serve", "--help").output


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path / "data"))
    made = json.loads(
        invoke("keys", "create", *where, "--name", "gateway", "--scope", "ingest", "--scope", "read", "--json").stdout
    )
    assert made["key"].startswith("tw_")
    listing = invoke("keys", "list", *where)
    assert made["id"] in listing.stdout
    assert "gateway" in listing.stdout
    assert made["key"] not in listing.stdout
    invoke("keys", "revoke", made["id"], *where)
    (key,) = json.loads(invoke("keys", "list", *where, "--json").stdout)
    assert key == {"id": made["id"], "project": "default", "name": "gateway", "scopes": "ingest read", "state": "revoked"}
    again = invoke("keys", "revoke", made["id"], *where, code=1)
    assert again.stderr == f"tracewarden: there is no active key {made['id']}: `tracewarden keys list` shows them\n"
    assert (tmp_path / "data" / "pepper").stat().st_mode & 0o077 == 0


def test_a_key_with_an_unknown_scope_is_refused(tmp_path: Path) -> None:
    result = invoke("keys", "create", "--data-dir", str(tmp_path), "--name", "x", "--scope", "write", code=1)
    assert result.stderr == "tracewarden: unknown scopes write: choose from admin, control, feedback, ingest, read\n"


def test_the_key_alone_is_on_standard_output(tmp_path: Path) -> None:
    result = invoke("keys", "create", "--data-dir", str(tmp_path), "--name", "x", "--scope", "read")
    assert result.stdout.startswith("tw_")
    assert result.stdout.count("\n") == 1
    assert "not shown again" in result.stderr


def test_config_show_has_values_and_sources_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(f"alerting:\n  channels: [{{type: slack, name: ops, url: '{SECRET_URL}'}}]\nquery: {{threads: 3}}\n")
    monkeypatch.setenv("TRACEWARDEN_DATABASE_URL", "postgresql://u:hunter2@db/t")
    shown = invoke("config", "show", "--config", str(file), "--data-dir", "/srv/tw").output
    assert "hunter2" not in shown
    line = next(line for line in shown.splitlines() if line.startswith("query.threads"))
    assert line.split() == ["query.threads", "3", str(file)]
    as_json = json.loads(invoke("config", "show", "--config", str(file), "--json").stdout)
    assert as_json["database_url"] == {"value": "**********", "source": "TRACEWARDEN_DATABASE_URL"}
    assert as_json["alerting.channels"]["value"] == [{"type": "slack", "name": "ops", "url": "**********"}]


def test_the_file_may_be_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("port: 1234\n")
    monkeypatch.setenv("TRACEWARDEN_CONFIG", str(file))
    assert json.loads(invoke("config", "show", "--json").stdout)["port"] == {"value": 1234, "source": str(file)}


def test_problems_of_the_settings_are_lines_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEWARDEN_PROT", "1")
    result = invoke("config", "show", code=2)
    assert result.stderr == "settings: TRACEWARDEN_PROT is no setting of Tracewarden: did you mean TRACEWARDEN_PORT?\n"


def test_a_shared_control_database_needs_a_pepper_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEWARDEN_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/t")
    result = invoke("keys", "create", "--name", "x", "--scope", "read", code=1)
    assert result.stderr.startswith("tracewarden: auth.pepper is not set")
    assert "openssl rand -hex 32" in result.stderr


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke("keys", "list", "--data-dir", str(tmp_path / "file" / "data"), code=1)
    assert "cannot be created (Not a directory): pass --data-dir with a writable folder" in result.stderr
