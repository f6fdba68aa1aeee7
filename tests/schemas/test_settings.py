"""Settings from their sources, and the combinations that are refused with the fix in the message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from schemas.sections import PriceOverride, WebhookChannel
from schemas.settings import Settings, load_settings, read_secret


def refused(**flags: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        load_settings(None, **flags)
    return str(caught.value)


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tracewarden.yaml"
    file.write_text("port: 1111\notlp_http_port: 2222\nquery: {threads: 2, max_rows: 5}\n")
    monkeypatch.setenv("TRACEWARDEN_OTLP_HTTP_PORT", "3333")
    monkeypatch.setenv("TRACEWARDEN_QUERY__THREADS", "3")
    settings = load_settings(file, otlp_grpc_port=4444)
    assert (settings.port, settings.otlp_http_port, settings.otlp_grpc_port) == (1111, 3333, 4444)
    assert (settings.query.threads, settings.query.max_rows) == (3, 5)


def test_an_address_with_a_password_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:p@db/t\n")
    settings = load_settings(None, database_url_file=file)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://u:p@db/t"


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("https://u:p@ch:8443/t")
    assert "given twice" in refused(clickhouse_url="https://ch:8443", clickhouse_url_file=file)
    with pytest.raises(ValueError, match="given twice"):
        read_secret(SecretStr("a"), file)


def test_an_unreadable_secret_file_is_named(tmp_path: Path) -> None:
    assert "check its path and permissions" in refused(clickhouse_url_file=tmp_path / "missing")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"port": 9000, "otlp_http_port": 9000}, "a port of its own"),
        ({"host": "0.0.0.0", "auth": {"required": False}}, "bind to 127.0.0.1"),
        ({"database_url": "mysql://x"}, "must start with postgresql://"),
        ({"clickhouse_url": "clickhouse://x"}, "must start with https://"),
        ({"kafka": {"bootstrap_servers": "k:9092", "security_protocol": "SASL_SSL"}}, "needs sasl_mechanism, username"),
        ({"kafka": {"bootstrap_servers": "k:9092", "username": "u"}}, "signs nobody in"),
        ({"alerting": {"channels": [{"type": "slack", "name": "ops"}]}}, "channel ops needs url or url_file"),
        ({"alerting": {"channels": [{"type": "webhook", "name": "ops", "url": "https://x"}]}}, "needs secret or secret_file"),
    ],
)
def test_contradictions_are_refused(flags: dict[str, Any], message: str) -> None:
    assert message in refused(**flags)


def test_two_channels_of_one_name_are_refused() -> None:
    channel = {"type": "slack", "name": "ops", "url": "https://hooks.slack.com/x"}
    assert "two channels are called ops" in refused(alerting={"channels": [channel, channel]})


def test_free_ports_may_repeat() -> None:
    settings = load_settings(None, port=0, otlp_http_port=0, otlp_grpc_port=0)
    assert not settings.keys_required


def test_a_role_of_its_own_needs_the_shared_parts() -> None:
    with pytest.raises(ValueError, match=r"kafka\.bootstrap_servers, clickhouse_url, database_url"):
        Settings().require_cluster("write")


def test_keys_are_required_where_other_machines_reach() -> None:
    assert load_settings(None, host="0.0.0.0").keys_required
    assert not load_settings(None, host="localhost").keys_required
    assert not load_settings(None, host="::1").keys_required
    assert load_settings(None, host="tracewarden.internal").keys_required


@pytest.mark.parametrize("rate", [1e7, float("inf"), -1.0])
def test_a_price_that_cannot_be_meant_is_refused(rate: float) -> None:
    with pytest.raises(ValidationError, match=r"less than or equal to 999999|greater than or equal to 0"):
        PriceOverride(provider="a", model="b", input_usd_per_mtok=rate, output_usd_per_mtok=1)


def test_a_webhook_secret_is_one_of_standard_webhooks() -> None:
    with pytest.raises(ValidationError, match="the secret of ops must be whsec_ and base64"):
        WebhookChannel(name="ops", url="https://a.example", secret=SecretStr("hunter2"))
