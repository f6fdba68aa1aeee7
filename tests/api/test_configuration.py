"""Every problem of the settings is one line with the name, its environment variable and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from api.configuration import ConfigurationError, read_settings, shown_values, sources, unknown_variables
from schemas.settings import Settings

SECRET = "whsec_aHVudGVyMg=="


def problems(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str] | None = None, file: Path | None = None, **flags: object
) -> list[str]:
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        read_settings(file, flags, environment or {})
    assert all("\n" not in line and "pydantic" not in line for line in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("TRACEWARDEN_PROT", "TRACEWARDEN_PROT is no setting of Tracewarden: did you mean TRACEWARDEN_PORT?"),
        ("TRACEWARDEN_INGEST_LINGER_MS", "did you mean TRACEWARDEN_INGEST__LINGER_MS?"),
        ("tracewarden_ingest__lingerms", "did you mean TRACEWARDEN_INGEST__LINGER_MS?"),
        ("TRACEWARDEN_ZZZZZZZZ", "remove it, or look it up in docs/settings.md"),
        ("TRACEWARDEN_SERVICE_HOST", "enableServiceLinks: false"),
        ("TRACEWARDEN_PORT_8080_TCP_ADDR", "enableServiceLinks: false"),
    ],
)
def test_a_variable_that_sets_nothing_is_refused(name: str, line: str) -> None:
    (found,) = unknown_variables({name: "x", "HOME": "/root"})
    assert line in found


def test_known_variables_pass_in_any_case_and_as_whole_sections() -> None:
    assert unknown_variables({"tracewarden_port": "1", "TRACEWARDEN_QUERY": "{}", "TRACEWARDEN_CONFIG": "x"}) == []


def test_a_wrong_value_names_its_setting_its_variable_and_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, {"TRACEWARDEN_QUERY__THREADS": "many"})
    assert line.startswith("query.threads (TRACEWARDEN_QUERY__THREADS): must be a valid integer")
    assert line.endswith("(it is 'many')")


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("otlp_htp_port: 1\nquery: {thread: 2}\nlog: {level: loud}\nkafka: {topic: x}\n")
    found = problems(monkeypatch, None, file)
    assert len(found) == 4
    text = "\n".join(found)
    assert "otlp_htp_port (TRACEWARDEN_OTLP_HTP_PORT) is no setting of Tracewarden: did you mean otlp_http_port?" in text
    assert "did you mean query.threads?" in text
    assert "log.level (TRACEWARDEN_LOG__LEVEL): must be 'debug', 'info', 'warning' or 'error'" in text
    assert "kafka.bootstrap_servers (TRACEWARDEN_KAFKA__BOOTSTRAP_SERVERS) is missing: Brokers to start from" in text


def test_a_problem_inside_a_list_names_its_place_and_the_variable_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = f'[{{"type": "webhook", "url": "https://x", "secret": "{SECRET}"}}]'
    (line,) = problems(monkeypatch, {"TRACEWARDEN_ALERTING__CHANNELS": channels})
    assert line == "alerting.channels.0.name (TRACEWARDEN_ALERTING__CHANNELS) is missing: Name that rules send to"


def test_a_contradiction_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, None, None, port=9000, otlp_http_port=9000)
    assert line.startswith("port, otlp_http_port and otlp_grpc_port are [9000, 9000, 4317]")


def test_values_of_secrets_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, {"TRACEWARDEN_CLICKHOUSE_URL": "tcp://user:hunter2@host"})
    assert "hunter2" not in line
    (line,) = problems(
        monkeypatch, {"TRACEWARDEN_DATABASE_URL": "mysql://user:hunter2@host", "TRACEWARDEN_CLICKHOUSE_URL": "http://x"}
    )
    assert "hunter2" not in line


def test_json_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, {"TRACEWARDEN_ALERTING__CHANNELS": '[{"type":'})
    assert line.startswith("alerting (TRACEWARDEN_ALERTING) is not valid JSON")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("- a\n- b\n", "holds a list: write settings as `name: value`"),
        (None, "cannot be read (No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "t.yaml"
    if text is not None:
        file.write_text(text)
    (line,) = problems(monkeypatch, None, file)
    assert line.startswith(str(file))
    assert said in line


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("# nothing yet\n")
    assert read_settings(file, {}, {}).port == 8080


def test_each_value_knows_where_it_came_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("query: {threads: 2}\nhost: localhost\n")
    environment = {"TRACEWARDEN_HOST": "127.0.0.2", "TRACEWARDEN_ROLLBACK": '{"mode": "approve"}'}
    found = sources(file, {"port": 1}, environment)
    assert found["port"] == "--port"
    assert found["host"] == "TRACEWARDEN_HOST"
    assert found["rollback.mode"] == "TRACEWARDEN_ROLLBACK"
    assert found["query.threads"] == str(file)
    assert found["query.max_rows"] == "default"


def test_values_are_shown_without_secrets() -> None:
    webhook = {"type": "webhook", "name": "pager", "url": "https://x", "secret": SECRET}
    settings = Settings.model_validate(
        {
            "clickhouse_url": "https://u:hunter2@ch",
            "kafka": {
                "bootstrap_servers": "k:9092",
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "username": "u",
                "password": "hunter2",
            },
            "alerting": {
                "channels": [webhook, {"type": "slack", "name": "ops", "url": "https://hooks.slack.com/services/hunter2"}]
            },
        }
    )
    shown = repr(shown_values(settings))
    assert "hunter2" not in shown
    assert SECRET not in shown
    assert "pager" in shown
    assert "k:9092" in shown
